import Foundation
import Synchronization

/// Runs seeds on all cores and sums up what came of them.
final class Report: Sendable {
  private struct Sums {
    var violated: [Outcome] = []
    var hash: UInt64 = 0
    var runs = 0
    var simulated = Duration.zero
    var steps: UInt64 = 0
    var records = 0
    var longestRest = Duration.zero
    var faults: [FaultKind: Int] = [:]
    var marks: [Mark: Int] = [:]
    var elapsed = Duration.zero

    mutating func add(_ outcome: Outcome) {
      runs += 1
      // A sum, since seeds come in any order.
      hash &+= outcome.hash
      simulated += outcome.simulated
      steps += outcome.steps
      records += outcome.records
      longestRest = max(longestRest, outcome.rest)
      faults.merge(outcome.faults, uniquingKeysWith: +)
      marks.merge(outcome.marks, uniquingKeysWith: +)
      if outcome.violation != nil { violated.append(outcome) }
    }
  }

  private let duration: Duration
  private let sums = Mutex(Sums())

  init(duration: Duration) {
    self.duration = duration
  }

  func run(_ seeds: Range<UInt64>, isTraced: Bool, stopsAtFirstViolation: Bool) {
    let clock = ContinuousClock()
    let start = clock.now
    let total = seeds.count
    DispatchQueue.concurrentPerform(iterations: total) { index in
      if stopsAtFirstViolation, !isGood { return }
      let world = World(
        Scenario(seed: seeds.lowerBound + UInt64(index), duration: duration),
        isTraced: isTraced
      )
      var outcome = world.run()
      if outcome.violation == nil {
        outcome.add(CaptureWorld(seed: outcome.seed, isTraced: isTraced).run())
      }
      if outcome.violation == nil {
        var stream = StreamWorld(seed: outcome.seed, isTraced: isTraced)
        outcome.add(stream.run())
      }
      let runs = sums.withLock { sums in
        sums.add(outcome)
        return sums.runs
      }
      if let violation = outcome.violation { say("seed \(outcome.seed): \(violation)") }
      if total > 10, runs % max(total / 10, 1) == 0 { say("\(runs) of \(total) seeds") }
    }
    sums.withLock { $0.elapsed = start.duration(to: clock.now) }
  }

  /// Prints at once, also into a file.
  private func say(_ line: String) {
    print(line)
    fflush(nil)
  }

  /// No promise was broken.
  var isGood: Bool { sums.withLock { $0.violated.isEmpty } }

  var missingMarks: [Mark] {
    sums.withLock { sums in Mark.allCases.filter { sums.marks[$0] == nil } }
  }

  /// What a person wants to know.
  var text: String {
    let sums = sums.withLock { $0 }
    let hours = sums.simulated / .seconds(3600)
    let seconds = sums.elapsed / .seconds(1)
    var lines = [
      "\(sums.runs) seeds, \(Int(hours)) simulated hours in \(Int(seconds)) s: "
        + "\(Int(sums.simulated / sums.elapsed)) times faster than real time",
      "\(sums.steps) jobs, \(sums.records) records, longest way to rest \(Int(sums.longestRest / .seconds(1))) s",
      "history \(String(sums.hash, radix: 16))",
      "faults: "
        + FaultKind.allCases.map { "\($0.rawValue) \(sums.faults[$0] ?? 0)" }.joined(separator: ", "),
      "marks: " + Mark.allCases.map { "\($0.rawValue) \(sums.marks[$0] ?? 0)" }.joined(separator: ", "),
    ]
    let missing = missingMarks
    if !missing.isEmpty {
      lines.append("never reached: " + missing.map(\.rawValue).joined(separator: ", "))
    }
    for outcome in sums.violated.sorted(by: { $0.seed < $1.seed }).prefix(10) {
      lines.append("seed \(outcome.seed): \(outcome.violation ?? "")")
      lines.append(
        "  replay: swift run -c release Simulation --seed \(outcome.seed) --minutes \(minutes) --trace"
      )
    }
    lines.append(
      sums.violated.isEmpty ? "No promise was broken." : "\(sums.violated.count) seeds broke a promise."
    )
    return lines.joined(separator: "\n")
  }

  private var minutes: Int { Int(duration / .seconds(60)) }
}
