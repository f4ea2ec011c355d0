#if AWS
import Tidemark

extension Timestamp {
  static func + (time: Timestamp, duration: Duration) -> Timestamp {
    Timestamp(microsecondsSinceEpoch: time.microsecondsSinceEpoch + duration.microseconds)
  }

  static func - (time: Timestamp, earlier: Timestamp) -> Duration {
    .microseconds(time.microsecondsSinceEpoch - earlier.microsecondsSinceEpoch)
  }

  /// `20150830T123600Z`
  var basicISO8601: String {
    let (day, second) = daysAndSeconds
    let (year, month, dayOfMonth) = Self.date(daysSinceEpoch: day)
    let date = Self.digits(year, 4) + Self.digits(month, 2) + Self.digits(dayOfMonth, 2)
    return
      "\(date)T\(Self.digits(second / 3600, 2))\(Self.digits(second / 60 % 60, 2))\(Self.digits(second % 60, 2))Z"
  }

  /// `2015-08-30T12:36:00Z`, with a fraction of the second or an offset from UTC if there is one.
  init?(iso8601 text: String) {
    let pattern =
      /(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.(\d+))?(?:[Zz]|UTC|([+-])(\d\d):?(\d\d))/
    guard let match = text.wholeMatch(of: pattern), let year = Int(match.1), let month = Int(match.2),
      let day = Int(match.3), let hour = Int(match.4), let minute = Int(match.5), let second = Int(match.6)
    else { return nil }
    let fraction = Int64((match.7.map(String.init) ?? "").padding(to: 6)) ?? 0
    var offset = 0
    if let hours = match.9.flatMap({ Int($0) }), let minutes = match.10.flatMap({ Int($0) }) {
      offset = (hours * 3600 + minutes * 60) * (match.8 == "-" ? -1 : 1)
    }
    self.init(year: year, month: month, day: day, secondOfDay: hour * 3600 + minute * 60 + second - offset)
    microsecondsSinceEpoch += fraction
  }

  /// `Sun, 30 Aug 2015 12:36:00 GMT`, as HTTP's `Date` header has it.
  init?(httpDate text: String) {
    let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
    // Not a pattern: every page of records has a date.
    let parts = text.split { $0 == " " || $0 == ":" }
    guard parts.count == 8, parts[0].hasSuffix(","), parts[7] == "GMT", let day = Int(parts[1]),
      let month = months.firstIndex(of: String(parts[2])), let year = Int(parts[3]), let hour = Int(parts[4]),
      let minute = Int(parts[5]), let second = Int(parts[6])
    else { return nil }
    self.init(year: year, month: month + 1, day: day, secondOfDay: hour * 3600 + minute * 60 + second)
  }

  private init(year: Int, month: Int, day: Int, secondOfDay: Int) {
    let days = Self.daysSinceEpoch(year: year, month: month, day: day)
    self.init(microsecondsSinceEpoch: Int64(days * 86_400 + secondOfDay) * 1_000_000)
  }

  private var daysAndSeconds: (day: Int, second: Int) {
    let seconds = Int((Double(microsecondsSinceEpoch) / 1_000_000).rounded(.down))
    let day = seconds >= 0 ? seconds / 86_400 : -((86_399 - seconds) / 86_400)
    return (day, seconds - day * 86_400)
  }

  private static func digits(_ value: Int, _ count: Int) -> String {
    let text = String(value)
    return String(repeating: "0", count: max(0, count - text.count)) + text
  }

  /// The Gregorian calendar in eras of 400 years that begin on a first of March.
  private static func daysSinceEpoch(year: Int, month: Int, day: Int) -> Int {
    let year = month <= 2 ? year - 1 : year
    let era = year / 400
    let yearOfEra = year - era * 400
    let dayOfYear = (153 * ((month + 9) % 12) + 2) / 5 + day - 1
    return era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468
  }

  private static func date(daysSinceEpoch: Int) -> (year: Int, month: Int, day: Int) {
    let days = daysSinceEpoch + 719_468
    let era = days / 146_097
    let day = days - era * 146_097
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365
    let dayOfYear = day - (365 * year + year / 4 - year / 100)
    let shifted = (5 * dayOfYear + 2) / 153
    let month = shifted < 10 ? shifted + 3 : shifted - 9
    return (year + era * 400 + (month <= 2 ? 1 : 0), month, dayOfYear - (153 * shifted + 2) / 5 + 1)
  }
}

extension Duration {
  var microseconds: Int64 {
    components.seconds * 1_000_000 + components.attoseconds / 1_000_000_000_000
  }
}

extension String {
  fileprivate func padding(to count: Int) -> String {
    String(prefix(count)) + String(repeating: "0", count: Swift.max(0, count - self.count))
  }
}
#endif
