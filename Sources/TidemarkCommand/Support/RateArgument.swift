import ArgumentParser

/// Records per second, as they are written on the command line: `1000/s`, `0.5/s`; the unit may be left out.
struct RateArgument: ExpressibleByArgument, Sendable, CustomStringConvertible {
  var recordsPerSecond: Double

  init(_ recordsPerSecond: Double) {
    self.recordsPerSecond = recordsPerSecond
  }

  init?(argument: String) {
    let number = argument.hasSuffix("/s") ? argument.dropLast(2) : argument[...]
    guard let rate = Double(number), rate.isFinite, rate >= 0 else { return nil }
    recordsPerSecond = rate
  }

  /// To a tenth, which is more than a rate that changes all the time says.
  var description: String {
    let tenths = (recordsPerSecond * 10).rounded() / 10
    return (tenths == tenths.rounded() ? String(Int64(tenths)) : String(tenths)) + "/s"
  }
}
