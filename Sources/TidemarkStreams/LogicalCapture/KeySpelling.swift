/// How a value is written in an item's key: values that are equal to the key's index are one item, and so must be the same
/// text. `tidemark.primary_key` names the types that have such a spelling, and `tidemark.key_text` does the same.
enum KeySpelling {
  /// - Parameter text: what the type's output function writes.
  static func of(_ text: UnsafeRawBufferPointer, as format: JSONFormat) -> UnsafeRawBufferPointer {
    switch format {
    case .number: number(text)
    case .paddedText: trimmed(text, of: UInt8(ascii: " "))
    case .text, .bool, .timestamp, .timestampWithZone, .json, .array, .vector, .composite: text
    }
  }

  /// Without zeros at its end, and without a sign if it is 0.
  private static func number(_ text: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
    if text.elementsEqual("-0".utf8) { return UnsafeRawBufferPointer(rebasing: text.dropFirst()) }
    // A float has no zeros that say nothing, and perhaps an exponent.
    guard text.contains(UInt8(ascii: ".")), !text.contains(UInt8(ascii: "e")) else { return text }
    let digits = trimmed(text, of: UInt8(ascii: "0"))
    return digits.last == UInt8(ascii: ".") ? UnsafeRawBufferPointer(rebasing: digits.dropLast()) : digits
  }

  private static func trimmed(_ text: UnsafeRawBufferPointer, of byte: UInt8) -> UnsafeRawBufferPointer {
    UnsafeRawBufferPointer(rebasing: text[..<(text.lastIndex { $0 != byte }.map { $0 + 1 } ?? 0)])
  }
}
