import Testing

@Suite("The rules for sources")
struct SourceRuleTests {
  private static let breaking: [String: [String]] = [
    "no unstructured task": [
      "Task { await work() }", "Task(priority: .high) { }", "let task = Task<Void, Never> { }",
      "Task.detached { }",
      "\"\\(Task { 1 })\"",
    ],
    "no sleep but the clock's": ["try await Task.sleep(for: .seconds(1))", "usleep(100)"],
    "no wall clock": [
      "let now = Date()", "Date.now", "DispatchTime.now()", "gettimeofday(&now, nil)", "time(nil)",
    ],
    "no clock but the one passed in": [
      "let start = ContinuousClock.now", "ContinuousClock().now", "let clock = ContinuousClock()",
      "SuspendingClock()",
      "var start: ContinuousClock.Instant = .now", "ContinuousClock.Instant.now", "begin(.now + .seconds(1))",
    ],
    "no randomness but the one passed in": [
      "Int.random(in: 0...1)", "Double.random(in: 0...max(1, 2))", "names.shuffled()",
      "names.randomElement()",
      "var random = SystemRandomNumberGenerator()", "Int.random(\n  in: 0...1\n)",
    ],
    "no ids of its own making": ["let id = UUID()", "UUID().uuidString"],
    "nothing that ends the process": [
      "fatalError(\"never\")", "try! call()", "precondition(count > 0)", "value as! String",
      "preconditionFailure()",
    ],
    "no database, no network, no operating system": [
      "import Foundation", "import LibPQ", "@preconcurrency import NIOCore", "  import Glibc",
      "import Logging\nimport CLibPQ",
    ],
  ]

  private static let keeping: [String: [String]] = [
    "no unstructured task": [
      "group.addTask { }", "withTaskGroup(of: Void.self) { }", "try Task.checkCancellation()", "// Task { }",
      "/* Task { }\n Task { } */", "let subTask = 1",
    ],
    "no sleep but the clock's": ["try await clock.sleep(for: pause)", "case sleep(Duration)"],
    "no wall clock": ["let update = 1", "func dated() {}", "clock.time(x)", "/// See Date()."],
    "no clock but the one passed in": ["let now = clock.now", "environment.clock.now", "any MonotonicClock"],
    "no randomness but the one passed in": [
      "Int.random(in: 0...max(1, 2), using: &random)", "names.shuffled(using: &random)",
      "Double.random(\n  in: 0...1,\n  using: &random\n)",
    ],
    "no ids of its own making": ["let uuid: String"],
    "nothing that ends the process": ["try? call()", "value as? String", "let exits = 1", "!isLost"],
    "no database, no network, no operating system": [
      "import Logging", "import Synchronization", "// import Foundation", "let important = 1",
    ],
  ]

  @Test("each finds what breaks it and nothing else", arguments: SourceRule.forTidemark)
  func snippets(rule: SourceRule) throws {
    for snippet in try #require(Self.breaking[rule.name]) {
      #expect(try !rule.check(SourceFile(path: "a.swift", text: snippet)).violations.isEmpty, "\(snippet)")
    }
    for snippet in try #require(Self.keeping[rule.name]) {
      #expect(try rule.check(SourceFile(path: "a.swift", text: snippet)).violations == [], "\(snippet)")
    }
  }

  @Test("an exception is one line of one file")
  func exceptions() throws {
    let rule = SourceRule(
      name: "no x",
      pattern: "x",
      exceptions: [.init(path: "a.swift", line: "let x = 1")]
    )
    let result = try rule.check(SourceFile(path: "a.swift", text: "  let x = 1\nlet x = 2\n"))
    #expect(result.violations == ["a.swift:2: let x = 2"])
    #expect(result.met == rule.exceptions)
    #expect(
      try rule.check(SourceFile(path: "b.swift", text: "let x = 1")).violations == ["b.swift:1: let x = 1"]
    )
  }

  @Test("what looks like a comment inside quotes is none")
  func quotes() throws {
    let file = SourceFile(path: "a.swift", text: #"let a = "https://x"; UUID() // UUID()"#)
    #expect(file.code.contains(#""https://x"; UUID()"#))
    #expect(file.code.matches(of: /UUID/).count == 1)
    let text = "let b = \"\"\"\n  // \" kept\n  \"\"\"\n// gone"
    #expect(SourceFile(path: "a.swift", text: text).code == "let b = \"\"\"\n  // \" kept\n  \"\"\"\n       ")
  }

  @Test("migrations without a way back, with a gap, with a number twice or with another name are found")
  func migrations() {
    let good = [
      "v1_01_a.up.sql", "v1_01_a.down.sql", "v1_02_b.up.sql", "v1_02_b.down.sql", "v2_01_c.up.sql",
      "v2_01_c.down.sql",
    ]
    #expect(PackageConventions.problems(ofMigrations: good) == [])
    for bad in [
      good.dropLast() + [], good.dropFirst(2) + [], good.dropFirst(4) + [],
      good + ["v2_01_d.up.sql", "v2_01_d.down.sql"], good + ["v4_01_d.up.sql", "v4_01_d.down.sql"],
      good + ["3.sql"],
    ] {
      #expect(!PackageConventions.problems(ofMigrations: bad).isEmpty, "\(bad)")
    }
  }

  @Test("a file that is named after none of its public types is found")
  func publicTypes() {
    func problem(_ path: String, _ text: String) -> String? {
      PackageConventions.problem(ofTypesIn: SourceFile(path: path, text: text))
    }
    #expect(problem("A/Lease.swift", "public struct Lease {}\npublic enum Other {}") == nil)
    #expect(problem("A/Lease+Gate.swift", "extension Lease {}\nstruct Inner {}") == nil)
    #expect(problem("A/Lease+Gate.swift", "public final class Lease {}") == nil)
    #expect(problem("A/Lease.swift", "@Sendable public actor Other {}") != nil)
    #expect(problem("A/Leases.swift", "\nopen class Lease {}") != nil)
  }

  @Test("marks of unfinished work are found, in comments too")
  func unfinished() {
    let file = SourceFile(path: "a.swift", text: "let a = 1\n// TO" + "DO: more")
    #expect(PackageConventions.unfinished(in: file).count == 1)
    #expect(PackageConventions.unfinished(in: SourceFile(path: "a.swift", text: "let todo = 1")) == [])
  }
}
