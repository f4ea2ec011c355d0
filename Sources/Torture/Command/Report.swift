import Foundation
import LocalPostgres
import Synchronization

/// Runs rounds, says how they go, and sums up what came of them.
struct Report: Sendable {
  private let options: RunRounds
  private let seed: UInt64
  private let allowed: Set<Ingredient>
  private let settings: Settings

  init(rounds options: RunRounds, seed: UInt64, allowed: Set<Ingredient>) throws {
    self.options = options
    self.seed = seed
    self.allowed = allowed
    let directory: String
    // The server's user has to get to its data.
    if let chosen = options.directory {
      directory = URL(filePath: chosen).path(percentEncoded: false)
      try PrivateFiles.makeDirectory(directory, permissions: 0o711)
    } else {
      directory = try PrivateFiles.makeTemporaryDirectory("tidemark-torture", in: "/tmp", permissions: 0o711)
    }
    settings = Settings(
      executable: URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath().path,
      directory: directory
    )
  }

  /// - Returns: whether nothing was wrong.
  func run() async throws -> Bool {
    let start = ContinuousClock.now
    let kinds = options.capture.map { [$0] } ?? CaptureKind.allCases
    var sum = RoundResult()
    var seed = seed
    var count = 0
    var failed = 0
    say("seed \(seed)")
    while options.rounds.map({ count < $0 })
      ?? (count < kinds.count || .now - start < .seconds(60 * options.minutes))
    {
      let kind = kinds[count % kinds.count]
      let result = try await round(seed, kind, number: count + 1)
      count += 1
      sum.add(result)
      if !result.violations.isEmpty {
        failed += 1
        if !options.keepGoing { break }
      }
      // Not the generator that a round draws from.
      var next = SeededGenerator(seed: seed, part: 0)
      seed = next.next() % 1_000_000_000
    }
    say(Self.text(sum, rounds: count, elapsed: start.duration(to: .now)))
    if failed == 0, options.directory == nil {
      try? FileManager.default.removeItem(atPath: settings.directory)
    }
    say(
      failed == 0
        ? "Everything that was committed was delivered, in order." : "\(failed) of \(count) rounds failed."
    )
    return failed == 0
  }

  private func round(_ seed: UInt64, _ kind: CaptureKind, number: Int) async throws -> RoundResult {
    let plan = RoundPlan(seed: seed, kind: kind, allowed: allowed, length: .seconds(options.roundSeconds))
    say(
      "round \(number): \(kind.rawValue), seed \(seed)"
        + (plan.commitsLoosely ? ", synchronous_commit off" : "")
    )
    let start = ContinuousClock.now
    let progress = Task {
      while !Task.isCancelled {
        try await ContinuousClock().sleep(for: .seconds(10))
        say("  \(Int(start.duration(to: .now) / .seconds(1))) s")
      }
    }
    defer { progress.cancel() }
    var result: RoundResult
    do {
      result = try await Self.bounded(by: plan.length + .seconds(300)) {
        try await Round.run(plan, settings: settings)
      }
    } catch {
      result = RoundResult(violations: [Violation("The round did not get to its end: \(error)")])
    }
    let kept = "\(settings.directory)/\(kind.rawValue)-\(seed)"
    if result.violations.isEmpty {
      if options.directory == nil { try? FileManager.default.removeItem(atPath: kept) }
      say(
        "  \(result.changes) changes, \(result.handled) handled, \(result.faults.values.reduce(0, +)) faults, "
          + "\(result.workers) workers in \(Int(start.duration(to: .now) / .seconds(1))) s"
      )
    } else {
      say("seed \(seed): something is wrong.")
      for violation in result.violations { say("\(violation)") }
      say("  faults: \(Self.list(result.faults))")
      say("  replay: swift run -c release Torture \(replay(seed, kind))")
      say("  data:   \(kept)")
    }
    return result
  }

  private struct TookTooLong: Error, CustomStringConvertible {
    var limit: Duration

    var description: String { "It was given up after \(limit)." }
  }

  /// Whatever hangs, a torture ends, and says where its data is.
  private static func bounded(
    by limit: Duration,
    _ body: @escaping @Sendable () async throws -> RoundResult
  ) async throws -> RoundResult {
    try await withThrowingTaskGroup(of: RoundResult.self) { group in
      group.addTask(operation: body)
      group.addTask {
        try await ContinuousClock().sleep(for: limit)
        throw TookTooLong(limit: limit)
      }
      defer { group.cancelAll() }
      return try await group.next() ?? RoundResult()
    }
  }

  private func replay(_ seed: UInt64, _ kind: CaptureKind) -> String {
    var words = "--seed \(seed) --capture \(kind.rawValue) --rounds 1"
    if options.roundSeconds != 15 { words += " --round-seconds \(options.roundSeconds)" }
    if let only = options.only { words += " --only \(only)" }
    if !options.without.isEmpty { words += " --without \(options.without)" }
    return words
  }

  private static func list(_ counts: [Ingredient: Int]) -> String {
    if counts.isEmpty { return "none" }
    return Ingredient.allCases.compactMap { kind in counts[kind].map { "\(kind.rawValue) \($0)" } }
      .joined(separator: ", ")
  }

  private static func text(_ sum: RoundResult, rounds: Int, elapsed: Duration) -> String {
    let refusals = sum.writers.refusals.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }
    return """
      \(rounds) rounds in \(Int(elapsed / .seconds(1))) s: \(sum.changes) changes, \(sum.records) records, \
      \(sum.handled) handled, \(sum.repeats) of them again, by \(sum.workers) workers
      writers: \(sum.writers.transactions) transactions, \(sum.writers.rollbacks) rolled back, \
      \(sum.writers.prepared) in two phases, \
      refused: \(refusals.joined(separator: ", "))
      faults: \(list(sum.faults)), tables locked while they were copied \(sum.disturbances)
      stale checkpoints: \(sum.staleCheckpoints.refused) refused, \(sum.staleCheckpoints.accepted) accepted
      """
  }

  /// Prints at once, also into a file.
  private func say(_ line: String) {
    print(line)
    fflush(nil)
  }
}
