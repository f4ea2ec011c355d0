#if AWS
import NIOHTTP1
import ServiceLifecycle
import Synchronization
import TestSupport
import Testing
import Tidemark

@testable import AWSRequests
@testable import TidemarkAWS

@Suite("Workers over services that fail", .sharesMachine)
struct FaultyServiceTests {
  /// Counts what a worker tells of records that were trimmed.
  private final class Events: WorkerEvents {
    let trimmed = Mutex<[TidemarkError.Code]>([])
    let failures = Mutex<[TidemarkError.Code]>([])
    let stops = Mutex(0)
    var hasStopped: Bool { stops.withLock { $0 > 0 } }

    func recordsTrimmed(_ grant: LeaseGrant, after position: Checkpoint, error: TidemarkError) {
      trimmed.withLock { $0.append(error.code) }
    }

    func readingFailed(_ grant: LeaseGrant, error: TidemarkError, nextAttempt: Duration) {
      failures.withLock { $0.append(error.code) }
    }

    func leaseEnded(_ grant: LeaseGrant, how: LeaseEnd) {
      if how == .stopped { stops.withLock { $0 += 1 } }
    }
  }

  private static func log() -> DeliveredValues {
    DeliveredValues { record in
      guard record.data == nil else { return (record.partitionKey, try record.value) }
      guard let id = try record.change?.keys(as: [String: String].self)["id"] else { return nil }
      return (id, try record.value)
    }
  }

  private func run(_ worker: ServiceGroup, _ body: () async throws -> Void) async throws {
    try await withThrowingTaskGroup(of: Void.self) { tasks in
      tasks.addTask { try await worker.run() }
      try await body()
      await worker.triggerGracefulShutdown()
      try await tasks.waitForAll()
    }
  }

  /// A fault now and then, of each kind in turn, at every operation alike.
  private static func storm() -> @Sendable (ReceivedRequest) -> Reply? {
    let faults: [Reply] = [
      .failing("ThrottlingException"), .failing("InternalServerError", status: 500), .error(503, "<html>"),
      Reply(body: #"{"Records":[],"NextShardIterator":"x"}"#, delivery: .reset), .json("{nonsense}"),
      Reply(body: #"{"Records":[]}"#, delivery: .cut), Reply(headers: ["x-amz-crc32": "1"]), .json("{}"),
      .failing("LimitExceededException"), .failing("AccessDeniedException"),
    ]
    let calls = Mutex(0)
    return { _ in
      let call = calls.withLock { calls in
        calls += 1
        return calls
      }
      // Some come in a row.
      return call % 17 < 5 ? faults[(call / 17 + call) % faults.count] : nil
    }
  }

  /// With real pauses, but none long.
  private static func impatience(_ configuration: inout AWSConfiguration) {
    configuration.retry.transient = Backoff(initial: .milliseconds(1), maximum: .milliseconds(5), jitter: 1)
    configuration.retry.throttle = Backoff(initial: .milliseconds(1), maximum: .milliseconds(5), jitter: 1)
  }

  @Test("workers read all of DynamoDB Streams, each record once and in order, while shards rotate")
  func dynamoDBStorm() async throws {
    let reading = try await DynamoDBReading(
      .init(recordsPerShard: 30, hasEmptyPages: true),
      environment: AWSEnvironment(),
      pollInterval: .milliseconds(20),
      Self.impatience
    )
    let log = Self.log()
    reading.fake.faults.ask(Self.storm())
    try await run(try await log.workers(1, of: reading.source)[0]) {
      for round in 0..<8 {
        for item in ["a", "b", "c"] { reading.put(round * 20..<round * 20 + 20, id: item) }
        try await eventually("they are handled") { log.count == (round + 1) * 60 }
      }
    }
    for item in ["a", "b", "c"] { #expect(log.values(of: item) == Array(0..<160)) }
    #expect(log.shardCount > 8)
  }

  @Test("workers read all of Kinesis, each record once and in order")
  func kinesisStorm() async throws {
    let reading = try await KinesisReading(
      environment: AWSEnvironment(),
      retrieval: .polling(interval: .milliseconds(200)),
      Self.impatience
    )
    let log = Self.log()
    reading.faults.ask(Self.storm())
    try await run(try await log.workers(1, of: reading.source)[0]) {
      for round in 0..<5 {
        reading.put(round * 20..<round * 20 + 20)
        try await eventually("they are handled") { log.count == (round + 1) * 20 }
      }
    }
    #expect(log.values(of: "k") == Array(0..<100))
  }

  @Test("workers survive a storm of throttling that is longer than a call's patience")
  func throttledListing() async throws {
    let reading = try await DynamoDBReading(
      environment: AWSEnvironment(),
      pollInterval: .milliseconds(20)
    ) {
      Self.impatience(&$0)
      $0.retry.maximumAttempts = AWSRetryPolicy().maximumAttempts
    }
    reading.put(0..<3)
    let log = Self.log()
    for operation in ["ListStreams", "DescribeStream", "GetShardIterator", "GetRecords"] {
      for _ in 0..<20 { reading.fake.faults.add(operation, .failing("ThrottlingException")) }
    }
    try await run(try await log.workers(1, of: reading.source)[0]) {
      try await eventually("all are handled") { log.count == 3 }
    }
    #expect(log.values(of: "a") == [0, 1, 2])
    #expect(reading.server.calls("DescribeStream") > 20)
  }

  @Test(
    "workers stop or go on, as the policy says, where records were trimmed before they were read, and tell it",
    arguments: [TrimmedDataPolicy.stop, .skipToHorizon],
    ["GetShardIterator", "GetRecords"]
  )
  func trimmed(policy: TrimmedDataPolicy, operation: String) async throws {
    let table = try await OldTable()
    let (log, events) = (Self.log(), Events())
    let workers = try await log.workers(2, of: table.reading.source, events: events) {
      $0.reading.trimmedData = policy
    }
    table.reading.put(0..<2)
    try await run(workers[0]) {
      try await eventually("the first are handled") { log.count == 2 }
    }
    table.reading.put(2..<4)
    table.letDayPass()
    table.reading.put(4..<6)
    // The service trims at any moment, also between an iterator and its use.
    let fake = table.reading.fake
    let hasIterator = Mutex(operation == "GetShardIterator")
    fake.faults.ask { request in
      if request.body.contains("AFTER_SEQUENCE_NUMBER") { hasIterator.withLock { $0 = true } }
      if request.operation == operation, hasIterator.withLock({ $0 }) { fake.change { $0.trim() } }
      return nil
    }
    try await run(workers[1]) {
      try await eventually("the gap is reported") { events.trimmed.withLock { $0 } == [.recordsTrimmed] }
      switch policy {
      case .stop: try await eventually("the shard is stopped") { events.hasStopped }
      case .skipToHorizon: try await eventually("what is left is handled") { log.count == 4 }
      }
    }
    #expect(log.values(of: "a") == (policy == .stop ? [0, 1] : [0, 1, 4, 5]))
  }

  @Test(
    "workers stop at a shard that is gone, or go on with its children, as the policy says, and tell it",
    arguments: [TrimmedDataPolicy.stop, .skipToHorizon]
  )
  func gone(policy: TrimmedDataPolicy) async throws {
    let table = try await OldTable()
    let (log, events) = (Self.log(), Events())
    let workers = try await log.workers(2, of: table.reading.source, events: events) {
      $0.reading.trimmedData = policy
    }
    table.reading.put(0..<2)
    try await run(workers[0]) {
      try await eventually("the first are handled") { log.count == 2 }
    }
    table.reading.put(2..<4)
    table.reading.fake.change { $0.rotateAll() }
    table.letDayPass()
    table.reading.fake.change { $0.trim() }
    table.reading.put(4..<6)
    try await run(workers[1]) {
      try await eventually("the gaps are reported") { events.trimmed.withLock { $0.count } == 4 }
      switch policy {
      case .stop: try await eventually("the shards are stopped") { events.hasStopped }
      case .skipToHorizon: try await eventually("the child is handled") { log.count == 4 }
      }
    }
    #expect(events.trimmed.withLock { $0 } == Array(repeating: .shardNotFound, count: 4))
    #expect(log.values(of: "a") == (policy == .stop ? [0, 1] : [0, 1, 4, 5]))
  }

  @Test(
    "workers tell that a Kinesis stream was deleted and created again, and leave the new one to workers that start again"
  )
  func createdAgain() async throws {
    let reading = try await KinesisReading(
      environment: AWSEnvironment(),
      retrieval: .polling(interval: .milliseconds(200))
    )
    let (log, events) = (Self.log(), Events())
    let worker = try await log.workers(1, of: reading.source, events: events)[0]
    reading.put(0..<3)
    try await run(worker) {
      try await eventually("all is handled") { log.count == 3 }
      reading.createAgain()
      try await eventually("it is reported") { events.failures.withLock { $0.contains(.streamNotFound) } }
      reading.put(10..<20)
    }
    #expect(log.values(of: "k") == [0, 1, 2])
  }

  /// A table whose days pass on command, while pauses take their time.
  private struct OldTable {
    let reading: DynamoDBReading
    private let days: Days

    private final class Days: Sendable {
      let passed = Mutex(Duration.zero)
    }

    init() async throws {
      let days = Days()
      self.days = days
      reading = try await DynamoDBReading(
        environment: AWSEnvironment(now: { AWSEnvironment.wallClockOfMachine() + days.passed.withLock { $0 } }
        ),
        pollInterval: .milliseconds(20)
      )
    }

    func letDayPass() { days.passed.withLock { $0 += .seconds(25 * 3600) } }
  }
}
#endif
