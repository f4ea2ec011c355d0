import LibPQ
import TestSupport
import Testing
import Tidemark
import TidemarkTestKit

@testable import TidemarkPostgres
@testable import TidemarkStreams

/// Runs the same operations, drawn by a seed, on a real stream and on the simulation's model of one.
@Suite("The model of a stream", .sharesMachine)
struct StreamModelTests {
  private static let retention = 86_400.0

  private struct Numbers: Equatable {
    var head: Int64
    var partitions: [Int64]
    var shards: [String]
    var log: [Int64]
    var jumps: [Int64]
  }

  private func numbers(of model: StreamModel) -> Numbers {
    Numbers(
      head: model.head,
      partitions: model.partitions.map(\.ordinal),
      shards: model.shards.map { "\($0.ordinal) \($0.starting) \($0.ending ?? 0) \($0.trimmedThrough)" },
      log: model.log.map(\.number).sorted(),
      jumps: model.jumps.flatMap { [$0.from, $0.to] }
    )
  }

  private func numbers(of database: StreamDatabase) async throws -> Numbers {
    func column<Value: PQDecodable & Sendable>(_ statement: PQStatement, _: Value.Type)
      async throws -> [Value]
    {
      try await database.pool.query(statement).map { try $0.decode(Value.self) }
    }
    return Numbers(
      head: try await database.number("SELECT max(head) FROM tidemark.step"),
      partitions: try await column(
        "SELECT partition_ordinal FROM tidemark.log_partition ORDER BY 1",
        Int64.self
      ),
      shards: try await column(
        """
        SELECT format('%s %s %s %s', shard_ordinal, starting_sequence, coalesce(ending_sequence, 0), trimmed_through)
        FROM tidemark.shard ORDER BY shard_ordinal
        """,
        String.self
      ),
      log: try await column("SELECT sequence_number FROM tidemark.log_1 ORDER BY 1", Int64.self),
      jumps: try await column(
        "SELECT unnest(ARRAY[from_head, to_head]) FROM tidemark.jump ORDER BY to_head, 1",
        Int64.self
      )
    )
  }

  /// Time passes for all that the database has.
  private func age(_ database: StreamDatabase, by seconds: Double) async throws {
    let interval = "interval '\(seconds) seconds'"
    try await database.run(
      """
      UPDATE tidemark.log_partition SET created_at = created_at - \(interval), closed_at = closed_at - \(interval);
      UPDATE tidemark.step SET moved_at = moved_at - \(interval);
      UPDATE tidemark.stream SET written_at = written_at - \(interval), measured_at = clock_timestamp();
      UPDATE tidemark.shard SET closed_at = closed_at - \(interval);
      UPDATE tidemark.snapshot SET created_at = created_at - \(interval)
      """
    )
  }

  /// The number of the newest history: what the model's clock says.
  private func history(_ database: StreamDatabase) async throws -> Int64 {
    try await database.number("SELECT max(history_number) FROM tidemark.history")
  }

  /// Which of two shards takes an item.
  private func place(of id: Int, in database: StreamDatabase) async throws -> Int {
    Int(
      try await database.number(
        "SELECT (tidemark.partition_hash('{\"id\":\(id)}') >= 2147483648)::int::bigint"
      )
    )
  }

  @Test(
    "It gives out the numbers that a real stream does, whatever happens",
    arguments: 1...8 as ClosedRange<UInt64>
  )
  func numbers(seed: UInt64) async throws {
    var random = SeededRandom(seed: seed)
    let database = try await StreamDatabase.make()
    try await database.run("CREATE TABLE item (id int PRIMARY KEY)")
    try await database.admin.enable(
      table: "item",
      viewType: .keysOnly,
      retention: .seconds(Self.retention),
      shardCount: 1
    )
    let stream = try database.stream("item")
    var model = StreamModel(
      shardCount: 1,
      retention: Self.retention,
      partitionInterval: Self.retention / 24,
      server: 0
    )
    var (now, server) = (0.0, 0)
    var rows: [(payload: Int, place: Int)] = []
    for round in 1...40 {
      var what = ""
      switch Int.random(in: 0...7, using: &random) {
      case 0, 1, 2:
        let count = Int.random(in: 1...5, using: &random)
        what = "put \(count)"
        let ids = (rows.count + 1)...(rows.count + count)
        try await database.run(
          "INSERT INTO item SELECT generate_series(\(ids.lowerBound), \(ids.upperBound))"
        )
        try await stream.sequenceCommitted()
        for id in ids {
          let row = (payload: id, place: try await place(of: id, in: database))
          rows.append(row)
          model.put(row.payload, at: row.place)
        }
        try model.step(server: server, clock: try await history(database), now: now)
      case 3:
        let seconds: Double = [600.0, 4000, 50_000, 100_000].randomElement(using: &random) ?? 0
        what = "age by \(seconds)"
        try await age(database, by: seconds)
        now += seconds
      case 4:
        what = "maintain"
        _ = try await database.pool.query("SELECT tidemark.maintain_stream(1)")
        model.maintain(server: server, clock: try await history(database), now: now)
      case 5:
        let application = ["a", "b"].randomElement(using: &random) ?? ""
        what = "snapshot for \(application)"
        // One that it has already is not made again.
        if !model.snapshots.contains(where: { $0.application == application }) {
          _ = try await stream.startingWithSnapshot(for: application, isNew: true)
          let clock = try await history(database)
          try model.beginSnapshot(for: application, server: server, clock: clock, now: now)
          model.copy(rows, for: application)
          model.completeSnapshot(of: application, now: now)
        }
      case 6:
        what = "rotate"
        let open = try #require(try await stream.shards().last { $0.isOpen })
        if model.openShards.count == 1 {
          // A split and a merge are what a rotation is made of; the model has the split alone.
          let children = try await database.admin.split(open.id, of: "item")
          let clock = try await history(database)
          model.split(model.openShards[0].ordinal, server: server, clock: clock, now: now)
          #expect(children.count == 2)
        }
      default:
        what = "server"
        // Another start of the server, and so another history.
        server += 1
        try await database.run(
          "UPDATE tidemark.history SET server_started_at = server_started_at - (1 + random()) * interval '1 hour'"
        )
      }
      let (real, modelled) = (try await numbers(of: database), numbers(of: model))
      try #require(real == modelled, "round \(round) of seed \(seed): \(what)")
    }
  }
}
