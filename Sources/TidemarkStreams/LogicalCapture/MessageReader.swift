import LibPQ
import Tidemark

/// Reads the parts of one message of `pgoutput`. Nothing is copied: what it returns are views.
///
/// https://www.postgresql.org/docs/15/protocol-logicalrep-message-formats.html
struct MessageReader {
  private let bytes: UnsafeRawBufferPointer
  private(set) var offset = 0

  init(_ bytes: UnsafeRawBufferPointer) {
    self.bytes = bytes
  }

  var isAtEnd: Bool { offset == bytes.count }

  mutating func integer<T: FixedWidthInteger>(_ type: T.Type = T.self) throws -> T {
    let size = MemoryLayout<T>.size
    guard bytes.count - offset >= size else { throw cutShort }
    defer { offset += size }
    return T(bigEndian: bytes.loadUnaligned(fromByteOffset: offset, as: T.self))
  }

  mutating func take(_ count: Int) throws -> UnsafeRawBufferPointer {
    guard count >= 0, bytes.count - offset >= count else { throw cutShort }
    defer { offset += count }
    return UnsafeRawBufferPointer(rebasing: bytes[offset..<offset + count])
  }

  /// Text that ends with a zero.
  mutating func string() throws -> ServerText {
    guard let end = bytes[offset...].firstIndex(of: 0) else { throw cutShort }
    defer { offset = end + 1 }
    return ServerText(bytes[offset..<end])
  }

  func expectEnd() throws {
    if !isAtEnd {
      throw TidemarkError.undecodable("a message of type \(type) has \(bytes.count - offset) bytes too many")
    }
  }

  private var type: String { String(decoding: bytes.prefix(1), as: UTF8.self) }

  private var cutShort: TidemarkError {
    TidemarkError.undecodable("a message of type \(type) ends after \(bytes.count) bytes, in the middle")
  }
}

extension TidemarkError {
  /// The server and this program do not speak the same protocol.
  static func undecodable(_ what: String) -> TidemarkError {
    TidemarkError(
      .unsupported,
      "Cannot decode the changes of the table: \(what).",
      advice: "Report this with the server's version. Capture by trigger does without decoding."
    )
  }
}
