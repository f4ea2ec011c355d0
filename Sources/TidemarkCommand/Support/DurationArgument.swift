import ArgumentParser

/// A duration as it is written on the command line: `24h`, `90m`, `5s`, `500ms`.
struct DurationArgument: ExpressibleByArgument, Sendable, Equatable, CustomStringConvertible {
  var duration: Duration

  private static let units: [(suffix: String, milliseconds: Int64)] = [
    ("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000),
  ]

  init(_ duration: Duration) {
    self.duration = duration
  }

  /// - Returns: `nil` for anything but a whole number and its unit.
  init?(argument: String) {
    // "ms" before "s" and "m": the first suffix that fits is the unit.
    guard let unit = Self.units.first(where: { argument.hasSuffix($0.suffix) }) else { return nil }
    let digits = argument.dropLast(unit.suffix.count)
    guard digits.allSatisfy({ "0"..."9" ~= $0 }), let count = Int64(digits) else { return nil }
    let (milliseconds, overflow) = count.multipliedReportingOverflow(by: unit.milliseconds)
    guard !overflow else { return nil }
    duration = .milliseconds(milliseconds)
  }

  /// In the greatest unit of which it is a whole number. What is less than a millisecond is cut off.
  var description: String {
    let milliseconds = duration.inMilliseconds
    let unit = Self.units.last { milliseconds != 0 && milliseconds.isMultiple(of: $0.milliseconds) }
    guard let unit else { return "0s" }
    return "\(milliseconds / unit.milliseconds)\(unit.suffix)"
  }

  var defaultValueDescription: String { description }
}

extension Duration {
  var inMilliseconds: Int64 {
    components.seconds * 1000 + components.attoseconds / 1_000_000_000_000_000
  }

  var inSeconds: Double { self / .seconds(1) }
}
