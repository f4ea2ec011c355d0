import LibPQ
import TestSupport
import Testing
import TidemarkPostgres
import TidemarkStreams

/// That each mutant is noticed is shown by `deploy/mutants.sh sql`.
@Suite("SQL mutants", .sharesMachine)
struct SQLMutantTests {
  @Test(
    "each can be planted in the migrations as they stand, which then run",
    arguments: SQLMutant.all.map(\.name)
  )
  func plant(_ name: String) async throws {
    let mutant = try #require(SQLMutant.all.first { $0.name == name })
    let schema = try #require([TidemarkSchema.leases, .streams].first { $0.name == mutant.schema })
    let planted = try mutant.plant(in: schema)
    #expect(planted.migrations != schema.migrations)
    let url = try await TestServer.shared().makeDatabase()
    let pool = try StreamDatabase.makePool(url, connections: 1)
    try await Migrator(pool, schema: planted, logger: StreamDatabase.logger).migrate()
    await pool.close()
  }

  @Test("each has a name of its own")
  func names() {
    #expect(Set(SQLMutant.all.map(\.name)).count == SQLMutant.all.count)
  }

  @Test("only the marked part of a line is replaced, and a line that is not there once is an error")
  func marked() throws {
    let mutant = SQLMutant("m", breaks: "S1", in: .leases, "IF «a» THEN", becomes: "b", killedBy: "t")
    #expect(try mutant.plant(in: "x\nIF a THEN\n") == "x\nIF b THEN\n")
    #expect(throws: SQLMutant.DoesNotApply.self) { try mutant.plant(in: "IF a THEN IF a THEN") }
    #expect(throws: SQLMutant.DoesNotApply.self) { try mutant.plant(in: "IF c THEN") }
  }
}
