/// A number as the document spells it: sign, digits, power of ten. Nothing of it is rounded.
struct JSONNumber {
  private let text: UnsafeRawBufferPointer
  private(set) var isNegative = false
  /// The digits without sign, point and leading zeros, as far as they fit.
  private(set) var mantissa: UInt64 = 0
  private(set) var fits = true
  /// Of ten, to multiply `mantissa` with.
  private(set) var exponent = 0

  /// Whether this is a number that JSON could have, or one with zeros before it.
  static func isWellFormed(_ text: UnsafeRawBufferPointer) -> Bool {
    var rest = text[...]
    func skip(_ one: UInt8, or other: UInt8) -> Bool {
      guard rest.first == one || rest.first == other else { return false }
      rest = rest.dropFirst()
      return true
    }
    func skipDigits() -> Bool {
      let others = rest.drop(while: isDigit)
      defer { rest = others }
      return others.count < rest.count
    }
    _ = skip(UInt8(ascii: "-"), or: UInt8(ascii: "-"))
    guard skipDigits(), !skip(UInt8(ascii: "."), or: UInt8(ascii: ".")) || skipDigits() else { return false }
    guard skip(UInt8(ascii: "e"), or: UInt8(ascii: "E")) else { return rest.isEmpty }
    _ = skip(UInt8(ascii: "+"), or: UInt8(ascii: "-"))
    return skipDigits() && rest.isEmpty
  }

  /// - Parameter text: A well-formed number, which this value must not outlive.
  init(_ text: UnsafeRawBufferPointer) {
    self.text = text
    var position = 0
    var isFraction = false
    if text.first == UInt8(ascii: "-") { (isNegative, position) = (true, 1) }
    while position < text.count {
      let byte = text[position]
      position += 1
      if byte == UInt8(ascii: ".") {
        isFraction = true
      } else if byte | 0x20 == UInt8(ascii: "e") {
        addExponent(text[position...])
        break
      } else {
        add(UInt64(byte - UInt8(ascii: "0")), isFraction)
      }
    }
  }

  private mutating func add(_ digit: UInt64, _ isFraction: Bool) {
    let (product, overflow) = mantissa.multipliedReportingOverflow(by: 10)
    let (sum, carry) = product.addingReportingOverflow(digit)
    if overflow || carry { fits = false }
    mantissa = sum
    if isFraction { exponent -= 1 }
  }

  private mutating func addExponent(_ text: Slice<UnsafeRawBufferPointer>) {
    let isNegative = text.first == UInt8(ascii: "-")
    // No value of any type needs more, and the sum cannot overflow.
    let value = text.reduce(0) { sum, byte in
      guard let digit = hexValue(byte) else { return sum }
      return min(sum * 10 + Int(digit), 1_000_000_000)
    }
    exponent += isNegative ? -value : value
  }

  /// The number as an integer, if it is one and fits: 12.00 is, and so is 1.2e1.
  func integer<Value: FixedWidthInteger>(_ type: Value.Type) -> Value? {
    guard fits else { return wideInteger(type) }
    if mantissa == 0 { return 0 }
    var (value, power) = (mantissa, exponent)
    while power < 0 {
      guard value % 10 == 0 else { return nil }
      (value, power) = (value / 10, power + 1)
    }
    while power > 0 {
      let (product, overflow) = value.multipliedReportingOverflow(by: 10)
      if overflow { return wideInteger(type) }
      (value, power) = (product, power - 1)
    }
    if isNegative { return Value(exactly: -Int128(value)) }
    return Value(exactly: value)
  }

  /// What has more digits than 64 bits: also `Int128`, and a small number with many zeros after its point.
  private func wideInteger<Value: FixedWidthInteger>(_ type: Value.Type) -> Value? {
    var (digits, power) = self.digits
    guard digits.count + power <= 40 else { return nil }
    digits += Array(repeating: UInt8(ascii: "0"), count: max(0, power))
    if power < 0 { return nil }
    return Value((isNegative ? "-" : "") + String(decoding: digits, as: UTF8.self))
  }

  /// The significant digits, without zeros at either end, and the power of ten.
  var digits: (digits: [UInt8], power: Int) {
    let mantissa = text.prefix { $0 | 0x20 != UInt8(ascii: "e") }
    var digits = Array(mantissa.filter { hexValue($0) != nil }.drop { $0 == UInt8(ascii: "0") })
    var power = exponent
    while digits.last == UInt8(ascii: "0") {
      digits.removeLast()
      power += 1
    }
    return digits.isEmpty ? ([UInt8(ascii: "0")], 0) : (digits, power)
  }

  /// The nearest number of this type; `nil` if it is beyond all of them.
  var double: Double? {
    // Both are exact in this range, and so their product or quotient is rounded once, as it must be.
    // https://www.exploringbinary.com/fast-path-decimal-to-floating-point-conversion/
    if fits, mantissa <= 1 << 53, abs(exponent) <= 22 {
      let power = Self.powers[abs(exponent)]
      let value = exponent < 0 ? Double(mantissa) / power : Double(mantissa) * power
      return isNegative ? -value : value
    }
    return Double(String(decoding: text, as: UTF8.self)).flatMap { $0.isFinite ? $0 : nil }
  }

  /// Rounded once: by way of `Double` it would be rounded twice.
  var float: Float? {
    Float(String(decoding: text, as: UTF8.self)).flatMap { $0.isFinite ? $0 : nil }
  }

  private static let powers: [Double] = [
    1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18,
    1e19,
    1e20, 1e21, 1e22,
  ]
}
