import Foundation
import Tidemark

extension Timestamp {
  private static let microsecondsPerSecond: Int64 = 1_000_000

  /// In UTC, with microseconds: `2025-01-31T09:30:00.000000Z`.
  package var iso8601: String {
    let (seconds, fraction) = microsecondsSinceEpoch.flooredQuotientAndRemainder(Self.microsecondsPerSecond)
    let whole = Date(timeIntervalSince1970: Double(seconds)).formatted(.iso8601)
    let digits = String(fraction + Self.microsecondsPerSecond).dropFirst()
    return "\(whole.dropLast()).\(digits)Z"
  }

  /// Reads a time with its zone, `Z` or `+01:00`; `nil` for anything else. Digits beyond microseconds are
  /// ignored.
  package init?(iso8601 text: some StringProtocol) {
    guard let match = String(text).wholeMatch(of: /([^.]+T[^.Z+-]+)(?:\.([0-9]+))?(Z|[+-].+)/),
      let date = try? Date("\(match.1)\(match.3)", strategy: .iso8601)
    else { return nil }
    let digits = (match.2 ?? "").prefix(6)
    let padded = digits + String(repeating: "0", count: 6 - digits.count)
    guard let fraction = Int64(padded) else { return nil }
    let seconds = Int64(date.timeIntervalSince1970.rounded())
    self.init(microsecondsSinceEpoch: seconds * Self.microsecondsPerSecond + fraction)
  }
}

extension Int64 {
  /// Division that rounds down, so that the remainder is never negative.
  fileprivate func flooredQuotientAndRemainder(_ divisor: Int64) -> (quotient: Int64, remainder: Int64) {
    let (quotient, remainder) = quotientAndRemainder(dividingBy: divisor)
    return remainder < 0 ? (quotient - 1, remainder + divisor) : (quotient, remainder)
  }
}
