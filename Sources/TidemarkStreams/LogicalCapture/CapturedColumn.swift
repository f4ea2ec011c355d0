import LibPQ

/// The elements of an array that is bound to a statement, written in the binary format as they come.
package struct CapturedColumn: Sendable {
  var elementType: PQType
  package private(set) var bytes: [UInt8] = []
  package private(set) var count = 0

  init(_ elementType: PQType) {
    self.elementType = elementType
  }

  mutating func appendNull() {
    append(Int32(-1))
  }

  mutating func append(integer: some FixedWidthInteger) {
    append(Int32(integer.bitWidth / 8))
    withUnsafeBytes(of: integer.bigEndian) { bytes.append(contentsOf: $0) }
  }

  mutating func append(text: some Collection<UInt8>) {
    append(Int32(text.count))
    bytes.append(contentsOf: text)
  }

  /// Appends an element that `body` writes.
  ///
  /// - Returns: its length.
  @discardableResult
  mutating func append(_ body: (inout [UInt8]) throws -> Void) rethrows -> Int {
    let start = bytes.count
    append(Int32(0))
    try body(&bytes)
    let length = bytes.count - start - 4
    withUnsafeBytes(of: Int32(length).bigEndian) { length in
      for index in 0..<4 { bytes[start + index] = length[index] }
    }
    return length
  }

  /// The elements as texts; empty for null.
  package var texts: [String] {
    bytes.withUnsafeBytes { buffer in
      var offset = 0
      return (0..<count).map { _ in
        let length = max(
          0,
          Int(Int32(bigEndian: buffer.loadUnaligned(fromByteOffset: offset, as: Int32.self)))
        )
        defer { offset += 4 + length }
        return String(decoding: buffer[(offset + 4)..<(offset + 4 + length)], as: UTF8.self)
      }
    }
  }

  mutating func removeAll() {
    // What a few large values have taken is not kept for the small ones that follow.
    bytes.removeAll(keepingCapacity: bytes.capacity <= 2 * CapturedBatch.maximumBytes)
    count = 0
  }

  private mutating func append(_ length: Int32) {
    count += 1
    withUnsafeBytes(of: length.bigEndian) { bytes.append(contentsOf: $0) }
  }
}

/// Binds a column as an array. A type for each element type, because that is where a statement takes it from.
protocol CapturedArray: PQEncodable {
  var column: CapturedColumn { get }
}

extension CapturedArray {
  /// Dimensions, whether there may be NULLs, element type, length, lower bound; then the elements.
  func encode(into bytes: inout [UInt8]) {
    let header = [Int32(1), 1, Int32(bitPattern: column.elementType.rawValue), Int32(column.count), 1]
    bytes.reserveCapacity(bytes.count + column.bytes.count + 20)
    for number in header { withUnsafeBytes(of: number.bigEndian) { bytes.append(contentsOf: $0) } }
    bytes.append(contentsOf: column.bytes)
  }
}

struct CapturedTexts: CapturedArray {
  static let postgresType = PQType.textArray
  var column: CapturedColumn
}

/// Texts in the encoding of the database, which the server takes as they are.
struct CapturedBytes: CapturedArray {
  static let postgresType = PQType.byteaArray
  var column: CapturedColumn

  init(_ column: CapturedColumn) {
    self.column = column
    self.column.elementType = .bytea
  }
}

struct CapturedImages: CapturedArray {
  static let postgresType = PQType(rawValue: 199)
  var column: CapturedColumn
}

struct CapturedIntegers: CapturedArray {
  static let postgresType = PQType.int4Array
  var column: CapturedColumn
}

struct CapturedTimes: CapturedArray {
  static let postgresType = PQType(rawValue: 1185)
  var column: CapturedColumn
}
