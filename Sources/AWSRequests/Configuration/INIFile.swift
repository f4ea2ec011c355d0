#if AWS
import Tidemark

/// A file in the format of `~/.aws/config`.
struct INIFile: Sendable, Equatable {
  struct Value: Sendable, Equatable {
    var text = ""
    /// The indented `key = value` lines below a key without a value.
    var nested: [String: String] = [:]
  }

  /// By the section's header without its brackets and quotes, as `profile dev`, then by the key in lower case.
  private(set) var sections: [String: [String: Value]] = [:]

  init() {}

  /// - Parameter name: the file's, for errors. They name the line and never show it: it may hold a secret.
  /// - Throws: `TidemarkError` (`invalidConfiguration`).
  init(_ text: String, name: String) throws {
    var section: String?
    var key: String?
    for (index, line) in text.split(omittingEmptySubsequences: false, whereSeparator: \.isNewline)
      .enumerated()
    {
      let content = Self.withoutComment(line)
      if content.allSatisfy(\.isWhitespace) { continue }
      let isRead: Bool
      if content.first == "[" {
        section = Self.header(content)
        key = nil
        if let section { sections[section, default: [:]].merge([:]) { old, _ in old } }
        isRead = section != nil
      } else if content.first?.isWhitespace == true, let section, let key {
        isRead = add(Self.trimmed(content), to: key, in: section)
      } else if let section, let (name, value) = Self.property(content) {
        key = name.lowercased()
        sections[section]?[name.lowercased()] = Value(text: value)
        isRead = true
      } else {
        isRead = false
      }
      if !isRead {
        throw TidemarkError(
          .invalidConfiguration,
          "Line \(index + 1) of \(name) is neither a section, nor a property of one, nor a comment.",
          advice: "Properties are written as 'key = value' below a '[section]'."
        )
      }
    }
  }

  /// An indented line: a property below a key without a value, or more of the value.
  private mutating func add(_ line: String, to key: String, in section: String) -> Bool {
    guard var value = sections[section]?[key] else { return false }
    if value.text.isEmpty {
      guard let (name, text) = Self.property(line) else { return false }
      value.nested[name.lowercased()] = text
    } else {
      value.text += "\n\(line)"
    }
    sections[section]?[key] = value
    return true
  }

  /// A comment begins a line or follows a blank.
  private static func withoutComment(_ line: Substring) -> Substring {
    var previous: Character = " "
    for index in line.indices {
      if "#;".contains(line[index]), previous.isWhitespace { return line[..<index] }
      previous = line[index]
    }
    return line
  }

  /// `[ profile "my name" ]` → `profile my name`
  private static func header(_ line: Substring) -> String? {
    guard let end = line.firstIndex(of: "]") else { return nil }
    let words = line[..<end].dropFirst().split(whereSeparator: \.isWhitespace)
    let name = words.joined(separator: " ").filter { $0 != "\"" && $0 != "'" }
    return name.isEmpty ? nil : name
  }

  private static func property(_ line: some StringProtocol) -> (name: String, value: String)? {
    guard let sign = line.firstIndex(of: "=") else { return nil }
    let name = trimmed(line[..<sign])
    return name.isEmpty ? nil : (name, trimmed(line[line.index(after: sign)...]))
  }

  private static func trimmed(_ text: some StringProtocol) -> String {
    let start = text.firstIndex { !$0.isWhitespace } ?? text.endIndex
    let end = text.lastIndex { !$0.isWhitespace }.map { text.index(after: $0) } ?? start
    return String(text[start..<end])
  }
}
#endif
