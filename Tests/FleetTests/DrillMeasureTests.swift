import Testing

@testable import FleetDrill

@Suite("What a drill measures")
struct DrillMeasureTests {
  @Test("a limit holds for the median and for the greatest")
  func limits() {
    func isMet(_ limit: DrillMeasure.Limit?) -> Bool {
      var measure = DrillMeasure("m", .seconds, limit: limit)
      for sample in [3.0, 1, 2] { measure.add(sample) }
      return measure.isMet
    }
    #expect(isMet(nil))
    #expect(isMet(DrillMeasure.Limit(median: 2, max: 3)))
    #expect(!isMet(DrillMeasure.Limit(median: 1.9)))
    #expect(!isMet(DrillMeasure.Limit(max: 2.9)))
    #expect(!DrillMeasure("nothing was measured", .seconds).isMet)
  }

  @Test("a gap is what the readers added to the writers' pause, in one shard and after the moment")
  func gap() {
    let history = [
      handled("a", at: 1000, written: 900), handled("b", at: 1500, written: 1400),
      // 500 µs after the one before, written 100 µs after it.
      handled("a", at: 1500, written: 1000),
      // The writer paused, the reader did not.
      handled("b", at: 9000, written: 8900),
      handled("c", at: 9000, written: 100), handled("c", at: 9900, written: 100),
    ]
    #expect(HandlingGap.longest(in: ["a", "b"], since: 0, history) == .microseconds(400))
    #expect(HandlingGap.longest(in: ["a", "b"], since: 2000, history) == .zero)
    #expect(HandlingGap.longest(in: ["c"], since: 0, history) == .microseconds(900))
  }

  private func handled(_ shard: String, at: Int64, written: Int64) -> HistoryEntry {
    HistoryEntry(at: at, worker: "w", kind: .handled, shard: shard, epoch: 1, written: written)
  }
}
