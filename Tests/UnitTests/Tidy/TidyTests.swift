import Testing

@Suite("The sources")
struct TidyTests {
  private static let tidemark = Result {
    try SourceFile.all(under: "Sources/Tidemark") + SourceFile.all(under: "Sources/Waiting")
  }

  @Test("Tidemark keeps what makes it deterministic and small", arguments: SourceRule.forTidemark)
  func tidemark(rule: SourceRule) throws {
    let files = try Self.tidemark.get()
    try #require(files.count > 20, "the sources were not found")
    var met: Set<SourceRule.Exception> = []
    for file in files {
      let result = try rule.check(file)
      #expect(result.violations == [])
      met.formUnion(result.met)
    }
    #expect(rule.exceptions.subtracting(met) == [], "an exception that nothing needs")
  }

  private static let texts = Result { try PlainEnglish.texts() }

  @Test("texts are in plain English, as CONTRIBUTING.md has it", arguments: PlainEnglish.habits)
  func plainEnglish(habit: PlainEnglish) throws {
    let files = try Self.texts.get()
    try #require(files.count > 500, "the texts were not found")
    var met: Set<SourceRule.Exception> = []
    for file in files {
      let result = try habit.check(file)
      #expect(result.violations == [])
      met.formUnion(result.met)
    }
    #expect(habit.rule.exceptions.subtracting(met) == [], "an exception that nothing needs")
  }

  @Test("nothing is marked as unfinished", arguments: ["Sources", "Tests", "Examples", "deploy"])
  func finished(directory: String) throws {
    let files = try SourceFile.all(under: directory, endings: [".swift", ".sql", ".sh", ".h", ".md"])
    try #require(!files.isEmpty, "no files were found")
    for file in files { #expect(PackageConventions.unfinished(in: file) == []) }
  }

  @Test(
    "migrations are numbered without gaps, and each can be taken back",
    arguments: ["TidemarkPostgres", "TidemarkStreams"]
  )
  func migrations(of module: String) throws {
    let files = try SourceFile.all(under: "Sources/\(module)/Migrations", endings: [""])
    try #require(!files.isEmpty, "no migrations were found")
    let names = files.compactMap { $0.path.split(separator: "/").last.map(String.init) }
    #expect(PackageConventions.problems(ofMigrations: names) == [])
  }

  @Test("each limit of streams that is described names a test suite that there is")
  func limits() throws {
    let page = try #require(
      SourceFile.all(under: "Sources/TidemarkStreams/Documentation.docc", endings: ["Limits.md"]).first
    )
    let suites = try SourceFile.all(under: "Tests").compactMap { file in
      file.text.firstMatch(of: /@Suite\(\s*"([^"]+)"/).map { String($0.1) }
    }
    let rows = page.text.split(separator: "\n").filter {
      $0.hasPrefix("|") && !$0.contains("|---") && !$0.hasSuffix("Test |")
    }
    #expect(rows.count > 15)
    for row in rows {
      let suite = try #require(row.firstMatch(of: /"([^"]+)" \|$/), "\(row)").1
      #expect(suites.contains(String(suite)), "\(row)")
    }
  }

  @Test("a task waits for another by OneShot alone, where its cancellation ends the wait")
  func cancellableWaits() throws {
    // First come, first served, with a deadline and with waits that cancellation does not end.
    let ownQueue = "Sources/LibPQ/Connection/FairQueue.swift"
    let cancellable = /withTaskCancellationHandler[^}]*withChecked(Throwing)?Continuation/
    let files = try SourceFile.all(under: "Sources").filter { $0.code.contains(cancellable) }.map(\.path)
    #expect(files == [ownQueue, "Sources/Waiting/OneShot.swift"])
  }

  @Test("whatever performs what a state machine decides knows all of it: a new action is not overlooked")
  func exhaustiveShells() throws {
    let shells = try SourceFile.all(under: "Sources").filter {
      $0.path.contains(/(Shell|Runner|AttemptLoop|CaptureSession|PumpSession|PumpDriver)[^\/]*\.swift$/)
    }
    #expect(shells.count > 6)
    for shell in shells { #expect(!shell.code.contains(/\bdefault:/), "\(shell.path)") }
  }

  @Test("a file with public types is named after one of them")
  func publicTypes() throws {
    for file in try SourceFile.all(under: "Sources") {
      #expect(PackageConventions.problem(ofTypesIn: file) == nil)
    }
  }
}
