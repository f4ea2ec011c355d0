import Foundation
import Tidemark

/// Writes a value's text as JSON, byte for byte as `row_to_json` writes the value.
enum JSONText {
  static func append(_ text: UnsafeRawBufferPointer, as format: JSONFormat, to json: inout [UInt8]) throws {
    switch format {
    case .text, .paddedText: JSONEscapes.write(text, to: &json)
    case .bool: json.append(contentsOf: text.first == UInt8(ascii: "t") ? "true".utf8 : "false".utf8)
    case .number:
      if isNumber(text) { json.append(contentsOf: text) } else { JSONEscapes.write(text, to: &json) }
    case .timestamp: appendTimestamp(text, hasZone: false, to: &json)
    case .timestampWithZone: appendTimestamp(text, hasZone: true, to: &json)
    case .json: json.append(contentsOf: text)
    case .array(let element, let delimiter): try appendArray(text, of: element, delimiter, to: &json)
    case .vector(let element): try appendVector(text, of: element, to: &json)
    case .composite(let attributes): try appendComposite(text, attributes, to: &json)
    }
  }

  static func quoted(_ text: ServerText) -> [UInt8] {
    var json: [UInt8] = []
    text.bytes.withUnsafeBytes { JSONEscapes.write($0, to: &json) }
    return json
  }

  /// The texts of numbers are JSON's numbers, unless they are words.
  private static func isNumber(_ text: UnsafeRawBufferPointer) -> Bool {
    guard let last = text.last else { return false }
    return last >= UInt8(ascii: "0") && last <= UInt8(ascii: "9")
  }

  /// `2026-01-02 03:04:05+00` becomes `"2026-01-02T03:04:05+00:00"`. `infinity` has no space, and ` BC` stays.
  private static func appendTimestamp(
    _ text: UnsafeRawBufferPointer,
    hasZone: Bool,
    to json: inout [UInt8]
  ) {
    json.append(UInt8(ascii: "\""))
    defer { json.append(UInt8(ascii: "\"")) }
    guard let space = text.firstIndex(of: UInt8(ascii: " ")) else {
      json.append(contentsOf: text)
      return
    }
    json.append(contentsOf: text[..<space])
    json.append(UInt8(ascii: "T"))
    let time = text[(space + 1)...]
    guard hasZone else {
      json.append(contentsOf: time)
      return
    }
    let suffix = time.firstIndex(of: UInt8(ascii: " ")) ?? time.endIndex
    json.append(contentsOf: time[..<suffix])
    // The session's zone is UTC, which the text names by its hours alone.
    json.append(contentsOf: ":00".utf8)
    json.append(contentsOf: time[suffix...])
  }

  private static func appendVector(
    _ text: UnsafeRawBufferPointer,
    of format: JSONFormat,
    to json: inout [UInt8]
  ) throws {
    json.append(UInt8(ascii: "["))
    for (index, part) in text.split(separator: UInt8(ascii: " ")).enumerated() {
      if index > 0 { json.append(UInt8(ascii: ",")) }
      try append(UnsafeRawBufferPointer(rebasing: part), as: format, to: &json)
    }
    json.append(UInt8(ascii: "]"))
  }

  // MARK: Arrays

  /// `[0:1]={{1,NULL},{"a \"b\"",c}}`: https://www.postgresql.org/docs/15/arrays.html#ARRAYS-IO
  private static func appendArray(
    _ text: UnsafeRawBufferPointer,
    of format: JSONFormat,
    _ delimiter: UInt8,
    to json: inout [UInt8]
  ) throws {
    var scratch: [UInt8] = []
    var index = 0
    if text.first == UInt8(ascii: "[") {
      guard let equals = text.firstIndex(of: UInt8(ascii: "=")) else { throw malformed("array") }
      index = equals + 1
    }
    guard index < text.count, text[index] == UInt8(ascii: "{") else { throw malformed("array") }
    var depth = 0
    repeat {
      guard index < text.count else { throw malformed("array") }
      switch text[index] {
      case UInt8(ascii: "{"):
        depth += 1
        json.append(UInt8(ascii: "["))
        index += 1
      case UInt8(ascii: "}"):
        depth -= 1
        json.append(UInt8(ascii: "]"))
        index += 1
      case delimiter:
        json.append(UInt8(ascii: ","))
        index += 1
      default:
        try appendElement(text, &index, of: format, delimiter, &scratch, to: &json)
      }
    } while depth > 0
    if index != text.count { throw malformed("array") }
  }

  private static func appendElement(
    _ text: UnsafeRawBufferPointer,
    _ index: inout Int,
    of format: JSONFormat,
    _ delimiter: UInt8,
    _ scratch: inout [UInt8],
    to json: inout [UInt8]
  ) throws {
    if try appendUnquoted(text, &index, of: format, &scratch, to: &json) { return }
    let start = index
    while index < text.count, text[index] != delimiter, text[index] != UInt8(ascii: "}") { index += 1 }
    let element = UnsafeRawBufferPointer(rebasing: text[start..<index])
    if element.elementsEqual("NULL".utf8) {
      json.append(contentsOf: "null".utf8)
    } else {
      try append(element, as: format, to: &json)
    }
  }

  // MARK: Composites

  /// `(1,"a ""b""",)`: https://www.postgresql.org/docs/15/rowtypes.html#ROWTYPES-IO-SYNTAX
  private static func appendComposite(
    _ text: UnsafeRawBufferPointer,
    _ attributes: [JSONFormat.Attribute],
    to json: inout [UInt8]
  ) throws {
    var scratch: [UInt8] = []
    var index = 1
    guard text.first == UInt8(ascii: "("), text.last == UInt8(ascii: ")") else { throw malformed("row") }
    json.append(UInt8(ascii: "{"))
    for (number, attribute) in attributes.enumerated() {
      if number > 0 {
        guard text[index] == UInt8(ascii: ",") else { throw malformed("row") }
        index += 1
        json.append(UInt8(ascii: ","))
      }
      json.append(contentsOf: attribute.label)
      try appendAttribute(text, &index, attribute.format, &scratch, to: &json)
    }
    guard index == text.count - 1 else { throw malformed("row") }
    json.append(UInt8(ascii: "}"))
  }

  private static func appendAttribute(
    _ text: UnsafeRawBufferPointer,
    _ index: inout Int,
    _ format: JSONFormat,
    _ scratch: inout [UInt8],
    to json: inout [UInt8]
  ) throws {
    if try appendUnquoted(text, &index, of: format, &scratch, to: &json) { return }
    let start = index
    while index < text.count - 1, text[index] != UInt8(ascii: ",") { index += 1 }
    if start == index {
      json.append(contentsOf: "null".utf8)
    } else {
      try append(UnsafeRawBufferPointer(rebasing: text[start..<index]), as: format, to: &json)
    }
  }

  /// Appends the value in quotes here, if there is one.
  private static func appendUnquoted(
    _ text: UnsafeRawBufferPointer,
    _ index: inout Int,
    of format: JSONFormat,
    _ scratch: inout [UInt8],
    to json: inout [UInt8]
  ) throws -> Bool {
    guard text[index] == UInt8(ascii: "\"") else { return false }
    try unquote(text, &index, into: &scratch)
    try scratch.withUnsafeBytes { try append($0, as: format, to: &json) }
    return true
  }

  /// Reads what is in quotes. Within, a backslash makes the next byte itself, and so does a quote before a quote.
  private static func unquote(
    _ text: UnsafeRawBufferPointer,
    _ index: inout Int,
    into scratch: inout [UInt8]
  ) throws {
    scratch.removeAll(keepingCapacity: true)
    index += 1
    while index < text.count {
      let byte = text[index]
      index += 1
      if byte == UInt8(ascii: "\"") {
        guard index < text.count, text[index] == UInt8(ascii: "\"") else { return }
      } else if byte != UInt8(ascii: "\\") {
        scratch.append(byte)
        continue
      }
      guard index < text.count else { break }
      scratch.append(text[index])
      index += 1
    }
    throw malformed("quoted value")
  }

  private static func malformed(_ what: String) -> TidemarkError {
    TidemarkError.undecodable("the text of a value is no \(what)")
  }
}
