import BenchmarkSupport

/// The rates of writers who take turns in several ways, the first of which is what the others are compared with.
struct WriterTurns<Way: CaseIterable & Hashable & RawRepresentable> where Way.RawValue == String {
  private var rates: [Way: [Double]] = [:]

  mutating func add(_ rate: Double, for way: Way) { rates[way, default: []].append(rate) }

  func report(_ load: WriterLoad, required: [Way: String]) {
    var report = Report(
      "Single-row updates by \(load.connections) connections, \(load.duration.components.seconds) s each; medians, in turns",
      "",
      "transactions/s",
      "of without",
      "required"
    )
    let without = Way.allCases.first.flatMap { rates[$0] } ?? []
    for way in Way.allCases where rates[way] != nil {
      let ratios = zip(rates[way] ?? [], without).map { $0 / $1 }
      report.add(
        way.rawValue,
        Int(median(rates[way] ?? []) ?? 0).grouped,
        (median(ratios) ?? 0).formatted(2),
        required[way] ?? ""
      )
    }
    report.print()
  }
}
