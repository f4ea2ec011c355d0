import ArgumentParser
import BenchmarkSupport
import Tidemark

/// The pure planner, without a database.
struct PlannerBenchmark: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "planner",
    abstract: "The time that AssignmentPlanner takes for a large fleet, and how much it moves."
  )

  @Option(help: "How many workers there are.")
  var workers = 1000

  @Option(help: "How many leases they own together.")
  var leases = 100_000

  @Option(help: "On how many streams.")
  var streams = 1

  func run() async throws {
    let names = Set((0..<streams).map(LeaseFleet.stream))
    let fleet = (1...Int64(workers)).map {
      FleetSnapshot.Worker(incarnation: WorkerIncarnation($0), streams: names)
    }
    let unowned = leases(owned: false)
    let balanced = leases(owned: true)
    let lost = WorkerIncarnation(Int64(workers / 2))
    let orphaned = balanced.map { lease in
      var lease = lease
      if lease.owner == lost { (lease.owner, lease.lastOwner) = (nil, lost) }
      return lease
    }
    let measured = balanced.map { lease in
      var lease = lease
      lease.load = Lease.Load(processing: .random(in: 0...1), bytesPerSecond: 0)
      return lease
    }
    let new = WorkerIncarnation(Int64(workers) + 1)
    let joined = fleet + [FleetSnapshot.Worker(incarnation: new, streams: names)]
    let old = fleet.enumerated().map { number, worker in
      var worker = worker
      if number % 2 == 0 { worker.streams.remove(LeaseFleet.stream(0)) }
      return worker
    }
    let each = leases / workers
    let report = [
      ("nothing is owned", fleet, unowned, "\(leases)"),
      ("balanced", fleet, balanced, "0"),
      ("a worker joins", joined, balanced, "\(leases / (workers + 1))"),
      ("a worker is lost", fleet.filter { $0.incarnation != lost }, orphaned, "\(each)"),
      ("half of the workers do not serve one stream", old, balanced, "–"),
      ("the first plan with measured loads", fleet, measured, "–"),
    ].reduce(
      into: Report(
        "Planning \(leases.grouped) leases on \(workers.grouped) workers, \(streams.grouped) streams; medians of 5",
        "",
        "ms",
        "CPU ms",
        "limit",
        "of the limit",
        "moves",
        "least possible"
      )
    ) { report, scene in
      let (name, workers, leases, least) = scene
      let (time, cpu, moves) = measure(FleetSnapshot(workers: workers, leases: leases))
      report.add(
        name,
        time.milliseconds.formatted(0),
        (cpu * 1000).formatted(0),
        "500",
        (time / .milliseconds(500)).formatted(2) + "×",
        "\(moves)",
        least
      )
    }
    report.print()
  }

  private func leases(owned: Bool) -> [Lease] {
    (0..<leases).map { number in
      Lease(
        key: LeaseFleet.key(number, streams: streams),
        owner: owned ? WorkerIncarnation(Int64(number % workers) + 1) : nil,
        epoch: Epoch(1),
        checkpoint: .record(SequenceNumber(1_000_000))
      )
    }.shuffled()
  }

  /// The time a plan takes, the CPU seconds, which other programs on the machine do not lengthen, and its steps.
  private func measure(_ snapshot: FleetSnapshot) -> (Duration, cpu: Double, moves: Int) {
    var moves = 0
    var (times, used): ([Duration], [Double]) = ([], [])
    for _ in 1...5 {
      let before = Usage.own()
      times.append(ContinuousClock().measure { moves = AssignmentPlanner().plan(snapshot).count })
      used.append(Usage.own() - before)
    }
    return (median(times) ?? .zero, median(used) ?? 0, moves)
  }
}
