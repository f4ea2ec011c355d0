/// The position of a record within its shard: a decimal number of any length.
///
/// Sources differ: PostgreSQL streams count in 64 bits, Kinesis and DynamoDB Streams use up to 40 digits and
/// sometimes pad them with zeros. Numbers are compared as numbers; the source's own text is kept, because some
/// sources want it back unchanged. Order means something only within a shard and from parent to child.
public struct SequenceNumber: Sendable, Hashable, Comparable, CustomStringConvertible {
  private enum Storage: Sendable {
    /// Canonical: what fits into 64 bits and has no leading zero is always stored this way.
    case number(UInt64)
    case digits(String)
  }
  private let storage: Storage

  public init(_ number: UInt64) {
    storage = .number(number)
  }

  /// Reads decimal digits; `nil` for anything else.
  public init?(_ text: some StringProtocol) {
    let utf8 = text.utf8
    guard let first = utf8.first, utf8.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) })
    else {
      return nil
    }
    if first != UInt8(ascii: "0") || utf8.count == 1, let number = UInt64(text) {
      storage = .number(number)
    } else {
      storage = .digits(String(text))
    }
  }

  /// The number when it fits into 64 bits.
  public var uint64Value: UInt64? {
    switch storage {
    case .number(let number): number
    case .digits(let digits): UInt64(digits)
    }
  }

  public var description: String {
    switch storage {
    case .number(let number): String(number)
    case .digits(let digits): digits
    }
  }

  /// The number that is one less; `nil` for 0.
  var predecessor: SequenceNumber? {
    if case .number(let number) = storage { return number == 0 ? nil : SequenceNumber(number - 1) }
    var digits = Array(significantDigits.utf8)
    guard let last = digits.lastIndex(where: { $0 != UInt8(ascii: "0") }) else { return nil }
    digits[last] -= 1
    for borrower in digits.indices[(last + 1)...] { digits[borrower] = UInt8(ascii: "9") }
    return SequenceNumber(String(decoding: digits, as: UTF8.self))
  }

  private var significantDigits: Substring {
    let digits = description
    let significant = digits.drop { $0 == "0" }
    return significant.isEmpty ? digits.suffix(1) : significant
  }

  public static func == (left: Self, right: Self) -> Bool {
    if case .number(let a) = left.storage, case .number(let b) = right.storage { return a == b }
    return left.significantDigits == right.significantDigits
  }

  public static func < (left: Self, right: Self) -> Bool {
    if case .number(let a) = left.storage, case .number(let b) = right.storage { return a < b }
    let (a, b) = (left.significantDigits, right.significantDigits)
    return a.utf8.count == b.utf8.count ? a < b : a.utf8.count < b.utf8.count
  }

  public func hash(into hasher: inout Hasher) {
    hasher.combine(significantDigits)
  }
}

extension SequenceNumber: ExpressibleByIntegerLiteral {
  public init(integerLiteral value: UInt64) {
    self.init(value)
  }
}
