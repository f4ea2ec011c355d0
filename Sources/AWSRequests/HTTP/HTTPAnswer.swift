#if AWS
import NIOCore
import NIOHTTP1

/// A whole answer.
struct HTTPAnswer: Sendable {
  var status: Int
  var headers = HTTPHeaders()
  var body = ByteBuffer()

  var isSuccess: Bool { (200..<300).contains(status) }
  var text: String { String(buffer: body) }

  /// The beginning of the body on one line, to show what came instead of what was expected.
  ///
  /// Only for answers that cannot hold a secret.
  var excerpt: String {
    let start = String(decoding: body.readableBytesView.prefix(200), as: UTF8.self)
    return start.split(whereSeparator: \.isWhitespace).joined(separator: " ")
  }
}
#endif
