import Logging
import ServiceLifecycle
import Synchronization
import TestSupport
import Testing
import Tidemark
import TidemarkTestKit

@Suite("A fleet of workers, in memory")
struct WorkerTests {
  @Test("three workers share eight shards evenly and handle every record once, in order")
  func share() async throws {
    let fleet = TestFleet(shards: 8)
    try fleet.put(0..<200)
    try await fleet.run([fleet.member("a"), fleet.member("b"), fleet.member("c")]) { fleet in
      try await eventually("balance") {
        let counts = Dictionary(grouping: fleet.leases(), by: \.owner).filter { $0.key != nil }.values.map(
          \.count
        )
        return counts.sorted() == [2, 3, 3]
      }
      try fleet.put(200..<400)
      try await eventually("all handled") { Set(fleet.history.entries.map(\.key)).count == 400 }
    }
    #expect(fleet.history.entries.count == 400)
    for lease in fleet.leases() {
      let numbers = fleet.history.entries.filter { $0.grant.shardID == lease.shardID }.map(\.sequenceNumber)
      #expect(numbers == numbers.sorted())
      #expect(numbers.isEmpty || lease.checkpoint == .record(numbers[numbers.count - 1]))
    }
  }

  @Test("a graceful shutdown hands everything off: nothing is repeated, and nobody owns what is left")
  func drain() async throws {
    let fleet = TestFleet(shards: 4)
    let leaving = try fleet.member("leaving")
    let staying = try fleet.member("staying")
    try await fleet.run([leaving, staying]) { fleet in
      try await eventually("both own leases") {
        Set(fleet.leases().compactMap(\.owner)).count == 2
      }
      try fleet.put(0..<100)
      await leaving.group.triggerGracefulShutdown()
      try fleet.put(100..<200)
      try await eventually("one owner") {
        fleet.leases().allSatisfy { $0.owner != nil && $0.owner == fleet.incarnation(of: "staying") }
      }
      try fleet.put(200..<300)
      try await eventually("all handled") { Set(fleet.history.entries.map(\.key)).count == 300 }
    }
    #expect(fleet.history.entries.count == 300)
    #expect(fleet.history.leaseEnds.allSatisfy { $0.how == .handedOff })
    #expect(fleet.leases().allSatisfy { $0.owner == nil })
    #expect(fleet.history.deaths == 0)
  }

  @Test("the shards of a worker whose session is gone are taken over after its checkpoints")
  func takeover() async throws {
    let fleet = TestFleet(shards: 4)
    let victim = try fleet.member("victim")
    let other = try fleet.member("other")
    try await fleet.run([victim, other]) { fleet in
      try await eventually("both own leases") { Set(fleet.leases().compactMap(\.owner)).count == 2 }
      try fleet.put(0..<50)
      try await eventually("handled and checkpointed") {
        fleet.leases().allSatisfy { lease in
          lease.checkpoint >= fleet.stream.records(of: lease.shardID).last?.checkpoint ?? .trimHorizon
        }
      }
      let epochs = fleet.leases().map(\.epoch)
      let dead = try #require(fleet.incarnation(of: "victim"))
      // The victim hears nothing of it: its calls are lost from now on.
      victim.store.injectFaults { _ in LeaseStoreFault(.requestLost) }
      fleet.store.killSession(of: dead)
      try await eventually("takeover") {
        fleet.leases().allSatisfy { $0.owner == fleet.incarnation(of: "other") }
      }
      #expect(zip(epochs, fleet.leases().map(\.epoch)).allSatisfy { $0 <= $1 })
      try fleet.put(50..<100)
      try await eventually("the rest") {
        let byOther = fleet.history.entries.filter { $0.worker == "other" }.map(\.key)
        return Set(byOther).isSuperset(of: (50..<100).map(String.init))
      }
      victim.store.injectFaults(nil)
      try await eventually("the victim learns of its death and comes back") {
        fleet.history.deaths == 1 && fleet.incarnation(of: "victim") != nil
      }
    }
    let repeated = fleet.history.entries.filter { $0.worker == "other" && $0.sequenceNumber <= 50 }
      .filter { entry in fleet.history.entries.contains { $0.worker == "victim" && $0.key == entry.key } }
    #expect(repeated.isEmpty, "the new owner began before the checkpoint")
  }

  @Test("children start when the parent has ended, in the same fleet and at once")
  func split() async throws {
    let fleet = TestFleet(shards: 2)
    try fleet.put(0..<100)
    try await fleet.run([fleet.member("a"), fleet.member("b")]) { fleet in
      try await eventually("half") { fleet.history.entries.count >= 50 }
      let parents = try await fleet.stream.shards()
      let children = parents.flatMap { fleet.stream.split($0.id) }
      #expect(children.count == 4)
      try fleet.put(100..<200)
      try await eventually("all") { Set(fleet.history.entries.map(\.key)).count == 200 }
      try await eventually("parents ended") {
        fleet.leases().filter { lease in parents.contains { $0.id == lease.shardID } }.allSatisfy(\.isEnded)
      }
    }
    #expect(fleet.history.entries.count == 200)
    let order = fleet.history.entries.map(\.grant.shardID)
    for lease in fleet.leases() {
      for parent in lease.parentShardIDs {
        let lastOfParent = order.lastIndex(of: parent)
        let firstOfChild = order.firstIndex(of: lease.shardID)
        if let lastOfParent, let firstOfChild { #expect(lastOfParent < firstOfChild) }
      }
    }
  }

  @Test("a merge waits for both parents")
  func merge() async throws {
    let fleet = TestFleet(shards: 2)
    try fleet.put(0..<60)
    let parents = try await fleet.stream.shards().map(\.id)
    let child = try #require(fleet.stream.merge(parents[0], parents[1]))
    try fleet.put(60..<100)
    try await fleet.run([fleet.member("a"), fleet.member("b")]) { fleet in
      try await eventually("all") { fleet.history.entries.count == 100 }
    }
    let order = fleet.history.entries.map(\.grant.shardID)
    let firstOfChild = try #require(order.firstIndex(of: child.id))
    #expect(order[firstOfChild...].allSatisfy { $0 == child.id })
  }

  @Test("a stream that is closed is read to its end")
  func closed() async throws {
    let fleet = TestFleet(shards: 2)
    try fleet.put(0..<20)
    fleet.stream.close()
    try await fleet.run([fleet.member("a")]) { fleet in
      try await eventually("ended") { fleet.leases().count == 2 && fleet.leases().allSatisfy(\.isEnded) }
    }
    #expect(fleet.history.entries.count == 20)
  }

  @Test("an outage of the store longer than the failover interval stops the handing out, and ends by itself")
  func outage() async throws {
    let fleet = TestFleet(shards: 2, TestFleet.fastFailover)
    let member = try fleet.member("a")
    try await fleet.run([member]) { fleet in
      try fleet.put(0..<10)
      try await eventually("handled") { fleet.history.entries.count == 10 }
      let epochs = fleet.leases().map(\.epoch)
      member.store.injectFaults { _ in LeaseStoreFault(.refused) }
      try await ContinuousClock().sleep(for: fleet.configuration.failover.interval)
      let before = fleet.history.entries.count
      try fleet.put(10..<20)
      try await ContinuousClock().sleep(for: .milliseconds(100))
      #expect(fleet.history.entries.count == before, "records were handed out past the trust window")
      member.store.injectFaults(nil)
      try await eventually("the rest") { Set(fleet.history.entries.map(\.key)).count == 20 }
      #expect(fleet.leases().map(\.epoch) == epochs, "an outage is nobody's death")
    }
    #expect(fleet.history.entries.count == 20)
    #expect(fleet.history.deaths == 0)
  }

  @Test("lost replies change nothing: every record is handled, and no checkpoint goes back")
  func lostReplies() async throws {
    let fleet = TestFleet(shards: 4)
    let members = try [fleet.member("a"), fleet.member("b")]
    for (index, member) in members.enumerated() {
      let counter = Mutex(index)
      member.store.injectFaults { _ in
        let number = counter.withLock { count in
          count += 1
          return count
        }
        return LeaseStoreFault(number % 5 == 0 ? .replyLost : number % 7 == 0 ? .requestLost : .answered)
      }
    }
    try await fleet.run(members) { fleet in
      for start in stride(from: 0, to: 300, by: 50) {
        try fleet.put(start..<(start + 50))
        let shard = try #require(fleet.stream.shardID(taking: String(start)))
        if start == 150 { fleet.stream.split(shard) }
        try await eventually("handled up to \(start + 50)") {
          Set(fleet.history.entries.map(\.key)).count == start + 50
        }
      }
      for member in members { member.store.injectFaults(nil) }
    }
  }

  @Test("reading at LATEST keeps its place: what arrives before the first checkpoint is not skipped")
  func latest() async throws {
    let fleet = TestFleet(shards: 1) { $0.reading.initialPosition = .latest }
    try fleet.put(0..<10)
    let first = try fleet.member("first")
    try await fleet.run([first]) { fleet in
      try await eventually("a place") { fleet.leases().first?.checkpoint.sequenceNumber != nil }
    }
    try fleet.put(10..<20)
    try await fleet.run([fleet.member("second")]) { fleet in
      try await eventually("handled") { fleet.history.entries.count == 10 }
    }
    #expect(Set(fleet.history.entries.map(\.key)) == Set((10..<20).map(String.init)))
  }

  @Test("a worker ends although the store does not answer when it deregisters")
  func hangingDeregistration() async throws {
    let fleet = TestFleet(shards: 1, TestFleet.fastFailover)
    let member = try fleet.member("a")
    member.store.injectFaults { call in
      LeaseStoreFault(delayBefore: call.method == .deregister ? .seconds(3600) : .zero)
    }
    try await fleet.run([member]) { fleet in
      try await eventually("it is registered") { fleet.incarnation(of: "a") != nil }
    }
    #expect(fleet.incarnation(of: "a") != nil)
  }

  @Test("a worker that still waits for its stream ends at once when it is asked to")
  func shutdownBeforeStart() async throws {
    struct Nowhere: StreamSource {
      func streamName() async throws -> String { throw TidemarkError(.sourceUnavailable, "Not yet.") }
      func shards() async throws -> [Shard] { [] }
      func reader(of shardID: String, after checkpoint: Checkpoint) async throws -> any ShardReader {
        throw TidemarkError(.shardNotFound, "There is none.")
      }
    }
    let worker = try Worker(
      application: "app",
      stream: Nowhere(),
      leases: InMemoryLeaseStore(),
      logger: Logger(label: "test") { _ in
        SwiftLogNoOpLogHandler()
      },
      processor: { _ in CheckpointingProcessor() }
    )
    let group = ServiceGroup(
      services: [worker],
      logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
    )
    try await withThrowingTaskGroup(of: Void.self) { tasks in
      tasks.addTask { try await group.run() }
      await group.triggerGracefulShutdown()
      try await tasks.waitForAll()
    }
  }
}
