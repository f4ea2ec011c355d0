#if AWS
import Tidemark

extension JSONScanner {
  /// A number of seconds since 1970, with or without fraction and exponent: services write `1700000000`,
  /// `1700000000.123` and `1.700000000123E9`. Counted in integers, since a `Double` has no exact microseconds.
  mutating func timestamp() throws(Failure) -> Timestamp {
    let range = try number()
    guard let time = Self.microseconds(in: raw(range)) else {
      throw Failure(reason: "This is no moment in time.", offset: range.lowerBound)
    }
    return Timestamp(microsecondsSinceEpoch: time)
  }

  /// - Returns: `nil` if there are too many. What is less than a microsecond is cut off.
  private static func microseconds(in number: UnsafeRawBufferPointer) -> Int64? {
    var digits: Int64 = 0
    // Of the last digit, in powers of ten of a microsecond.
    var exponent = 6
    var position = number.first == UInt8(ascii: "-") ? 1 : 0
    var isFraction = false
    while position < number.count, number[position] | 0x20 != UInt8(ascii: "e") {
      defer { position += 1 }
      if number[position] == UInt8(ascii: ".") {
        isFraction = true
      } else if isFraction && digits > 1 << 56 {
        continue
      } else {
        let (product, isTooLarge) = digits.multipliedReportingOverflow(by: 10)
        if isTooLarge { return nil }
        digits = product &+ Int64(number[position] - UInt8(ascii: "0"))
        if isFraction { exponent -= 1 }
      }
    }
    if position < number.count {
      let text = String(decoding: number[(position + 1)...], as: UTF8.self)
      guard let power = Int(text), abs(power) < 1000 else { return nil }
      exponent += power
    }
    while exponent > 0, digits != 0 {
      let (product, isTooLarge) = digits.multipliedReportingOverflow(by: 10)
      if isTooLarge { return nil }
      (digits, exponent) = (product, exponent - 1)
    }
    while exponent < 0, digits != 0 { (digits, exponent) = (digits / 10, exponent + 1) }
    return number.first == UInt8(ascii: "-") ? -digits : digits
  }
}
#endif
