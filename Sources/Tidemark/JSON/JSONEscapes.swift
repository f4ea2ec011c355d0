package enum JSONEscapes {
  /// The text of a string whose escapes are known to be well-formed; `nil` if it is no Unicode, such as one half of a
  /// surrogate pair, which PostgreSQL's `json` lets pass.
  package static func unescape(_ bytes: UnsafeRawBufferPointer) -> String? {
    var text: [UInt8] = []
    text.reserveCapacity(bytes.count)
    var position = 0
    while position < bytes.count {
      if bytes[position] != UInt8(ascii: "\\") {
        text.append(bytes[position])
        position += 1
      } else if bytes[position + 1] == UInt8(ascii: "u") {
        guard let scalar = scalar(in: bytes, &position) else { return nil }
        text.append(contentsOf: UTF8.encode(scalar) ?? UTF8.encodedReplacementCharacter)
      } else {
        text.append(character(bytes[position + 1]))
        position += 2
      }
    }
    return String(validating: text, as: UTF8.self)
  }

  private static func character(_ escape: UInt8) -> UInt8 {
    switch escape {
    case UInt8(ascii: "b"): 0x08
    case UInt8(ascii: "f"): 0x0c
    case UInt8(ascii: "n"): 0x0a
    case UInt8(ascii: "r"): 0x0d
    case UInt8(ascii: "t"): 0x09
    default: escape
    }
  }

  private static func scalar(in bytes: UnsafeRawBufferPointer, _ position: inout Int) -> Unicode.Scalar? {
    let first = unit(in: bytes, &position)
    guard UTF16.isLeadSurrogate(first) else { return Unicode.Scalar(first) }
    guard position + 5 < bytes.count, bytes[position] == UInt8(ascii: "\\"),
      bytes[position + 1] == UInt8(ascii: "u")
    else { return nil }
    let second = unit(in: bytes, &position)
    guard UTF16.isTrailSurrogate(second) else { return nil }
    return UTF16.decode(UTF16.EncodedScalar([first, second]))
  }

  /// The four digits of the escape at `position`, which moves past them.
  private static func unit(in bytes: UnsafeRawBufferPointer, _ position: inout Int) -> UInt16 {
    let digits = bytes[position + 2..<position + 6]
    position += 6
    return digits.reduce(0) { $0 << 4 | UInt16(hexValue($1) ?? 0) }
  }

  /// The bytes as text. One that is no UTF-8 becomes an escape that stands for no character, \udc80 to \udcff: the text of a
  /// JSON document stays one, no two documents become one, and a string with such an escape cannot be decoded.
  package static func text(escapingInvalid bytes: some Collection<UInt8>) -> String {
    if let text = String(validating: bytes, as: UTF8.self) { return text }
    let bytes = Array(bytes)
    var (text, position) = ("", 0)
    var (parser, rest) = (UTF8.ForwardParser(), bytes.makeIterator())
    while true {
      switch parser.parseScalar(from: &rest) {
      case .valid(let encoded):
        text.unicodeScalars.append(UTF8.decode(encoded))
        position += encoded.count
      case .error(let length):
        for byte in bytes[position..<position + length] { text += "\\udc" + String(byte, radix: 16) }
        position += length
      case .emptyInput: return text
      }
    }
  }

  /// The text of a JSON document, or any, with an escape for what is not ASCII.
  package static func ascii(_ text: String) -> String {
    text.utf16.reduce(into: "") { ascii, unit in
      if let scalar = Unicode.Scalar(unit), scalar.isASCII {
        ascii.unicodeScalars.append(scalar)
      } else {
        let digits = String(unit, radix: 16)
        ascii += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
      }
    }
  }

  /// Appends a string as JSON writes it, with its quotes. What JSON does not require stays as it is.
  package static func write(_ text: String, to json: inout [UInt8]) {
    var text = text
    text.withUTF8 { write(UnsafeRawBufferPointer($0), to: &json) }
  }

  package static func write(_ text: UnsafeRawBufferPointer, to json: inout [UInt8]) {
    json.append(UInt8(ascii: "\""))
    var start = 0
    for index in 0..<text.count {
      let byte = text[index]
      if byte >= 0x20, byte != UInt8(ascii: "\""), byte != UInt8(ascii: "\\") { continue }
      json.append(contentsOf: UnsafeRawBufferPointer(rebasing: text[start..<index]))
      writeEscape(of: byte, to: &json)
      start = index + 1
    }
    json.append(contentsOf: UnsafeRawBufferPointer(rebasing: text[start...]))
    json.append(UInt8(ascii: "\""))
  }

  private static func writeEscape(of byte: UInt8, to json: inout [UInt8]) {
    json.append(UInt8(ascii: "\\"))
    switch byte {
    case 0x08: json.append(UInt8(ascii: "b"))
    case 0x0c: json.append(UInt8(ascii: "f"))
    case 0x0a: json.append(UInt8(ascii: "n"))
    case 0x0d: json.append(UInt8(ascii: "r"))
    case 0x09: json.append(UInt8(ascii: "t"))
    case UInt8(ascii: "\""), UInt8(ascii: "\\"): json.append(byte)
    default:
      let digits = Array("0123456789abcdef".utf8)
      json.append(contentsOf: "u00".utf8)
      json.append(digits[Int(byte >> 4)])
      json.append(digits[Int(byte & 15)])
    }
  }
}
