extension Timestamp {
  /// In UTC, with microseconds: `2025-01-31T09:30:00.000000Z`.
  package var iso8601: String {
    let (date, seconds, microseconds) = parts
    return [date.year.padded(4), date.month.padded(2), date.day.padded(2)].joined(separator: "-") + "T"
      + Self.timeOfDay(seconds).joined(separator: ":") + ".\(microseconds.padded(6))Z"
  }

  /// In UTC, in whole seconds, in the basic form: `20150830T123600Z`.
  package var basicISO8601: String {
    let (date, seconds, _) = parts
    return [date.year.padded(4), date.month.padded(2), date.day.padded(2)].joined() + "T"
      + Self.timeOfDay(seconds).joined() + "Z"
  }

  /// Reads a time with its zone, `Z`, `UTC` or `+01:00`; `nil` for anything else. Digits beyond microseconds are ignored.
  package init?(iso8601 text: some StringProtocol) {
    var text = String(text)
    guard let moment = text.withUTF8({ TimestampText.parseMoment(UnsafeRawBufferPointer($0)) }) else {
      return nil
    }
    self = moment
  }

  private var parts: (CivilDate, seconds: Int64, microseconds: Int64) {
    let (seconds, microseconds) = microsecondsSinceEpoch.dividedRoundingDown(by: 1_000_000)
    let (days, secondsOfDay) = seconds.dividedRoundingDown(by: 86_400)
    return (CivilDate(daysSince1970: days), secondsOfDay, microseconds)
  }

  private static func timeOfDay(_ secondOfDay: Int64) -> [String] {
    [secondOfDay / 3600, secondOfDay / 60 % 60, secondOfDay % 60].map { $0.padded(2) }
  }
}

extension Int64 {
  /// The remainder is never negative.
  fileprivate func dividedRoundingDown(by divisor: Int64) -> (quotient: Int64, remainder: Int64) {
    let (quotient, remainder) = quotientAndRemainder(dividingBy: divisor)
    return remainder < 0 ? (quotient - 1, remainder + divisor) : (quotient, remainder)
  }

  fileprivate func padded(_ count: Int) -> String {
    let digits = String(self)
    return String(repeating: "0", count: Swift.max(0, count - digits.count)) + digits
  }
}
