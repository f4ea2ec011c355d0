#if AWS
/// Paths and queries as signatures want them.
enum CanonicalURI {
  /// RFC 3986's unreserved characters.
  private static let unreserved = Set(
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~".utf8
  )

  /// Percent-encodes each byte that is not unreserved.
  static func encoded(_ text: some StringProtocol, keeping kept: String = "") -> String {
    var result: [UInt8] = []
    for byte in text.utf8 {
      if unreserved.contains(byte) || kept.utf8.contains(byte) {
        result.append(byte)
      } else {
        result.append(UInt8(ascii: "%"))
        result += [byte].hex.uppercased().utf8
      }
    }
    return String(decoding: result, as: UTF8.self)
  }

  /// Without `.`, `..` and empty segments, and encoded once more than it is sent.
  static func path(_ path: String) -> String {
    var segments: [Substring] = []
    for segment in path.split(separator: "/") where segment != "." {
      if segment == ".." { _ = segments.popLast() } else { segments.append(segment) }
    }
    if segments.isEmpty { return "/" }
    let end = path.hasSuffix("/") || path.hasSuffix("/.") || path.hasSuffix("/..") ? "/" : ""
    return "/" + segments.map { encoded($0) }.joined(separator: "/") + end
  }

  /// In the order of the encoded names, then of the values.
  static func query(_ query: String) -> String {
    let parameters = query.split(separator: "&").map { parameter in
      let parts = parameter.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      return parts.map { encoded($0, keeping: "%") } + (parts.count == 1 ? [""] : [])
    }
    return parameters.sorted { ($0[0], $0[1]) < ($1[0], $1[1]) }.map { "\($0[0])=\($0[1])" }
      .joined(separator: "&")
  }
}
#endif
