import Testing
import Tidemark
import TidemarkTestKit

@Suite("The assignment planner")
struct AssignmentPlannerTests {
  private typealias Worker = FleetSnapshot.Worker

  private func workers(_ numbers: ClosedRange<Int64>) -> [Worker] {
    numbers.map { Worker(incarnation: WorkerIncarnation($0)) }
  }

  private func lease(_ id: Int, owner: Int64? = nil, processing: Double? = nil) -> Lease {
    Lease(
      shardID: "s\(id)",
      owner: owner.map { WorkerIncarnation($0) },
      checkpoint: .trimHorizon,
      load: processing.map { Lease.Load(processing: $0, bytesPerSecond: 0) }
    )
  }

  /// Applies a plan as if every handoff were done.
  private func apply(_ plan: [Assignment], to leases: [Lease]) -> [Lease] {
    var byID = Dictionary(uniqueKeysWithValues: leases.map { ($0.shardID, $0) })
    for step in plan {
      switch step {
      case .assign(let key, let worker), .handOff(let key, let worker): byID[key.shardID]?.owner = worker
      }
    }
    return leases.compactMap { byID[$0.shardID] }
  }

  private func counts(_ leases: [Lease]) -> [Int] {
    Dictionary(grouping: leases.filter { $0.owner != nil }, by: \.owner).values.map(\.count).sorted()
  }

  private func plan(_ workers: [Worker], _ leases: [Lease]) -> [Assignment] {
    AssignmentPlanner().plan(FleetSnapshot(workers: workers, leases: leases))
  }

  @Test("unowned leases are spread evenly, all at once")
  func spread() {
    let leases = (0..<8).map { lease($0) }
    let after = apply(plan(workers(1...3), leases), to: leases)
    #expect(counts(after) == [2, 3, 3])
  }

  @Test("a balanced fleet is left alone, also when one worker has one lease more")
  func balanced() {
    let leases = (0..<8).map { lease($0, owner: Int64($0 % 3) + 1) }
    #expect(plan(workers(1...3), leases).isEmpty)
  }

  @Test("a joining worker gets its share with the fewest moves")
  func join() {
    let leases = (0..<12).map { lease($0, owner: Int64($0 % 3) + 1) }
    let steps = plan(workers(1...4), leases)
    #expect(steps.count == 3)
    #expect(counts(apply(steps, to: leases)) == [3, 3, 3, 3])
  }

  @Test("the leases of a worker that is gone go to the least loaded, and nothing else moves")
  func gone() {
    let leases = (0..<9).map { lease($0, owner: $0 % 3 == 2 ? nil : Int64($0 % 3) + 1) }
    let steps = plan(workers(1...2), leases)
    #expect(steps.allSatisfy { if case .assign = $0 { true } else { false } })
    #expect(counts(apply(steps, to: leases)) == [4, 5])
  }

  @Test("a draining worker hands everything off and is given nothing")
  func drain() {
    var fleet = workers(1...3)
    fleet[0].isDraining = true
    let leases = (0..<9).map { lease($0, owner: $0 < 6 ? Int64($0 % 3) + 1 : nil) }
    let after = apply(plan(fleet, leases), to: leases)
    #expect(after.allSatisfy { $0.owner != WorkerIncarnation(1) && $0.owner != nil })
    #expect(counts(after) == [4, 5])
  }

  @Test("a worker alone that drains is asked for nothing that nobody can take")
  func drainAlone() {
    var fleet = workers(1...1)
    fleet[0].isDraining = true
    #expect(plan(fleet, [lease(0, owner: 1), lease(1)]).isEmpty)
  }

  @Test("caps are kept, by assignment and by balance; what exceeds all caps stays unowned")
  func caps() {
    var fleet = workers(1...2)
    fleet[0].maximumLeases = 2
    fleet[1].maximumLeases = 3
    let leases = (0..<8).map { lease($0) }
    let after = apply(plan(fleet, leases), to: leases)
    #expect(counts(after) == [2, 3])
    fleet[1].maximumLeases = nil
    let rest = apply(plan(fleet, after), to: after)
    #expect(counts(rest) == [2, 6])
    #expect(plan(fleet, rest).isEmpty)
  }

  @Test("a lease that is to be handed off counts against its owner's cap until it is")
  func capOfWhoHandsOff() {
    var fleet = workers(1...2)
    fleet[0].maximumLeases = 2
    fleet[1].maximumLeases = 1
    var leases = [lease(0, owner: 1), lease(1, owner: 1), lease(2)]
    leases[0].handoffTo = WorkerIncarnation(2)
    #expect(plan(fleet, leases).isEmpty)
  }

  @Test("a child waits for both parents, and goes to its parent's last owner when that keeps the balance")
  func children() {
    var left = lease(0)
    left.checkpoint = .shardEnd
    left.lastOwner = WorkerIncarnation(2)
    var right = lease(1, owner: 1)
    var child = lease(2)
    child.parentShardIDs = ["s0", "s1"]
    #expect(plan(workers(1...3), [left, right, child]).isEmpty)
    right.checkpoint = .shardEnd
    right.owner = nil
    #expect(
      plan(workers(1...3), [left, right, child]) == [.assign(shardID: "s2", to: WorkerIncarnation(2))]
    )
  }

  @Test("a lease that is being handed off counts where it goes and is not asked for twice")
  func inFlight() {
    var leases = (0..<4).map { lease($0, owner: 1) }
    leases[0].handoffTo = WorkerIncarnation(2)
    leases[1].handoffTo = WorkerIncarnation(2)
    #expect(plan(workers(1...2), leases).isEmpty)
  }

  @Test("measured load decides where counts do not")
  func load() {
    let leases = [
      lease(0, owner: 1, processing: 0.8), lease(1, owner: 1, processing: 0.8),
      lease(2, owner: 2, processing: 0.05),
      lease(3, owner: 2, processing: 0.05),
    ]
    let after = apply(plan(workers(1...2), leases), to: leases)
    let hot = after.filter { ($0.load?.processing ?? 0) > 0.5 }.compactMap(\.owner)
    #expect(Set(hot).count == 2)
  }

  @Test("noisy loads move nothing over and over")
  func noise() {
    var random = SeededGenerator(seed: 7)
    var leases = (0..<30).map { lease($0, owner: Int64($0 % 3) + 1, processing: 0.3) }
    var moves = 0
    for _ in 0..<200 {
      for index in leases.indices {
        leases[index].load?.processing = Double.random(in: 0.2...0.4, using: &random)
      }
      let steps = plan(workers(1...3), leases)
      moves += steps.count
      leases = apply(steps, to: leases)
    }
    #expect(moves == 0)
  }

  @Test("stopped and ended leases are nobody's")
  func notEligible() {
    var stopped = lease(0)
    stopped.stoppedReason = "poison"
    var ended = lease(1)
    ended.checkpoint = .shardEnd
    #expect(plan(workers(1...2), [stopped, ended]).isEmpty)
  }

  @Test("the order of the snapshot does not change the plan")
  func deterministic() {
    let leases = (0..<40).map { lease($0, owner: $0 % 5 == 0 ? nil : 1, processing: Double($0 % 7) / 10) }
    let fleet = workers(1...4)
    #expect(plan(fleet, leases) == plan(fleet.reversed(), leases.reversed()))
  }

  @Test("no worker, no plan")
  func empty() {
    #expect(plan([], [lease(0)]).isEmpty)
    #expect(plan(workers(1...1), []).isEmpty)
  }

  // MARK: Refusals

  @Test("a shard that its last owner refuses goes to somebody else, and is not balanced back")
  func refused() {
    var workers = self.workers(1...2)
    workers[0].refused = [OneStream.key("s0")]
    var leases = (0..<4).map { lease($0, owner: Int64($0 % 2) + 1) }
    leases[0] = lease(0)
    let steps = plan(workers, leases)
    #expect(steps.first == .assign(shardID: "s0", to: 2), "worker 1 has fewer, but refuses it")
    let after = apply(steps, to: leases)
    #expect(counts(after) == [2, 2], "another lease moved instead")
    #expect(plan(workers, after).isEmpty)
  }

  @Test("a shard that everybody refuses stays unowned, and the others are assigned all the same")
  func refusedByAll() {
    var workers = self.workers(1...1)
    workers[0].refused = [OneStream.key("s0")]
    #expect(plan(workers, [lease(0), lease(1)]) == [.assign(shardID: "s1", to: 1)])
  }

  @Test("a draining worker's shard is not handed to a worker that refuses it")
  func refusedWhileDraining() {
    var workers = self.workers(1...3)
    workers[0].isDraining = true
    workers[1].refused = [OneStream.key("s0")]
    #expect(plan(workers, [lease(0, owner: 1)]) == [.handOff(shardID: "s0", to: WorkerIncarnation(3))])
  }
}

/// SplitMix64: the same numbers for the same seed.
struct SeededGenerator: RandomNumberGenerator {
  private var state: UInt64

  init(seed: UInt64) { state = seed }

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }
}
