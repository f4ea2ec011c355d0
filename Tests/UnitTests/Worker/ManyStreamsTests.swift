import Logging
import ServiceLifecycle
import Synchronization
import TestSupport
import Testing
import Tidemark
import TidemarkTestKit

@Suite("Workers of many streams, in memory", .sharesMachine)
struct ManyStreamsTests {
  /// Streams that a test adds and takes away.
  private final class Catalog: StreamCatalog {
    private let current: Mutex<[InMemoryStream]>

    init(_ streams: [InMemoryStream]) { current = Mutex(streams) }

    func set(_ streams: [InMemoryStream]) { current.withLock { $0 = streams } }
    func streams() async throws -> [any StreamSource] { current.withLock { $0 } }
  }

  /// Which streams nobody serves, as workers have told.
  private final class Events: WorkerEvents {
    private let told = Mutex<[[String]]>([])

    var unserved: [[String]] { told.withLock { $0 } }

    func streamsUnserved(_ streams: [String]) { told.withLock { $0.append(streams) } }
  }

  private static let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
  private let store = InMemoryLeaseStore()
  private let scope = LeaseScope(application: "app")
  private let history = TestFleet.History()
  private let events = Events()

  private func worker(
    _ name: String,
    _ catalog: any StreamCatalog,
    maximumLeases: Int? = nil
  ) throws -> ServiceGroup {
    var configuration = WorkerConfiguration()
    configuration.failover.interval = .seconds(20)
    configuration.failover.heartbeatInterval = .milliseconds(60)
    configuration.failover.margin = .seconds(1)
    configuration.failover.lookInterval = .milliseconds(5)
    configuration.reading.shardSyncInterval = .milliseconds(20)
    configuration.planning.maximumLeases = maximumLeases
    let history = history
    let worker = try Worker(
      application: scope.application,
      catalog: catalog,
      leases: InMemoryLeaseStore(sharing: store),
      configuration: configuration,
      identity: WorkerIdentity(workerID: name, host: "here", processID: 1),
      events: events,
      logger: Self.logger,
      processor: { HistoryProcessor(worker: name, history: history, context: $0) }
    )
    return ServiceGroup(configuration: .init(services: [.init(service: worker)], logger: Self.logger))
  }

  private func stream(_ name: String, shards: Int = 1) -> InMemoryStream {
    InMemoryStream(name: name, shardCount: shards, pageWait: .milliseconds(50))
  }

  private func run(_ workers: [ServiceGroup], _ body: @Sendable () async throws -> Void) async throws {
    try await withThrowingTaskGroup(of: Void.self) { group in
      for worker in workers { group.addTask { try await worker.run() } }
      try await body()
      for worker in workers { await worker.triggerGracefulShutdown() }
      try await group.waitForAll()
    }
  }

  /// How many leases each living worker has, in the order of their names.
  private var counts: [Int] {
    let owners = store.currentLeases(in: scope).map(\.owner)
    return store.currentWorkers(in: scope).sorted { $0.registration.workerID < $1.registration.workerID }
      .map { worker in owners.count { $0 == worker.incarnation } }
  }

  private func owner(of stream: String) -> String? {
    let lease = store.currentLeases(in: scope).first { $0.stream == stream }
    return store.currentWorkers(in: scope).first { $0.incarnation == lease?.owner }?.registration.workerID
  }

  private func handled(_ stream: String) -> [String] {
    history.entries.filter { $0.grant.stream == stream }.map(\.key)
  }

  @Test("share thirty streams of one shard evenly, and handle every record once")
  func share() async throws {
    let streams = (0..<30).map { stream("stream-\($0)") }
    for stream in streams { for key in 0..<5 { try stream.put([0], partitionKey: "\(key)") } }
    let catalog = Catalog(streams)
    try await run([worker("a", catalog), worker("b", catalog), worker("c", catalog)]) {
      try await eventually("balance") { counts == [10, 10, 10] }
      try await eventually("all handled") { history.entries.count >= 150 }
      for stream in streams { try stream.put([0], partitionKey: "5") }
      try await eventually("all handled") { history.entries.count >= 180 }
    }
    #expect(history.entries.count == 180)
    #expect(streams.indices.allSatisfy { handled("stream-\($0)") == ["0", "1", "2", "3", "4", "5"] })
  }

  /// A catalog that lists the shards of some streams together.
  private final class Lister: StreamCatalog {
    let together: [InMemoryStream]
    let alone: [InMemoryStream]
    let mayList = Mutex(false)
    let asked = Mutex(0)

    init(together: [InMemoryStream], alone: [InMemoryStream]) {
      (self.together, self.alone) = (together, alone)
    }

    func streams() async throws -> [any StreamSource] { together + alone }

    func shards(of streams: [String: any StreamSource]) async throws -> [String: [Shard]] {
      asked.withLock { $0 += 1 }
      guard mayList.withLock(\.self) else { throw TidemarkError(.sourceUnavailable, "Not now.") }
      var shards: [String: [Shard]] = [:]
      for stream in together { shards[try await stream.streamName()] = try await stream.shards() }
      return shards
    }
  }

  @Test(
    "take shards that the catalog lists together, ask the other streams themselves, and wait until it can list"
  )
  func listedTogether() async throws {
    let catalog = Lister(together: [stream("a"), stream("b", shards: 2)], alone: [stream("c")])
    for stream in catalog.together + catalog.alone { try stream.put([0], partitionKey: "k") }
    try await run([worker("a", catalog)]) {
      try await eventually("it was asked twice") { catalog.asked.withLock { $0 >= 2 } }
      #expect(store.currentLeases(in: scope).isEmpty)
      catalog.mayList.withLock { $0 = true }
      try await eventually("all handled") { history.entries.count == 3 }
    }
    #expect(store.currentLeases(in: scope).count == 4)
  }

  @Test("pick up a stream that comes, let go of one that vanishes, and go on with it where they were")
  func comeAndGo() async throws {
    let (first, second) = (stream("first"), stream("second", shards: 2))
    let catalog = Catalog([first])
    try await run([worker("a", catalog), worker("b", catalog)]) {
      try first.put([0], partitionKey: "1")
      try await eventually("the first is read") { handled("first") == ["1"] }
      catalog.set([first, second])
      for key in 1...4 { try second.put([0], partitionKey: "\(key)") }
      try await eventually("the second is read") { handled("second").count == 4 }
      catalog.set([first])
      try await eventually("the second is let go") {
        store.currentLeases(in: scope).allSatisfy { $0.stream == "first" || $0.owner == nil }
      }
      #expect(store.currentLeases(in: scope).count == 3, "its leases stay")
      for key in 5...8 { try second.put([0], partitionKey: "\(key)") }
      try await eventually("that is reported") { events.unserved.contains(["second"]) }
      catalog.set([second, first])
      try await eventually("the second is read on") { handled("second").count == 8 }
    }
    #expect(Set(handled("second")).count == 8, "nothing is repeated")
  }

  @Test("keep the leases of a vanished stream that was read to its end, so that it is not read again")
  func ended() async throws {
    let (first, second) = (stream("first"), stream("second"))
    let catalog = Catalog([first, second])
    try second.put([0], partitionKey: "1")
    second.close()
    try await run([worker("a", catalog)]) {
      try await eventually("the second is read to its end") {
        store.currentLeases(in: scope).contains { $0.stream == "second" && $0.isEnded }
      }
      catalog.set([first])
      try await eventually("the second is not served") {
        store.currentWorkers(in: scope).allSatisfy { $0.registration.streams == ["first"] }
      }
      // The next syncs have nothing to do with it, and one that creates a lease comes after them.
      _ = first.split(first.currentShards[0].id)
      try await eventually("the split is seen") { store.currentLeases(in: scope).count == 4 }
      catalog.set([first, second])
      try await eventually("the second is served") {
        store.currentWorkers(in: scope).allSatisfy { $0.registration.streams.count == 2 }
      }
      try first.put([0], partitionKey: "2")
      try await eventually("the first is read") { handled("first") == ["2"] }
    }
    #expect(handled("second") == ["1"])
  }

  @Test(
    "of two versions: the old one is never given the new one's stream, and nobody else's death changes that"
  )
  func rollout() async throws {
    let (old, new) = (stream("old", shards: 4), stream("new", shards: 4))
    let both = Catalog([old, new])
    let last = try worker("z", both)
    try await run([worker("a", Catalog([old])), worker("b", Catalog([old]))]) {
      try await eventually("the old ones share") { counts == [2, 2] }
      try await withThrowingTaskGroup(of: Void.self) { group in
        group.addTask { try await last.run() }
        try await eventually("the new one has all of its stream") { counts == [2, 2, 4] }
        #expect(owner(of: "new") == "z")
        await last.triggerGracefulShutdown()
        try await group.waitForAll()
      }
      try await eventually("it has left") { store.currentWorkers(in: scope).count == 2 }
      try await eventually("that is reported") { events.unserved.last == ["new"] }
      let leases = store.currentLeases(in: scope)
      #expect(leases.allSatisfy { ($0.owner == nil) == ($0.stream == "new") })
    }
  }

  @Test("count their cap over all streams")
  func cap() async throws {
    let catalog = Catalog((0..<5).map { stream("stream-\($0)") })
    try await run([worker("a", catalog, maximumLeases: 2), worker("b", catalog)]) {
      try await eventually("all are owned") { counts == [2, 3] }
    }
  }

  @Test("read on what they can while one stream cannot be listed")
  func partial() async throws {
    let (good, bad) = (stream("good"), stream("bad"))
    bad.injectFaults { _ in throw TidemarkError(.sourceUnavailable, "It is away.") }
    try await run([worker("a", Catalog([good, bad]))]) {
      try good.put([0], partitionKey: "1")
      try await eventually("the good one is read") { handled("good") == ["1"] }
      try bad.put([0], partitionKey: "2")
      bad.injectFaults(nil)
      try await eventually("the other is read, too") { handled("bad") == ["2"] }
    }
  }

  @Test("cannot have two streams of one name, or none")
  func names() async throws {
    let twice = try worker("a", Catalog([stream("same"), stream("same")]))
    await #expect {
      try await twice.run()
    } throws: {
      ($0 as? TidemarkError)?.code == .invalidConfiguration
    }
    #expect(throws: TidemarkError.self) {
      try Worker(application: "app", streams: [], leases: store) {
        HistoryProcessor(worker: "a", history: history, context: $0)
      }
    }
  }
}
