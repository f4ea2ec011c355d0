import Testing
import TidemarkTestKit

@testable import Tidemark

/// What plan after plan does to a fleet.
@Suite("The assignment planner, round after round")
struct AssignmentStabilityTests {
  private struct Fleet {
    var workers: [FleetSnapshot.Worker]
    var leases: [Lease]

    /// Balanced by count.
    init(workers: Int, leases: Int) {
      self.workers = (1...Int64(workers)).map { FleetSnapshot.Worker(incarnation: WorkerIncarnation($0)) }
      self.leases = (0..<leases).map { number in
        Lease(
          shardID: "s\(number)",
          owner: WorkerIncarnation(Int64(number % workers) + 1),
          checkpoint: .trimHorizon
        )
      }
    }

    /// Plans, and does what the plan says.
    mutating func plan() -> [Assignment] {
      let steps = AssignmentPlanner().plan(FleetSnapshot(workers: workers, leases: leases))
      let targets = Dictionary(
        uniqueKeysWithValues: steps.map { step in
          switch step {
          case .assign(let key, let worker), .handOff(let key, let worker): (key.shardID, worker)
          }
        }
      )
      for index in leases.indices {
        leases[index].owner = targets[leases[index].shardID] ?? leases[index].owner
      }
      return steps
    }

    mutating func measure(_ load: (Int) -> Double) {
      for index in leases.indices {
        leases[index].load = Lease.Load(processing: load(index), bytesPerSecond: 0)
      }
    }

    func count(of worker: WorkerIncarnation) -> Int { leases.count { $0.owner == worker } }
  }

  private static let sizes = [(3, 12), (7, 100), (50, 1000), (100, 999), (40, 30)]

  @Test("a worker that joins costs as many moves as make its share, and they all go to it", arguments: sizes)
  func join(workers: Int, leases: Int) {
    var fleet = Fleet(workers: workers, leases: leases)
    let new = WorkerIncarnation(Int64(workers) + 1)
    fleet.workers.append(FleetSnapshot.Worker(incarnation: new))
    let steps = fleet.plan()
    #expect(steps.count == leases / (workers + 1))
    #expect(fleet.count(of: new) == steps.count)
    #expect(fleet.plan().isEmpty)
  }

  @Test(
    "a worker that is lost or drains costs as many moves as it had leases",
    arguments: sizes,
    [true, false]
  )
  func leave(size: (workers: Int, leases: Int), isLost: Bool) {
    var fleet = Fleet(workers: size.workers, leases: size.leases)
    let leaving = WorkerIncarnation(2)
    let owned = fleet.count(of: leaving)
    if isLost {
      fleet.workers.removeAll { $0.incarnation == leaving }
      for index in fleet.leases.indices where fleet.leases[index].owner == leaving {
        fleet.leases[index].owner = nil
      }
    } else {
      fleet.workers[1].isDraining = true
    }
    #expect(fleet.plan().count == owned)
    #expect(fleet.count(of: leaving) == 0)
    #expect(fleet.plan().isEmpty)
  }

  @Test(
    "with measured loads, too, only leases of the worker that is lost move, and a joining one is all that is given"
  )
  func measured() {
    var random = SeededGenerator(seed: 1)
    var fleet = Fleet(workers: 20, leases: 400)
    fleet.measure { _ in Double.random(in: 0.1...0.9, using: &random) }
    _ = fleet.plan()
    let lost = fleet.workers.removeLast().incarnation
    let owned = fleet.count(of: lost)
    for index in fleet.leases.indices where fleet.leases[index].owner == lost {
      fleet.leases[index].owner = nil
    }
    let assigned = fleet.plan()
    #expect(assigned.count == owned && assigned.allSatisfy { if case .assign = $0 { true } else { false } })
    let new = WorkerIncarnation(99)
    fleet.workers.append(FleetSnapshot.Worker(incarnation: new))
    let steps = fleet.plan()
    #expect(!steps.isEmpty && fleet.count(of: new) == steps.count)
    #expect(fleet.plan().isEmpty)
  }

  @Test(
    "loads that are off by half at random move nothing in 1,000 rounds",
    arguments: [(3, 30), (10, 40), (10, 100)]
  )
  func noise(workers: Int, leases: Int) {
    var random = SeededGenerator(seed: 7)
    var fleet = Fleet(workers: workers, leases: leases)
    for round in 1...1000 {
      fleet.measure { _ in Double.random(in: 0.1...0.3, using: &random) }
      #expect(fleet.plan().isEmpty, "in round \(round)")
    }
  }

  /// A fleet whose shards are measured as workers measure them, every ten seconds.
  private struct MeasuredFleet {
    var fleet: Fleet
    var meters: [LoadMeter]
    var now = ContinuousClock.now

    init(workers: Int, leases: Int) {
      fleet = Fleet(workers: workers, leases: leases)
      meters = fleet.leases.map { [now] _ in LoadMeter(now: now) }
    }

    /// - Parameter busy: the part of the ten seconds for which a shard's processor worked.
    mutating func round(_ busy: (Int) -> Double) -> [Assignment] {
      now += .seconds(10)
      for index in meters.indices {
        meters[index].add(busy: .seconds(10) * busy(index), bytes: 1, millisBehindLatest: 0)
        if let measured = meters[index].take(now: now) { fleet.leases[index].load = measured.load }
      }
      let before = fleet.leases.map(\.owner)
      let steps = fleet.plan()
      for index in meters.indices where fleet.leases[index].owner != before[index] {
        meters[index] = LoadMeter(now: now, continuing: fleet.leases[index].load)
      }
      return steps
    }
  }

  @Test(
    "shards of very different loads that come in bursts settle, and then stay where they are for 1,000 rounds"
  )
  func bursts() {
    var random = SeededGenerator(seed: 3)
    var measured = MeasuredFleet(workers: 10, leases: 100)
    let means = measured.meters.map { _ in Double.random(in: 0.01...0.2, using: &random) }
    var moves = 0
    for round in 1...1000 {
      // Nothing in half of the rounds, in the others between nothing and four times the mean.
      let steps = measured.round { index in
        Bool.random(using: &random) ? 0 : means[index] * Double.random(in: 0...4, using: &random)
      }
      if round > 30 { moves += steps.count }
    }
    #expect(moves <= 10)
  }

  @Test("a shard that becomes hot and stays so is given room within five minutes")
  func hot() throws {
    var measured = MeasuredFleet(workers: 4, leases: 16)
    for _ in 1...30 { #expect(measured.round { _ in 0.05 }.isEmpty) }
    let crowded = try #require(measured.fleet.leases[0].owner)
    let rounds = try #require(
      (1...30).first { _ in !measured.round { $0 == 0 ? 0.9 : 0.05 }.isEmpty }
    )
    #expect(rounds > 1)
    #expect(measured.fleet.count(of: crowded) < 4)
  }
}
