#if AWS
import NIOCore
import NIOHTTP1

/// A request before it is sent. Its body is small: what is large in the protocols is only ever answered.
struct HTTPCall: Sendable {
  var method = HTTPMethod.GET
  /// The scheme, the host and the port: `https://sts.eu-central-1.amazonaws.com`.
  var origin: String
  /// Percent-encoded, beginning with a slash.
  var path = "/"
  /// Percent-encoded, without the question mark.
  var query = ""
  var headers = HTTPHeaders()
  var body = ByteBuffer()

  var url: String { query.isEmpty ? origin + path : "\(origin)\(path)?\(query)" }

  /// What the `Host` header says.
  var host: String {
    let authority = origin.split(separator: "://", maxSplits: 1).last.map(String.init) ?? origin
    for (scheme, port) in [("https://", ":443"), ("http://", ":80")]
    where origin.hasPrefix(scheme) && authority.hasSuffix(port) {
      return String(authority.dropLast(port.count))
    }
    return authority
  }

  /// - Parameter url: an absolute URL, percent-encoded.
  init(_ method: HTTPMethod = .GET, url: String) {
    self.method = method
    let schemeEnd = url.firstRange(of: "://")?.upperBound ?? url.startIndex
    let originEnd = url[schemeEnd...].firstIndex { "/?#".contains($0) } ?? url.endIndex
    origin = String(url[..<originEnd])
    let rest = url[originEnd...].prefix { $0 != "#" }
    let parts = rest.split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
    if let first = parts.first, !first.isEmpty { path = String(first) }
    if parts.count > 1 { query = String(parts[1]) }
  }
}
#endif
