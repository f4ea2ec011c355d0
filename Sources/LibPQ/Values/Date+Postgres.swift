import Foundation

/// `timestamptz`, to the microsecond for some 270 years before and after 2001; further away `Date` itself is coarser.
///
/// `infinity` and `-infinity` are `Date.distantFuture` and `Date.distantPast`. A `timestamp` or `date` names no moment
/// without a time zone: say which one in the statement, `SELECT day::timestamp AT TIME ZONE 'UTC'`.
extension Date: PQEncodable, PQDecodable, PQArrayElement {
  public static var postgresType: PQType { .timestamptz }
  public static var postgresArrayType: PQType { .timestamptzArray }

  /// 2000-01-01, from which PostgreSQL counts, before 2001-01-01, from which Foundation does.
  private static let yearBetween: Int64 = 366 * 86_400 * 1_000_000
  /// From 4713 BC to 294276 AD.
  private static let range: Range<Int64> = -211_813_488_000_000_000..<9_223_371_331_200_000_000

  public func encode(into bytes: inout [UInt8]) throws {
    switch self {
    case .distantFuture: bytes.appendBigEndian(Int64.max)
    case .distantPast: bytes.appendBigEndian(Int64.min)
    default: bytes.appendBigEndian(try microsecondsSince2000())
    }
  }

  private func microsecondsSince2000() throws -> Int64 {
    let seconds = timeIntervalSinceReferenceDate
    // Apart, because the product of large seconds and a million is rounded more.
    if let whole = Int64(exactly: seconds.rounded(.down)) {
      let fraction = Int64(((seconds - seconds.rounded(.down)) * 1_000_000).rounded())
      let (product, overflow) = whole.multipliedReportingOverflow(by: 1_000_000)
      let (sum, overflowOfSum) = product.addingReportingOverflow(fraction + Self.yearBetween)
      if !overflow, !overflowOfSum, Self.range.contains(sum) { return sum }
    }
    throw PQError(
      .encoding,
      "The time \(seconds) s after 2001 lies outside of what timestamptz holds, 4713 BC to 294276 AD."
    )
  }

  public init(postgresBinary bytes: UnsafeRawBufferPointer, type: PQType) throws {
    guard type == .timestamptz, bytes.count == 8 else { throw PQError.cannotDecode(Self.self, from: type) }
    switch bytes.loadBigEndian(Int64.self) {
    case .max: self = .distantFuture
    case .min: self = .distantPast
    case let microseconds:
      let (whole, fraction) = (microseconds - Self.yearBetween).quotientAndRemainder(dividingBy: 1_000_000)
      self.init(timeIntervalSinceReferenceDate: Double(whole) + Double(fraction) / 1_000_000)
    }
  }
}
