/// A name in the encoding of the database, which need not be UTF-8: as values are, it is written to the log as it came.
package struct ServerText: Sendable, Hashable, ExpressibleByStringLiteral, CustomStringConvertible {
  package var bytes: [UInt8]

  package init(_ bytes: some Sequence<UInt8>) { self.bytes = Array(bytes) }
  package init(stringLiteral text: String) { self.init(text.utf8) }

  /// For people.
  package var description: String { String(decoding: bytes, as: UTF8.self) }
}
