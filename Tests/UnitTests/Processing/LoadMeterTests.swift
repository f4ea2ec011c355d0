import Testing

@testable import Tidemark

@Suite("The load meter")
struct LoadMeterTests {
  private let start = ContinuousClock.now

  private func meter(continuing load: Lease.Load? = nil) -> LoadMeter {
    LoadMeter(now: start, continuing: load)
  }

  @Test("the first measurement is what there was, at once")
  func first() throws {
    let meter = meter()
    meter.add(busy: .seconds(2), bytes: 5000, millisBehindLatest: 70)
    let measured = try #require(meter.take(now: start + .seconds(10)))
    #expect(measured.load == Lease.Load(processing: 0.2, bytesPerSecond: 500))
    #expect(measured.millisBehindLatest == 70)
    #expect(meter.take(now: start + .seconds(10)) == nil)
  }

  @Test("what was measured for minutes outweighs a burst, whoever measured it", arguments: [true, false])
  func burst(isNewOwner: Bool) throws {
    let steady = Lease.Load(processing: 0.1, bytesPerSecond: 0)
    let meter = meter(continuing: isNewOwner ? steady : nil)
    var now = start
    if !isNewOwner {
      for _ in 1...30 {
        meter.add(busy: .seconds(1), bytes: 0, millisBehindLatest: 0)
        now += .seconds(10)
        _ = meter.take(now: now)
      }
    }
    meter.add(busy: .seconds(10), bytes: 0, millisBehindLatest: 0)
    let measured = try #require(meter.take(now: now + .seconds(10)))
    #expect(measured.load.processing > 0.1 && measured.load.processing < 0.15)
  }

  @Test("a shard that falls idle is reported until nothing of its load is left, and then no more")
  func idle() throws {
    let meter = meter(continuing: Lease.Load(processing: 0.5, bytesPerSecond: 1_000_000))
    var told: [Heartbeat.Measurement] = []
    var now = start
    repeat {
      now += .seconds(60)
      guard let measured = meter.take(now: now) else { break }
      told.append(measured)
    } while told.count < 1000
    #expect(told.count < 100)
    #expect(told.map(\.load.processing) == told.map(\.load.processing).sorted(by: >))
    #expect(told.last?.load == Lease.Load(processing: 0, bytesPerSecond: 0))
    #expect(told.allSatisfy { $0.millisBehindLatest == 0 })
    meter.add(busy: .seconds(1), bytes: 10_000, millisBehindLatest: 0)
    #expect(meter.take(now: now + .seconds(10)) != nil)
  }

  @Test("a shard in which nothing ever happens is reported once")
  func neverUsed() {
    let meter = meter()
    #expect(meter.take(now: start + .seconds(10))?.load == Lease.Load(processing: 0, bytesPerSecond: 0))
    #expect(meter.take(now: start + .seconds(20)) == nil)
  }
}
