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
    return timestamp(day, time, offset)
  }

  /// - Returns: `nil` also where the time of day or the zone is missing: what ISO 8601 calls a moment in time.
  static func parseMoment(_ text: UnsafeRawBufferPointer) -> Timestamp? {
    var scanner = Scanner(text: text)
    guard let day = scanner.date()?.since else { return nil }
    let startOfTime = scanner.position
    guard let time = scanner.timeOfDay(), scanner.position > startOfTime else { return nil }
    let startOfZone = scanner.position
    guard let offset = scanner.zone(), scanner.position > startOfZone, scanner.isAtEnd else { return nil }
    return timestamp(day, time, offset)
  }

  private static func timestamp(_ day: CivilDate, _ time: Int64, _ offset: Int64) -> Timestamp? {
    let seconds = day.daysSince1970 * 86_400 - offset
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

    /// The day if the year is after and if it is before Christ.
    mutating func date() -> (since: CivilDate?, before: CivilDate?)? {
      guard let year = digits(4...7), skip("-"), let month = digits(2...2), skip("-"),
        let day = digits(2...2)
      else { return nil }
      return (
        CivilDate(year: year, month: month, day: day), CivilDate(year: 1 - year, month: month, day: day)
      )
    }

    /// Microseconds since midnight; 0 if there is no time.
    mutating func timeOfDay() -> Int64? {
      guard
        skip("T") || skip("t")
          || !isAtEnd && text[position] == 0x20 && hasDigit(at: position + 1) && skip(" ")
      else {
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
      let count = position - start
      while hasDigit(at: position) { position += 1 }
      return whole + (count..<6).reduce(fraction) { value, _ in value * 10 }
    }

    private func hasDigit(at position: Int) -> Bool { position < text.count && isDigit(text[position]) }

    /// Seconds east of UTC.
    mutating func zone() -> Int64? {
      if skip("Z") || skip("z") || skip("UTC") { return 0 }
      let isWest = skip("-")
      guard isWest || skip("+") else { return 0 }
      guard let hours = digits(2...2) else { return nil }
      var offset = hours * 3600
      if skip(":") || hasDigit(at: position) {
        guard let minutes = digits(2...2) else { return nil }
        offset += minutes * 60
      }
      if skip(":") {
        guard let seconds = digits(2...2) else { return nil }
        offset += seconds
      }
      return isWest ? -offset : offset
    }
  }
}
