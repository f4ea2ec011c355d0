import Testing

@Suite("The sources")
struct TidyTests {
  @Test("Tidemark keeps what makes it deterministic and small", arguments: SourceRule.forTidemark)
  func tidemark(rule: SourceRule) throws {
    let files = try SourceFile.all(under: "Sources/Tidemark")
    try #require(files.count > 20, "the sources were not found")
    var met: Set<SourceRule.Exception> = []
    for file in files {
      let result = try rule.check(file)
      #expect(result.violations == [])
      met.formUnion(result.met)
    }
    #expect(rule.exceptions.subtracting(met) == [], "an exception that nothing needs")
  }

  @Test("nothing is marked as unfinished", arguments: ["Sources", "Tests", "Examples", "deploy"])
  func finished(directory: String) throws {
    let files = try SourceFile.all(under: directory, endings: [".swift", ".sql", ".sh", ".h", ".md"])
    try #require(!files.isEmpty, "no files were found")
    for file in files { #expect(PackageConventions.unfinished(in: file) == []) }
  }

  @Test("migrations are numbered without gaps, and each can be taken back")
  func migrations() throws {
    let files = try SourceFile.all(under: "Sources/TidemarkPostgres/Migrations", endings: [""])
    try #require(!files.isEmpty, "no migrations were found")
    let names = files.compactMap { $0.path.split(separator: "/").last.map(String.init) }
    #expect(PackageConventions.problems(ofMigrations: names) == [])
  }

  @Test("a file with public types is named after one of them")
  func publicTypes() throws {
    for file in try SourceFile.all(under: "Sources") {
      #expect(PackageConventions.problem(ofTypesIn: file) == nil)
    }
  }
}
