import Tidemark
import TidemarkTestKit

/// What one seed draws: the fleet, its configuration, the traffic, and which faults may strike how often.
struct Scenario: Sendable {
  /// How a simulated processor takes its checkpoints.
  enum Style: CaseIterable, Sendable {
    case everyBatch, everyRecord, oneBehind, seldom, prepared, subclass
    /// Keeps records and handles them when it is woken.
    case keeping
  }

  let seed: UInt64
  /// How long faults strike; then the run must come to rest.
  let duration: Duration
  let faults: Set<FaultKind>
  let style: Style
  let streamCount: Int
  /// Of each stream.
  let shardCount: Int
  let workerCount: Int
  let itemCount: Int
  /// Two versions of the configuration may stand side by side.
  let configurations: [WorkerConfiguration]
  let pageWait: Duration
  let putInterval: Duration
  let faultInterval: Duration
  let topologyInterval: Duration
  /// The chance that a call to the store or the source meets a fault of a kind that may strike.
  let callFaultChance: Double
  let recordFaultChance: Double
  /// The longest that a processor hangs.
  let hang: Duration

  init(seed: UInt64, duration: Duration, only: Set<FaultKind>? = nil) {
    var random = SeededRandom(seed: seed)
    self.seed = seed
    self.duration = duration
    let density = Double.random(in: 0.15...0.7, using: &random)
    let drawn = FaultKind.allCases.filter { _ in random.happens(density) }
    let faults = only ?? Set(drawn)
    self.faults = faults
    style = Style.allCases.randomElement(using: &random) ?? .everyBatch
    streamCount = random.happens(0.4) ? 1 : Int.random(in: 2...4, using: &random)
    shardCount = Int.random(in: 1...(streamCount == 1 ? 6 : 3), using: &random)
    workerCount = Int.random(in: 1...5, using: &random)
    itemCount = Int.random(in: 2...40, using: &random)
    pageWait = random.duration(in: .seconds(10)...(.seconds(40)))
    putInterval = random.duration(in: .seconds(4)...(.seconds(60)))
    faultInterval = random.duration(in: .seconds(10)...(.seconds(240)))
    topologyInterval = random.duration(in: .seconds(60)...(.seconds(600)))
    callFaultChance = [0, 0.002, 0.01, 0.05].randomElement(using: &random) ?? 0
    recordFaultChance = [0.002, 0.01, 0.05].randomElement(using: &random) ?? 0
    hang = random.duration(in: .seconds(1)...(.seconds(120)))
    let shared = Self.sharedConfiguration(&random)
    let versions = faults.contains(.mixedConfigurations) ? 2 : 1
    configurations = (0..<versions).map { _ in Self.configuration(shared, &random) }
  }

  /// What all workers of an application have to agree on.
  private static func sharedConfiguration(_ random: inout SeededRandom) -> WorkerConfiguration {
    var configuration = WorkerConfiguration()
    configuration.reading.initialPosition = random.happens(0.25) ? .latest : .trimHorizon
    configuration.reading.trimmedData = random.happens(0.5) ? .stop : .skipToHorizon
    configuration.failurePolicy = FailurePolicy(
      maximumAttempts: random.happens(0.6) ? Int.random(in: 1...4, using: &random) : nil,
      bisectsBatch: random.happens(0.3),
      whenExhausted: random.happens(0.7) ? .deadLetter : .stop,
      backoff: Backoff(initial: .milliseconds(200), maximum: .seconds(10))
    )
    return configuration
  }

  private static func configuration(
    _ shared: WorkerConfiguration,
    _ random: inout SeededRandom
  ) -> WorkerConfiguration {
    var configuration = shared
    let interval = random.duration(in: .seconds(20)...(.seconds(90)))
    configuration.failover.interval = interval
    configuration.failover.heartbeatInterval = interval / Int.random(in: 4...6, using: &random)
    configuration.failover.margin = interval / Int.random(in: 8...12, using: &random)
    let heartbeat = configuration.failover.heartbeatInterval
    configuration.failover.lookInterval = random.duration(in: .seconds(2)...min(.seconds(8), heartbeat))
    configuration.handoff.timeout = random.duration(in: heartbeat * 2...heartbeat * 2 + .seconds(30))
    configuration.handoff.drainTimeout = random.duration(in: heartbeat * 2...heartbeat * 2 + .seconds(80))
    configuration.stall.timeout = random.happens(0.7) ? interval + random.duration(in: .zero...interval) : nil
    configuration.stall.givesLeaseAway = random.happens(0.7)
    configuration.planning.interval = random.duration(in: .seconds(30)...(.seconds(300)))
    configuration.planning.maximumLeases =
      random.happens(0.3) ? Int.random(in: 2...6, using: &random) : nil
    configuration.reading.maximumRecords = Int.random(in: 1...20, using: &random)
    configuration.reading.shardSyncInterval = random.duration(in: .seconds(20)...(.seconds(120)))
    return configuration
  }

  var startsAtLatest: Bool { configurations[0].reading.initialPosition == .latest }
  var skipsTrimmed: Bool { configurations[0].reading.trimmedData == .skipToHorizon }

  /// Within this, once no fault strikes any more, every lease must be owned, the fleet balanced and every record
  /// handled: two failover intervals (one for planners to be trusted again, one for the dead to be found), a
  /// processor that hangs, an overdue handoff, a planning timer, and what is left for pauses between attempts and
  /// for reading a lineage generation by generation.
  var restBound: Duration {
    let interval = configurations.map(\.failover.interval).max() ?? .zero
    let handoff = configurations.map(\.handoff.timeout).max() ?? .zero
    let planning = configurations.map(\.planning.interval).max() ?? .zero
    let sync = configurations.map(\.reading.shardSyncInterval).max() ?? .zero
    return interval * 3 + hang * 2 + handoff + planning + sync * 6 + .seconds(240)
  }
}
