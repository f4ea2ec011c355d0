import Foundation

/// `numeric`; integers can be read as well. `NaN` is `Decimal.nan`. What `Decimal` would have to round is refused, and so is
/// infinity, which it has not.
extension Decimal: PQEncodable, PQDecodable, PQArrayElement {
  public static var postgresType: PQType { .numeric }
  public static var postgresArrayType: PQType { .numericArray }

  public func encode(into bytes: inout [UInt8]) {
    guard let digits = DecimalDigits(self) else {
      for part in [0, 0, NumericSign.notANumber.rawValue, 0] { bytes.appendBigEndian(part) }
      return
    }
    digits.encode(into: &bytes)
  }

  public init(postgresBinary bytes: UnsafeRawBufferPointer, type: PQType) throws {
    guard type == .numeric else {
      self.init(try Int64(postgresBinary: bytes, type: type))
      return
    }
    switch try DecimalDigits.read(bytes) {
    case .number(let digits):
      guard let value = digits.decimal else {
        throw PQError(
          .decoding,
          "Decimal would round a numeric of \(digits.digits.count) digits. Select it ::text, or round it there."
        )
      }
      self = value
    case .notANumber: self = .nan
    case .infinite:
      throw PQError(.decoding, "Decimal has no infinity. Select the numeric ::text or ::float8.")
    }
  }
}

/// https://github.com/postgres/postgres/blob/REL_15_STABLE/src/backend/utils/adt/numeric.c
private enum NumericSign: UInt16 {
  case positive = 0x0000
  case negative = 0x4000
  case notANumber = 0xC000
  case infinity = 0xD000
  case negativeInfinity = 0xF000
}

/// A finite number as ±digits × 10^exponent, without zeros at either end of the digits.
private struct DecimalDigits: Equatable {
  enum Value {
    case number(DecimalDigits)
    case notANumber
    case infinite
  }

  private(set) var isNegative: Bool
  private(set) var digits: ArraySlice<UInt8>
  private(set) var exponent: Int

  init(isNegative: Bool, digits: [UInt8], exponent: Int) {
    let trimmed = digits.drop { $0 == 0 }
    let zeros = trimmed.reversed().prefix { $0 == 0 }.count
    self.isNegative = isNegative && !trimmed.isEmpty
    self.digits = trimmed.dropLast(zeros)
    self.exponent = trimmed.isEmpty ? 0 : exponent + zeros
  }

  /// - Returns: `nil` for what is not a number.
  init?(_ decimal: Decimal) {
    if decimal.isNaN { return nil }
    let text = decimal.description
    let parts = text.drop { $0 == "-" }.split(separator: ".", omittingEmptySubsequences: false)
    self.init(
      isNegative: text.hasPrefix("-"),
      digits: parts.joined().compactMap(\.wholeNumberValue).map { UInt8($0) },
      exponent: parts.count == 2 ? -parts[1].count : 0
    )
  }

  /// The same number; `nil` if `Decimal` does not have it.
  var decimal: Decimal? {
    if digits.isEmpty { return 0 }
    // More than 38 digits may fit, but few of that many do.
    guard digits.count <= 39, (-128...127).contains(exponent),
      let significand = Decimal(string: digits.map(String.init).joined())
    else { return nil }
    let value = Decimal(sign: isNegative ? .minus : .plus, exponent: exponent, significand: significand)
    return DecimalDigits(value) == self ? value : nil
  }

  // MARK: The binary format: groups of four digits

  static func read(_ bytes: UnsafeRawBufferPointer) throws -> Value {
    let malformed = PQError(.decoding, "The server sent a numeric that is none.")
    guard bytes.count >= 8, case let count = Int(bytes.loadBigEndian(UInt16.self)),
      bytes.count == 8 + 2 * count, let sign = NumericSign(rawValue: bytes.loadBigEndian(UInt16.self, at: 4))
    else { throw malformed }
    switch sign {
    case .notANumber: return .notANumber
    case .infinity, .negativeInfinity: return .infinite
    case .positive, .negative: break
    }
    let weight = Int(bytes.loadBigEndian(Int16.self, at: 2))
    let digits = (0..<count).flatMap { index -> [UInt8] in
      let group = bytes.loadBigEndian(UInt16.self, at: 8 + 2 * index)
      return [1000, 100, 10, 1].map { UInt8(truncatingIfNeeded: group / $0 % 10) }
    }
    return .number(
      Self(isNegative: sign == .negative, digits: digits, exponent: 4 * (weight - count + 1))
    )
  }

  func encode(into bytes: inout [UInt8]) {
    let after = ((exponent % 4) + 4) % 4
    let before = (4 - (digits.count + after) % 4) % 4
    let padded = Array(repeating: 0, count: before) + digits + Array(repeating: 0, count: after)
    let groups = stride(from: 0, to: padded.count, by: 4).map { start in
      padded[start..<start + 4].reduce(UInt16(0)) { $0 * 10 + UInt16($1) }
    }
    let weight = groups.isEmpty ? 0 : groups.count - 1 + (exponent - after) / 4
    bytes.appendBigEndian(UInt16(groups.count))
    bytes.appendBigEndian(Int16(weight))
    bytes.appendBigEndian((isNegative ? NumericSign.negative : .positive).rawValue)
    // How many digits are shown after the point.
    bytes.appendBigEndian(UInt16(max(0, -exponent)))
    for group in groups { bytes.appendBigEndian(group) }
  }
}
