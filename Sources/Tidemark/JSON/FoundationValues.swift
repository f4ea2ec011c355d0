#if canImport(FoundationEssentials)
import FoundationEssentials
#else
import Foundation
#endif

extension JSONDocument {
  /// A value of one of Foundation's types as columns have them; `nil` for any other type.
  func foundationValue<Value>(_ type: Value.Type, at node: Int, path: JSONPath) throws -> Value? {
    if type == Date.self { return try date(at: node, path: path) as? Value }
    if type == Decimal.self { return try decimal(at: node, path: path) as? Value }
    if type == Data.self { return Data(try bytes(at: node, as: type, path: path)) as? Value }
    if type == URL.self { return try url(at: node, path: path) as? Value }
    return nil
  }

  private func decimal(at node: Int, path: JSONPath) throws -> Decimal {
    if let special = special(at: node) {
      if special.isNaN { return .nan }
      throw corrupted("Decimal has no infinity. Decode Double or String.", path)
    }
    guard let value = try number(at: node, as: Decimal.self, path: path).decimal else {
      let text = try string(at: node, path: path)
      throw corrupted("Decimal would round \(text). Decode String.", path)
    }
    return value
  }

  private func date(at node: Int, path: JSONPath) throws -> Date {
    let time = try timestamp(at: node, as: Date.self, path: path).microsecondsSinceEpoch
    switch time {
    case .max: return .distantFuture
    case .min: return .distantPast
    default: return Date(timeIntervalSince1970: Double(time) / 1_000_000)
    }
  }

  private func url(at node: Int, path: JSONPath) throws -> URL {
    let text = try string(at: node, path: path)
    guard let url = URL(string: text) else { throw corrupted("“\(text)” is no URL.", path) }
    return url
  }
}

extension JSONNumber {
  /// The same number; `nil` if `Decimal` would have to round it: more than 38 digits, or too large or small a power.
  var decimal: Decimal? {
    let sign: FloatingPointSign = isNegative ? .minus : .plus
    if fits, (-100...100).contains(exponent) {
      return Decimal(sign: sign, exponent: exponent, significand: Decimal(mantissa))
    }
    let (digits, power) = self.digits
    guard digits.count <= 38, (-128...127).contains(power) else { return nil }
    let significand = digits.reduce(Decimal(0)) { $0 * 10 + Decimal(Int($1 - UInt8(ascii: "0"))) }
    return Decimal(sign: sign, exponent: power, significand: significand)
  }
}
