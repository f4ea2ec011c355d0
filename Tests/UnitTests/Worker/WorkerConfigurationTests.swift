import Testing

@testable import Tidemark

@Suite("The configuration of a worker")
struct WorkerConfigurationTests {
  private func violations(_ change: (inout WorkerConfiguration) -> Void) -> [String] {
    var configuration = WorkerConfiguration()
    change(&configuration)
    return configuration.violations()
  }

  @Test("its defaults are right")
  func defaults() throws {
    try WorkerConfiguration().validate()
  }

  @Test("one that breaks several rules names all of them")
  func all() throws {
    var configuration = WorkerConfiguration()
    configuration.failover.margin = .seconds(30)
    configuration.failover.heartbeatInterval = .zero
    configuration.failover.lookInterval = .zero
    configuration.handoff.timeout = .zero
    configuration.handoff.drainTimeout = .seconds(-1)
    configuration.stall.timeout = .seconds(1)
    configuration.planning.interval = .zero
    configuration.planning.tolerance = .nan
    configuration.planning.maximumLeases = 0
    configuration.reading.maximumRecords = 0
    configuration.reading.shardSyncInterval = .zero
    configuration.failurePolicy.maximumAttempts = 0
    configuration.failurePolicy.backoff.jitter = 2
    let error = #expect(throws: TidemarkError.self) { try configuration.validate() }
    #expect(error?.code == .invalidConfiguration)
    for name in [
      "failover.margin", "failover.heartbeatInterval", "failover.lookInterval", "handoff.timeout",
      "handoff.drainTimeout", "stall.timeout", "planning.interval", "planning.tolerance",
      "planning.maximumLeases", "reading.maximumRecords", "reading.shardSyncInterval",
      "failurePolicy.maximumAttempts", "failurePolicy.backoff.jitter",
    ] {
      #expect(error?.message.contains(name) == true, "\(name) is not named")
    }
  }

  @Test("leases must be trusted for three heartbeats, so that one may be lost")
  func heartbeats() {
    let found = violations {
      $0.failover.interval = .seconds(4)
      $0.failover.heartbeatInterval = .seconds(1)
      $0.failover.margin = .milliseconds(1100)
    }
    #expect(found.count == 1)
    #expect(found.first?.contains("a third of the time that leases are trusted") == true)
    #expect(violations { $0.failover.heartbeatInterval = .milliseconds(1251) }.count == 1)
  }

  @Test("the margin must cover clocks of different speeds, and leave time to work")
  func margin() {
    #expect(violations { $0.failover.margin = .milliseconds(249) }.count == 1)
    #expect(violations { $0.failover.margin = .milliseconds(250) }.isEmpty)
    let slow = violations {
      $0.failover.heartbeatInterval = .milliseconds(800)
      $0.failover.margin = .milliseconds(2501)
    }
    #expect(slow.count == 1)
  }

  @Test("looks must not be rarer than heartbeats")
  func looks() {
    #expect(violations { $0.failover.lookInterval = .seconds(1) }.isEmpty)
    #expect(violations { $0.failover.lookInterval = .milliseconds(1001) }.count == 1)
  }

  @Test("a handoff and a drain must have time to be heard of")
  func handoffs() {
    #expect(violations { $0.handoff.timeout = .milliseconds(1999) }.count == 1)
    #expect(violations { $0.handoff.drainTimeout = .milliseconds(1999) }.count == 1)
    #expect(
      violations {
        $0.handoff.timeout = .seconds(2)
        $0.handoff.drainTimeout = .seconds(2)
      }.isEmpty
    )
  }

  @Test("a stall must take longer than a failover")
  func stalls() {
    #expect(violations { $0.stall.timeout = .milliseconds(4999) }.count == 1)
    #expect(violations { $0.stall.timeout = nil }.isEmpty)
  }

  @Test("values that are absurd are named, not crashed over")
  func absurd() {
    let durations: [Duration] = [.seconds(Int64.max), .seconds(Int64.min), .zero, .seconds(-1)]
    for duration in durations {
      let found = violations {
        $0.failover.interval = duration
        $0.failover.heartbeatInterval = duration
        $0.failover.margin = duration
        $0.failover.lookInterval = duration
        $0.handoff.timeout = duration
        $0.handoff.drainTimeout = duration
        $0.planning.interval = duration
        $0.reading.shardSyncInterval = duration
      }
      #expect(found.count >= 7, "\(found)")
    }
  }
}
