import Foundation
import TestSupport
import Testing

/// Plants the mutants one at a time and sees that each is noticed, by running this process's tests again. See
/// `deploy/mutants.sh sql`, which names the mutants in a variable.
@Suite("SQL mutants, one at a time", .enabled(if: SQLMutant.chosen != nil))
struct SQLMutantRuns {
  /// How many run at once, each with a server of its own.
  private static let places = 3

  @Test("are killed by the tests that are named for them, which pass without them")
  func all() async throws {
    let names = (SQLMutant.chosen ?? "").split(whereSeparator: \.isWhitespace).map(String.init)
    for name in names where !SQLMutant.all.contains(where: { $0.name == name }) {
      Issue.record("There is no mutant \(name).")
    }
    let mutants = SQLMutant.all.filter { names.isEmpty || names.contains($0.name) }
    let sound = try await TestRun.run(Set(mutants.map(\.tests)).sorted().joined(separator: "|"), with: nil)
    try #require(sound.failure == nil, "The tests fail without a mutant: \(sound.failure ?? "")")
    print("\(sound.count) tests pass without a mutant, within \(sound.duration).")
    var killed = 0
    try await withThrowingTaskGroup(of: (SQLMutant, TestRun).self) { group in
      for (index, mutant) in mutants.enumerated() {
        if index >= Self.places { killed += try await judge(group.next()) }
        group.addTask { (mutant, try await TestRun.run(mutant.tests, with: mutant)) }
      }
      while let result = try await group.next() { killed += judge(result) }
    }
    print("\(killed) of \(mutants.count) mutants killed.")
  }

  private func judge(_ result: (mutant: SQLMutant, run: TestRun)?) -> Int {
    guard let (mutant, run) = result else { return 0 }
    let fate = run.failure.map { "killed by \($0)" } ?? "SURVIVED \(run.count) tests"
    print("\(mutant.name) (\(mutant.breaks), \(run.duration)): \(fate)")
    fflush(nil)
    if run.failure == nil { Issue.record("The mutant \(mutant.name) survives \(mutant.tests).") }
    return run.failure == nil ? 0 : 1
  }
}

/// Some of this process's tests, run by another.
struct TestRun: Sendable {
  /// What failed first; `nil` if all passed.
  var failure: String?
  var count: Int
  var duration: Duration

  static func run(_ tests: String, with mutant: SQLMutant?) async throws -> TestRun {
    let directory = try TemporaryDirectory()
    let file = URL(filePath: directory.path).appending(path: "output")
    try Data().write(to: file)
    let process = Process()
    process.executableURL = URL(filePath: CommandLine.arguments[0])
    process.arguments = arguments + ["--filter", tests]
    process.environment = ProcessInfo.processInfo.environment
    process.environment?[SQLMutant.variable] = mutant?.name
    let output = try FileHandle(forWritingTo: file)
    process.standardInput = FileHandle.nullDevice
    process.standardOutput = output
    process.standardError = output
    let begun = ContinuousClock.now
    try await withCheckedThrowingContinuation { (ended: CheckedContinuation<Void, any Error>) in
      process.terminationHandler = { _ in ended.resume() }
      do { try process.run() } catch { ended.resume(throwing: error) }
    }
    let duration = begun.duration(to: .now)
    let text = String(decoding: try Data(contentsOf: file), as: UTF8.self)
    let count = text.firstMatch(of: /Test run with (\d+) test/).flatMap { Int($0.1) } ?? 0
    let issue = text.split(separator: "\n").first { $0.contains(" recorded an issue ") }?
      .replacing(#/^.* Test /#, with: "")
    let failure = process.terminationStatus == 0 ? nil : issue.map { String($0.prefix(240)) } ?? "a crash"
    return TestRun(failure: failure, count: count, duration: .seconds(duration.components.seconds))
  }

  /// This process's own, but for those that choose tests and say where results go.
  private static var arguments: [String] {
    let replaced = ["--filter", "--skip", "--xunit-output", "--event-stream-output-path"]
    var kept: [String] = []
    var rest = CommandLine.arguments.dropFirst()
    while let argument = rest.popFirst() {
      if replaced.contains(argument) { _ = rest.popFirst() } else { kept.append(argument) }
    }
    return kept
  }
}
