import HeapModule

/// Decides which worker gets which shard: a pure function from what is in the lease table to what should change.
///
/// In this order: unowned leases that may start go to the least loaded workers, children to their parent's last
/// owner where that leaves the fleet balanced; draining workers hand off everything; then the fleet is balanced
/// with the fewest moves. No worker is given a lease of a stream that it does not serve, and a worker that has one
/// hands it off. The same snapshot always gives the same plan, whatever its order.
public struct AssignmentPlanner: Sendable {
  /// How far apart the most and the least loaded worker may be before leases are moved, as a fraction of the
  /// mean load; where workers have few leases, more: the root of how many they have. Counts are always balanced
  /// to within one; this keeps noisy measurements from moving leases to and fro. Default 0.2.
  public var tolerance: Double

  public init(tolerance: Double = 0.2) {
    self.tolerance = tolerance
  }

  public func plan(_ snapshot: FleetSnapshot) -> [Assignment] {
    var round = PlanningRound(snapshot, tolerance: tolerance)
    round.assignUnowned()
    round.drain()
    round.balance()
    return round.assignments
  }
}

/// One run of the planner over one snapshot.
private struct PlanningRound {
  /// A worker and the load it had when the entry was made; an entry whose load is out of date is skipped.
  private struct Entry: Comparable {
    var load: Double
    var worker: Int

    static func < (left: Self, right: Self) -> Bool {
      left.load == right.load ? left.worker < right.worker : left.load < right.load
    }
  }

  private let workers: [FleetSnapshot.Worker]
  private let leases: [Lease]
  /// Those that others descend from.
  private let byKey: [LeaseKey: Lease]
  private let indexOf: [WorkerIncarnation: Int]
  private let weights: LeaseWeights
  /// Which workers serve a lease's stream: by lease the number of its class, by class those workers. Class 0 are the
  /// streams that all serve: mostly the only one.
  private let classes: ServingClasses
  /// The leases that somebody cannot read now; few, if any.
  private let refused: Set<LeaseKey>
  /// The gap between two workers that is still no reason to move anything.
  private let allowedGap: Double

  private var load: [Double]
  /// By worker: the leases that it owns and those on their way to it. One that it is to hand off counts against its
  /// cap until it has done so, since the request may lapse.
  private var count: [Int]
  /// Those that may be given more.
  private var receivers: Heap<Entry>
  /// By worker and class: its leases that may be moved, lightest last.
  private var movable: [[[Int]]]
  /// Leases whose holder serves their stream no more.
  private var displaced: [(lease: Int, holder: Int)] = []

  private(set) var assignments: [Assignment] = []

  init(_ snapshot: FleetSnapshot, tolerance: Double) {
    workers = snapshot.workers.sorted { $0.incarnation < $1.incarnation }
    let all = snapshot.leases
    // Numbers are sorted, because moving a lease in memory is work.
    leases = all.indices.filter { !all[$0].isEnded && all[$0].stoppedReason == nil }
      .sorted { all[$0].key < all[$1].key }
      .map { all[$0] }
    classes = ServingClasses(of: leases, workers)
    let parents = Set(all.lazy.flatMap { lease in lease.parentShardIDs.map { lease.relative($0) } })
    byKey = Dictionary(
      all.lazy.filter { parents.contains($0.key) }.map { ($0.key, $0) },
      uniquingKeysWith: { first, _ in first }
    )
    let indexOf = Dictionary(
      workers.enumerated().map { ($1.incarnation, $0) },
      uniquingKeysWith: { first, _ in first }
    )
    self.indexOf = indexOf
    weights = LeaseWeights(leases)
    refused = workers.reduce(into: []) { $0.formUnion($1.refused) }

    var load = Array(repeating: 0.0, count: workers.count)
    var count = Array(repeating: 0, count: workers.count)
    var movable = Array(repeating: Array(repeating: [Int](), count: classes.count), count: workers.count)
    var total = 0.0
    for index in leases.indices {
      // What nobody serves is nobody's load: its owner is about to give it up.
      let weight = classes.isServed(index) ? weights.weight(of: leases[index]) : 0
      // A lease on its way counts where it is going.
      guard let holder = (leases[index].handoffTo ?? leases[index].owner).flatMap({ indexOf[$0] }) else {
        if leases[index].mayStart(given: byKey) { total += weight }
        continue
      }
      load[holder] += weight
      count[holder] += 1
      if let owner = leases[index].owner.flatMap({ indexOf[$0] }), owner != holder { count[owner] += 1 }
      total += weight
      guard leases[index].handoffTo == nil else { continue }
      if classes.serves(holder, index) {
        movable[holder][classes.ofLease[index]].append(index)
      } else {
        displaced.append((index, holder))
      }
    }
    self.load = load
    self.count = count
    self.movable = movable
    let active = workers.count { !$0.isDraining }
    let mean = active == 0 ? 0 : total / Double(active)
    // A sum of noisy loads is itself uncertain by the root of their number: for few leases that is more than the
    // tolerance.
    allowedGap = weights.areMeasured ? max(1, tolerance * mean, mean.squareRoot()) : 1
    receivers = []
    for index in workers.indices { offer(index) }
  }

  private func isFull(_ worker: Int) -> Bool {
    workers[worker].maximumLeases.map { count[worker] >= $0 } ?? false
  }

  private mutating func offer(_ worker: Int) {
    if !workers[worker].isDraining && !isFull(worker) {
      receivers.insert(Entry(load: load[worker], worker: worker))
    }
  }

  /// The least loaded worker that may be given more; it stays in the heap.
  private mutating func leastLoaded() -> Int? {
    while let entry = receivers.min {
      if entry.load == load[entry.worker] && !isFull(entry.worker) { return entry.worker }
      receivers.removeMin()
    }
    return nil
  }

  /// The least loaded worker that may be given more and serves this class of streams.
  private mutating func leastLoaded(serving number: Int) -> Int? {
    number == 0 ? leastLoaded() : leastLoaded(of: classes.workers[number])
  }

  private func leastLoaded(of candidates: [Int]) -> Int? {
    candidates.lazy.filter { !workers[$0].isDraining && !isFull($0) }.min { load[$0] < load[$1] }
  }

  /// The least loaded worker that may be given this lease.
  private mutating func receiver(of lease: Int) -> Int? {
    guard refused.contains(leases[lease].key) else { return leastLoaded(serving: classes.ofLease[lease]) }
    return workers.indices.filter { mayReceive(lease, $0) }.min { load[$0] < load[$1] }
  }

  private func mayReceive(_ lease: Int, _ worker: Int) -> Bool {
    !workers[worker].isDraining && !isFull(worker) && classes.serves(worker, lease)
      && !workers[worker].refused.contains(leases[lease].key)
  }

  private mutating func give(_ lease: Int, to worker: Int) {
    load[worker] += weights.weight(of: leases[lease])
    count[worker] += 1
    offer(worker)
  }

  private mutating func take(_ lease: Int, from worker: Int) {
    load[worker] -= weights.weight(of: leases[lease])
    offer(worker)
  }

  // MARK: The three steps

  mutating func assignUnowned() {
    for lease in leases.indices where leases[lease].owner == nil && leases[lease].mayStart(given: byKey) {
      guard let least = receiver(of: lease) else { continue }
      let worker = parentsWorker(of: lease, unlessFarAbove: least) ?? least
      give(lease, to: worker)
      assignments.append(.assign(leases[lease].key, to: workers[worker].incarnation))
    }
  }

  private func parentsWorker(of lease: Int, unlessFarAbove least: Int) -> Int? {
    leases[lease].parentShardIDs.lazy
      .compactMap { byKey[leases[lease].relative($0)]?.lastOwner }
      .compactMap { indexOf[$0] }
      .first { worker in
        mayReceive(lease, worker)
          && load[worker] + weights.weight(of: leases[lease]) - load[least] <= allowedGap
      }
  }

  mutating func drain() {
    for worker in workers.indices where workers[worker].isDraining {
      for index in movable[worker].joined().sorted() {
        guard let target = receiver(of: index) else { continue }
        move(index, from: worker, to: target)
      }
      movable[worker] = movable[worker].map { _ in [] }
    }
    for (index, holder) in displaced {
      if let target = receiver(of: index) { move(index, from: holder, to: target) }
    }
  }

  mutating func balance() {
    var givers = Heap<Entry>()
    // A lease that somebody has just given away stays where it is.
    if !refused.isEmpty {
      for worker in workers.indices {
        for number in movable[worker].indices {
          movable[worker][number].removeAll { refused.contains(leases[$0].key) }
        }
      }
    }
    for worker in workers.indices where !workers[worker].isDraining && hasMovable(worker) {
      // Heavier leases first, so that the last one, the cheapest to look at, is the lightest.
      for number in movable[worker].indices {
        movable[worker][number].sort { weights.weight(of: leases[$0]) > weights.weight(of: leases[$1]) }
      }
      givers.insert(Entry(load: load[worker], worker: worker))
    }
    while let giver = givers.popMax()?.worker {
      guard let best = bestMove(from: giver) else { continue }
      let index = movable[giver][best.number].remove(at: best.position)
      move(index, from: giver, to: best.receiver)
      if hasMovable(giver) { givers.insert(Entry(load: load[giver], worker: giver)) }
    }
  }

  private func hasMovable(_ worker: Int) -> Bool { movable[worker].contains { !$0.isEmpty } }

  /// Across the widest gap between a worker and another that may have one of its leases.
  private mutating func bestMove(from giver: Int) -> (number: Int, position: Int, receiver: Int)? {
    var best: (number: Int, position: Int, receiver: Int)?
    var widest = allowedGap + 1e-9
    for number in movable[giver].indices where !movable[giver][number].isEmpty {
      guard let receiver = leastLoaded(serving: number), load[giver] - load[receiver] > widest,
        let position = bestMove(of: movable[giver][number], closing: load[giver] - load[receiver])
      else { continue }
      widest = load[giver] - load[receiver]
      best = (number, position, receiver)
    }
    return best
  }

  /// The heaviest lease that at most halves the gap; failing that, the lightest that narrows it at all.
  private func bestMove(of candidates: [Int], closing gap: Double) -> Int? {
    var low = 0
    var high = candidates.count
    while low < high {
      let middle = (low + high) / 2
      if weights.weight(of: leases[candidates[middle]]) <= gap / 2 { high = middle } else { low = middle + 1 }
    }
    guard let last = candidates.last else { return nil }
    let lightest = weights.weight(of: leases[last])
    if low < candidates.count {
      // Of equals the last, which costs the least to remove.
      return weights.weight(of: leases[candidates[low]]) == lightest ? candidates.count - 1 : low
    }
    return lightest < gap - 1e-9 ? candidates.count - 1 : nil
  }

  private mutating func move(_ lease: Int, from giver: Int, to receiver: Int) {
    take(lease, from: giver)
    give(lease, to: receiver)
    assignments.append(.handOff(leases[lease].key, to: workers[receiver].incarnation))
  }
}

/// Which workers serve which leases. Streams that the same workers serve are one class.
private struct ServingClasses {
  /// By lease.
  private(set) var ofLease: [Int] = []
  /// By class. The first has all workers, whether there is such a stream or not.
  private(set) var workers: [[Int]]
  private var isServing: [[Bool]]

  var count: Int { workers.count }

  /// - Parameter leases: in the order of their streams.
  init(of leases: [Lease], _ workers: [FleetSnapshot.Worker]) {
    self.workers = [Array(workers.indices)]
    isServing = [workers.map { _ in true }]
    var numbers = [self.workers[0]: 0]
    var last: (stream: String, number: Int)?
    for lease in leases {
      if last?.stream != lease.stream {
        let serves = workers.map { $0.streams.contains(lease.stream) }
        let serving = workers.indices.filter { serves[$0] }
        let number = numbers[serving] ?? self.workers.count
        if number == self.workers.count {
          numbers[serving] = number
          self.workers.append(serving)
          isServing.append(serves)
        }
        last = (lease.stream, number)
      }
      ofLease.append(last?.number ?? 0)
    }
  }

  func isServed(_ lease: Int) -> Bool { !workers[ofLease[lease]].isEmpty }

  func serves(_ worker: Int, _ lease: Int) -> Bool { isServing[ofLease[lease]][worker] }
}

/// What a lease counts for: one, or where shards are measured, half by count and half by its share of the work.
/// Pure load would pile every idle shard on one worker.
private struct LeaseWeights {
  private let meanLoad: Double
  let areMeasured: Bool

  init(_ leases: [Lease]) {
    let loads = leases.compactMap { $0.load.map(Self.work) }
    let mean = loads.isEmpty ? 0 : loads.reduce(0, +) / Double(loads.count)
    meanLoad = mean
    areMeasured = mean > 0
  }

  /// Processing time where there is any to speak of, else bytes, scaled to stand for 100 MB/s a processor.
  private static func work(_ load: Lease.Load) -> Double {
    max(load.processing, load.bytesPerSecond / 100_000_000)
  }

  func weight(of lease: Lease) -> Double {
    guard areMeasured, let load = lease.load else { return 1 }
    return 0.5 + 0.5 * Self.work(load) / meanLoad
  }
}
