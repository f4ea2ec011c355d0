import Testing
import Tidemark

/// Which worker gets which shard of many streams.
@Suite("The assignment planner on many streams")
struct StreamPlanningTests {
  private func lease(_ stream: String, _ shardID: String = "s", owner: Int64? = nil, handoffTo: Int64? = nil)
    -> Lease
  {
    Lease(
      key: LeaseKey(stream: stream, shardID: shardID),
      owner: owner.map { WorkerIncarnation($0) },
      checkpoint: .trimHorizon,
      handoffTo: handoffTo.map { WorkerIncarnation($0) }
    )
  }

  private func worker(_ number: Int64, _ streams: Set<String>, maximum: Int? = nil, drains: Bool = false)
    -> FleetSnapshot.Worker
  {
    FleetSnapshot.Worker(
      incarnation: WorkerIncarnation(number),
      streams: streams,
      isDraining: drains,
      maximumLeases: maximum
    )
  }

  private func plan(_ workers: [FleetSnapshot.Worker], _ leases: [Lease]) -> [Assignment] {
    AssignmentPlanner().plan(FleetSnapshot(workers: workers, leases: leases))
  }

  /// Leases by owner after the plan is done.
  private func counts(_ workers: [FleetSnapshot.Worker], _ leases: [Lease]) -> [Int64: Int] {
    let targets = Dictionary(uniqueKeysWithValues: plan(workers, leases).map { ($0.key, $0.target) })
    let owners = leases.compactMap { (targets[$0.key] ?? $0.owner)?.number }
    return Dictionary(owners.map { ($0, 1) }, uniquingKeysWith: +)
  }

  @Test("balances a hundred streams of one shard as one stream of a hundred")
  func balance() {
    let streams = (0..<100).map { "stream-\($0)" }
    let workers = (1...4).map { worker($0, Set(streams)) }
    #expect(counts(workers, streams.map { lease($0) }) == [1: 25, 2: 25, 3: 25, 4: 25])
    #expect(counts(workers, streams.map { lease($0, owner: 1) }) == [1: 25, 2: 25, 3: 25, 4: 25])
  }

  @Test("counts a cap over all streams")
  func cap() {
    let leases = ["a", "b", "c"].map { lease($0) }
    #expect(counts([worker(1, ["a", "b", "c"], maximum: 2)], leases) == [1: 2])
  }

  @Test("gives nobody a lease of a stream that it does not serve, and leaves it unowned if nobody does")
  func eligibility() {
    let leases = [lease("new"), lease("old"), lease("nobodys")]
    let snapshot = FleetSnapshot(workers: [worker(1, ["old"]), worker(2, ["old", "new"])], leases: leases)
    #expect(
      Set(AssignmentPlanner().plan(snapshot)) == [
        .assign(leases[0].key, to: WorkerIncarnation(2)), .assign(leases[1].key, to: WorkerIncarnation(1)),
      ]
    )
    #expect(snapshot.unservedStreams == ["nobodys"])
  }

  @Test("gives a new version its stream while it rolls out, and balances the rest around that")
  func rolloutBalance() {
    let old = (0..<6).map { lease("old", "s\($0)", owner: Int64($0 % 2) + 1) }
    let new = (0..<2).map { lease("new", "s\($0)") }
    let workers = [worker(1, ["old"]), worker(2, ["old"]), worker(3, ["old", "new"])]
    #expect(counts(workers, old + new) == [1: 3, 2: 3, 3: 2])
    let many = (0..<6).map { lease("new", "s\($0)") }
    #expect(counts(workers, old + many) == [1: 3, 2: 3, 3: 6], "nobody else may have the new ones")
    #expect(counts(workers, (0..<6).map { lease("old", "s\($0)", owner: 3) } + many) == [1: 3, 2: 3, 3: 6])
  }

  @Test("moves what the receiver serves, whatever the giver has more of")
  func moves() {
    let leases =
      (0..<5).map { lease("new", "s\($0)", owner: 1) } + [
        lease("old", "a", owner: 1), lease("old", "b", owner: 1),
      ]
    let steps = plan([worker(1, ["new", "old"]), worker(2, ["old"])], leases)
    #expect(Set(steps.map(\.key.stream)) == ["old"] && steps.count == 2)
  }

  @Test("hands off what its owner serves no more, to somebody who does if there is one")
  func displaced() {
    let leases = [lease("a", owner: 1), lease("b", owner: 1)]
    let steps = plan([worker(1, ["b"]), worker(2, ["a", "b"])], leases)
    #expect(steps == [.handOff(leases[0].key, to: WorkerIncarnation(2))])
    #expect(plan([worker(1, ["b"]), worker(2, ["b"])], leases).map(\.key) == [], "nobody serves a")
    let drains = plan([worker(1, ["a", "b"], drains: true), worker(2, ["b"])], leases)
    #expect(drains == [.handOff(leases[1].key, to: WorkerIncarnation(2))])
  }

  @Test("makes a child wait for its parent in its own stream, whatever others have under that id")
  func lineage() {
    var (parent, child) = (lease("a", "p"), lease("a", "c"))
    child.parentShardIDs = ["p"]
    let other = Lease(key: LeaseKey(stream: "b", shardID: "p"), checkpoint: .shardEnd)
    #expect(plan([worker(1, ["a", "b"])], [parent, child, other]).map(\.key) == [parent.key])
    parent.checkpoint = .shardEnd
    #expect(plan([worker(1, ["a", "b"])], [parent, child, other]).map(\.key) == [child.key])
  }

  @Test("refuses a shard of one stream and not the one of that id in another")
  func refusal() {
    var workers = [worker(1, ["a", "b"])]
    workers[0].refused = [LeaseKey(stream: "a", shardID: "s")]
    #expect(plan(workers, [lease("a"), lease("b")]).map(\.key.stream) == ["b"])
  }
}
