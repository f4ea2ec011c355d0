import Tidemark
import TidemarkPostgres
import TidemarkStreams

/// A JSON value that keeps the order of its keys and can hold text that is JSON already.
enum JSON: Sendable {
  case null
  case bool(Bool)
  case integer(Int64)
  case number(Double)
  case string(String)
  case array([JSON])
  case object(KeyValuePairs<String, JSON>)
  /// Valid JSON, passed on as it is: a number that no Swift type holds keeps its digits.
  case raw(String)

  init(_ value: Bool) { self = .bool(value) }
  init(_ value: some BinaryInteger) { self = .integer(Int64(clamping: value)) }
  init(_ value: Int64?) { self = value.map { .integer($0) } ?? .null }
  /// JSON has no word for what is not finite.
  init(_ value: Double) { self = value.isFinite ? .number(value) : .null }
  init(_ value: String?) { self = value.map { .string($0) } ?? .null }
  init(_ value: [String]) { self = .array(value.map { .string($0) }) }
  init(_ value: Timestamp?) { self.init(value?.iso8601) }
  /// As text: sequence numbers can have 40 digits.
  init(_ value: SequenceNumber?) { self.init(value?.description) }

  /// In one line, without any whitespace of its own.
  var line: String { write(indentation: nil) }

  /// Over several lines, for people too.
  var document: String { write(indentation: 0) }

  private func write(indentation: Int?) -> String {
    switch self {
    case .null: "null"
    case .bool(let value): value ? "true" : "false"
    case .integer(let value): String(value)
    case .number(let value): String(value)
    case .string(let value): Self.quoted(value)
    // Outside of strings, where they are escaped, JSON may have line breaks. Other characters that break lines can
    // be part of strings.
    case .raw(let text):
      text.utf8.contains(where: Self.isLineBreak)
        ? String(decoding: text.utf8.map { Self.isLineBreak($0) ? UInt8(ascii: " ") : $0 }, as: UTF8.self)
        : text
    case .array(let values):
      Self.enclose("[", values.map { $0.write(indentation: indentation.next) }, "]", indentation)
    case .object(let pairs):
      Self.enclose(
        "{",
        pairs.map { key, value in
          Self.quoted(key) + (indentation == nil ? ":" : ": ") + value.write(indentation: indentation.next)
        },
        "}",
        indentation
      )
    }
  }

  private static func isLineBreak(_ byte: UInt8) -> Bool {
    byte == UInt8(ascii: "\r") || byte == UInt8(ascii: "\n")
  }

  private static func enclose(
    _ opening: String,
    _ parts: [String],
    _ closing: String,
    _ indentation: Int?
  ) -> String {
    guard let indentation, !parts.isEmpty else { return opening + parts.joined(separator: ",") + closing }
    let margin = String(repeating: "  ", count: indentation)
    return "\(opening)\n\(margin)  " + parts.joined(separator: ",\n\(margin)  ") + "\n\(margin)\(closing)"
  }

  private static func quoted(_ text: String) -> String {
    var json: [UInt8] = []
    JSONEscapes.write(text, to: &json)
    return String(decoding: json, as: UTF8.self)
  }
}

extension Int? {
  fileprivate var next: Int? { map { $0 + 1 } }
}
