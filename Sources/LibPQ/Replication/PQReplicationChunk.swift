/// What a replication connection received at once: whole messages, in order, in one buffer.
public struct PQReplicationChunk: Sendable {
  /// A view over the chunk's bytes, valid while it is being read.
  public enum Message {
    /// What the output plugin wrote. The place is that of the change in the log.
    case change(at: PQLSN, UnsafeRawBufferPointer)
    /// The server has nothing more to send of what lies before this place.
    case keepalive(PQLSN)
  }

  /// For each message its length, in the machine's byte order, and its bytes as the server sent them.
  private(set) var bytes: [UInt8] = []

  package init() {}

  public var isEmpty: Bool { bytes.isEmpty }
  /// How many bytes of memory it takes.
  public var size: Int { bytes.count }

  /// Reads messages until `body` returns false or there are no more.
  ///
  /// - Parameter offset: where to begin, 0 at first; where to go on afterwards.
  /// - Throws: ``PQError/Code/decoding`` for a message that this protocol does not have; what `body` threw.
  public func read(from offset: inout Int, _ body: (Message) throws -> Bool) throws {
    try bytes.withUnsafeBytes { buffer in
      while offset < buffer.count {
        let length = Int(buffer.loadUnaligned(fromByteOffset: offset, as: UInt32.self))
        let start = offset + 4
        offset = start + length
        if try !body(Self.message(UnsafeRawBufferPointer(rebasing: buffer[start..<offset]))) { return }
      }
    }
  }

  package mutating func append(_ message: UnsafeRawBufferPointer) {
    withUnsafeBytes(of: UInt32(message.count)) { bytes.append(contentsOf: $0) }
    bytes.append(contentsOf: message)
  }

  /// https://www.postgresql.org/docs/15/protocol-replication.html
  static func message(_ bytes: UnsafeRawBufferPointer) throws -> Message {
    switch bytes.first {
    case UInt8(ascii: "w") where bytes.count >= 25:
      return .change(
        at: PQLSN(rawValue: bytes.loadLSN(at: 1)),
        UnsafeRawBufferPointer(rebasing: bytes.dropFirst(25))
      )
    case UInt8(ascii: "k") where bytes.count >= 18:
      return .keepalive(PQLSN(rawValue: bytes.loadLSN(at: 1)))
    default:
      throw PQError(
        .decoding,
        "The server sent a replication message that is unknown or cut short (type \(bytes.first ?? 0))."
      )
    }
  }
}

extension UnsafeRawBufferPointer {
  func loadLSN(at offset: Int) -> UInt64 {
    UInt64(bigEndian: loadUnaligned(fromByteOffset: offset, as: UInt64.self))
  }
}
