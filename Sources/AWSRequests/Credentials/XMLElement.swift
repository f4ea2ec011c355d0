#if AWS
/// Reads the flat XML of the query protocol: the text of an element that has no attributes and no children.
enum XMLElement {
  static func text(of name: String, in xml: String) -> String? {
    guard let start = xml.firstRange(of: "<\(name)>")?.upperBound,
      let end = xml[start...].firstRange(of: "</\(name)>")?.lowerBound
    else { return nil }
    let text = String(xml[start..<end])
    if text.contains("<") { return nil }
    return [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&apos;", "'"), ("&amp;", "&")].reduce(text) {
      $0.replacing($1.0, with: $1.1)
    }
  }
}
#endif
