#if AWS
import Tidemark

extension Timestamp {
  package static func + (time: Timestamp, duration: Duration) -> Timestamp {
    Timestamp(microsecondsSinceEpoch: time.microsecondsSinceEpoch + duration.microseconds)
  }

  package static func - (time: Timestamp, earlier: Timestamp) -> Duration {
    .microseconds(time.microsecondsSinceEpoch - earlier.microsecondsSinceEpoch)
  }

  /// `Sun, 30 Aug 2015 12:36:00 GMT`, as HTTP's `Date` header has it.
  package init?(httpDate text: String) {
    let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
    // Not a pattern: every page of records has a date.
    let parts = text.split { $0 == " " || $0 == ":" }
    guard parts.count == 8, parts[0].hasSuffix(","), parts[7] == "GMT", let day = Int64(parts[1]),
      let month = months.firstIndex(of: String(parts[2])), let year = Int64(parts[3]),
      let date = CivilDate(year: year, month: Int64(month) + 1, day: day), let hour = Int64(parts[4]),
      let minute = Int64(parts[5]), let second = Int64(parts[6]),
      (0...9999).contains(year), [hour, minute, second].allSatisfy({ (0...60).contains($0) })
    else { return nil }
    let seconds = date.daysSince1970 * 86_400 + hour * 3600 + minute * 60 + second
    self.init(microsecondsSinceEpoch: seconds * 1_000_000)
  }
}

extension Duration {
  package var microseconds: Int64 {
    components.seconds * 1_000_000 + components.attoseconds / 1_000_000_000_000
  }
}
#endif
