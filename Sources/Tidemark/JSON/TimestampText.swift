/// The forms in which PostgreSQL writes dates and timestamps to JSON: `2026-11-24T14:43:10.123456+00:00`, without zone,
/// without time, with ` BC` after it, `infinity`. A space may stand for the T.
enum TimestampText {
  /// - Returns: the time in UTC, where no zone is named as well; the greatest and smallest for the infinities.
  static func parse(_ text: UnsafeRawBufferPointer) -> Timestamp? {
    if text.elementsEqual("infinity".utf8) { return Timestamp(microsecondsSinceEpoch: .max) }
    if text.elementsEqual("-infinity".utf8) { return Timestamp(microsecondsSinceEpoch: .min) }
    var scanner = Scanner(text: text)
    guard let days = scanner.date(), let time = scanner.timeOfDay(), let offset = scanner.zone() else {
      return nil
    }
    // The year before 1 is 1 BC; only now is it known which of them was meant.
    let isBefore = scanner.skip(" BC")
    guard scanner.isAtEnd, let day = isBefore ? days.before : days.since else { return nil }
    let seconds = day * 86_400 - offset
    let (microseconds, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000)
    let (sum, carry) = microseconds.addingReportingOverflow(time)
    return overflow || carry ? nil : Timestamp(microsecondsSinceEpoch: sum)
  }

  private struct Scanner {
    let text: UnsafeRawBufferPointer
    var position = 0

    var isAtEnd: Bool { position == text.count }

    mutating func skip(_ word: StaticString) -> Bool {
      let count = word.utf8CodeUnitCount
      guard position + count <= text.count,
        text[position..<position + count].elementsEqual(
          UnsafeBufferPointer(start: word.utf8Start, count: count)
        )
      else { return false }
      position += count
      return true
    }

    mutating func digits(_ counts: ClosedRange<Int>) -> Int64? {
      let digits = text[position...].prefix(counts.upperBound).prefix(while: isDigit)
      guard digits.count >= counts.lowerBound else { return nil }
      position += digits.count
      return digits.reduce(0) { $0 * 10 + Int64($1 - UInt8(ascii: "0")) }
    }

    /// Days since 1970, if the year is after and if it is before Christ.
    mutating func date() -> (since: Int64?, before: Int64?)? {
      guard let year = digits(4...7), skip("-"), let month = digits(2...2), skip("-"),
        let day = digits(2...2),
        (1...12).contains(month), (1...31).contains(day)
      else { return nil }
      return (Self.days(year, month, day), Self.days(1 - year, month, day))
    }

    /// Microseconds since midnight; 0 if there is no time.
    mutating func timeOfDay() -> Int64? {
      guard skip("T") || !isAtEnd && text[position] == 0x20 && hasDigit(at: position + 1) && skip(" ") else {
        return 0
      }
      guard let hour = digits(2...2), skip(":"), let minute = digits(2...2), skip(":"),
        let second = digits(2...2),
        hour <= 24, minute <= 59, second <= 60
      else { return nil }
      let whole = (hour * 3600 + minute * 60 + second) * 1_000_000
      guard skip(".") else { return whole }
      let start = position
      guard let fraction = digits(1...6) else { return nil }
      return whole + (position - start..<6).reduce(fraction) { value, _ in value * 10 }
    }

    private func hasDigit(at position: Int) -> Bool { position < text.count && isDigit(text[position]) }

    /// Seconds east of UTC.
    mutating func zone() -> Int64? {
      if skip("Z") { return 0 }
      let isWest = skip("-")
      guard isWest || skip("+") else { return 0 }
      guard let hours = digits(2...2) else { return nil }
      var offset = hours * 3600
      if skip(":") {
        guard let minutes = digits(2...2) else { return nil }
        offset += minutes * 60
      }
      if skip(":") {
        guard let seconds = digits(2...2) else { return nil }
        offset += seconds
      }
      return isWest ? -offset : offset
    }

    /// https://howardhinnant.github.io/date_algorithms.html#days_from_civil, `nil` for a day that the month has not.
    private static func days(_ year: Int64, _ month: Int64, _ day: Int64) -> Int64? {
      let isLeap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
      let last = month == 2 ? (isLeap ? 29 : 28) : [4, 6, 9, 11].contains(month) ? 30 : 31
      if day > last { return nil }
      let year = month <= 2 ? year - 1 : year
      let era = (year >= 0 ? year : year - 399) / 400
      let yearOfEra = year - era * 400
      let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
      return era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468
    }
  }
}
