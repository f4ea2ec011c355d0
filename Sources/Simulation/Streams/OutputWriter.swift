import LibPQ

/// Writes messages of a replication connection as a server does (`pgoutput`, protocol version 1), for one table with the
/// integer columns `id`, its key, and `version`.
struct OutputWriter {
  static let table: UInt32 = 16_384
  static let integer: UInt32 = 23

  private(set) var chunk = PQReplicationChunk()

  mutating func begin(final: UInt64) {
    change { bytes in
      bytes.append(UInt8(ascii: "B"))
      bytes.append(bigEndian: final)
      bytes.append(bigEndian: UInt64(0))
      bytes.append(bigEndian: UInt32(0))
    }
  }

  mutating func relation() {
    change { bytes in
      bytes.append(UInt8(ascii: "R"))
      bytes.append(bigEndian: Self.table)
      bytes.append(text: "public")
      bytes.append(text: "item")
      bytes.append(UInt8(ascii: "f"))
      bytes.append(bigEndian: UInt16(2))
      for name in ["id", "version"] {
        bytes.append(1)
        bytes.append(text: name)
        bytes.append(bigEndian: Self.integer)
        bytes.append(bigEndian: UInt32(0))
      }
    }
  }

  mutating func insert(id: Int, version: Int) {
    change { bytes in
      bytes.append(UInt8(ascii: "I"))
      bytes.append(bigEndian: Self.table)
      bytes.append(UInt8(ascii: "N"))
      bytes.append(bigEndian: UInt16(2))
      for number in [id, version] {
        let digits = Array(String(number).utf8)
        bytes.append(UInt8(ascii: "t"))
        bytes.append(bigEndian: UInt32(digits.count))
        bytes += digits
      }
    }
  }

  mutating func commit(final: UInt64, end: UInt64) {
    change { bytes in
      bytes.append(UInt8(ascii: "C"))
      bytes.append(0)
      bytes.append(bigEndian: final)
      bytes.append(bigEndian: end)
      bytes.append(bigEndian: UInt64(0))
    }
  }

  mutating func keepalive(_ place: UInt64) {
    var bytes = [UInt8(ascii: "k")]
    bytes.append(bigEndian: place)
    bytes.append(bigEndian: UInt64(0))
    bytes.append(0)
    bytes.withUnsafeBytes { chunk.append($0) }
  }

  private mutating func change(_ body: (inout [UInt8]) -> Void) {
    var bytes = [UInt8(ascii: "w")]
    for _ in 0..<3 { bytes.append(bigEndian: UInt64(0)) }
    body(&bytes)
    bytes.withUnsafeBytes { chunk.append($0) }
  }
}

extension [UInt8] {
  fileprivate mutating func append(bigEndian number: some FixedWidthInteger) {
    Swift.withUnsafeBytes(of: number.bigEndian) { append(contentsOf: $0) }
  }

  fileprivate mutating func append(text: String) {
    append(contentsOf: text.utf8)
    append(0)
  }
}
