import Foundation
import LibPQ
import TestSupport
import Testing
import Tidemark
import TidemarkPostgres

@testable import LocalPostgres

/// The Python example of the page on exactly once, as it stands there.
@Suite("A program in another language", .sharesMachine)
struct OtherLanguageTests {
  private let database: LeaseDatabase
  private let scope = LeaseScope(application: "totals")
  private let key = LeaseKey(stream: "orders", shardID: "a")
  private let grant: LeaseGrant
  private static let page = "Sources/TidemarkPostgres/Documentation.docc/ExactlyOnce.md"
  private static let package = URL(filePath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent()
    .deletingLastPathComponent().deletingLastPathComponent()

  init() async throws {
    database = try await LeaseDatabase()
    try await database.pool.execute("CREATE TABLE total (customer text PRIMARY KEY, cents bigint NOT NULL)")
    let store = database.makeStore()
    let owner = try await store.register(
      WorkerRegistration(
        scope: scope,
        streams: [key.stream],
        workerID: "worker",
        host: "host",
        processID: 1,
        failoverInterval: .seconds(60)
      )
    )
    let lease = NewLease(stream: key.stream, shard: Shard(id: key.shardID), checkpoint: .trimHorizon)
    _ = try await store.createLeases([lease], in: scope)
    _ = try await store.plan(as: owner, in: scope, handoffTimeout: .seconds(60)) { [key] _ in
      [.assign(key, to: owner)]
    }
    let epoch = try #require(try await store.lease(key, in: scope)?.epoch)
    grant = LeaseGrant(scope: scope, key: key, owner: owner, epoch: epoch)
  }

  /// Has the example handle two orders, the later of which has this sequence number.
  /// - Parameter dies: whether it is killed when it has made the checkpoint, before its COMMIT.
  private func handle(through number: UInt64, dies: Bool = false) async throws -> (
    status: Int32, output: String
  ) {
    let page = try String(contentsOf: Self.package.appending(path: Self.page), encoding: .utf8)
    let example = try #require(page.firstMatch(of: /```python\n([\s\S]*?)```/)).1
    let program = """
      import json, os, signal, sys
      \(example)
      grant, orders = json.loads(sys.argv[2]), json.loads(sys.argv[3])
      with psycopg.connect(sys.argv[1], autocommit=True) as connection:
          if \(dies ? "True" : "False"):
              with connection.transaction():
                  assert handle(connection, grant, orders) == "handled"
                  os.kill(os.getpid(), signal.SIGKILL)
          print(handle(connection, grant, orders))
      """
    let orders = (number - 1...number).map {
      #"{"customer": "Ada", "cents": 100, "sequence_number": "\#($0)"}"#
    }
    return try await ChildProcess.run([
      Self.package.appending(path: "Tests/python.sh").path, "-c", program, database.url,
      """
      {"application": "totals", "stream": "orders", "shard_id": "a", "owner": \(grant.owner), "epoch": \(grant.epoch)}
      """,
      "[\(orders.joined(separator: ", "))]",
    ])
  }

  private func expect(cents: Int, checkpoint: Checkpoint) async throws {
    let rows = try await database.pool.query("SELECT coalesce(sum(cents), 0)::bigint FROM total")
    #expect(try rows[0].decode(Int.self) == cents)
    #expect(try await database.makeStore().lease(key, in: scope)?.checkpoint == checkpoint)
  }

  @Test("in another language makes checkpoints in its own transactions, and none twice")
  func handles() async throws {
    #expect(try await handle(through: 2) == (0, "handled"))
    try await expect(cents: 200, checkpoint: .record(2))
    #expect(try await handle(through: 2) == (0, "they were handled before"))
    try await expect(cents: 200, checkpoint: .record(2))
    #expect(try await handle(through: 4) == (0, "handled"))
    try await expect(cents: 400, checkpoint: .record(4))
  }

  @Test(
    "in another language that is killed before its COMMIT leaves nothing, and the next attempt is the first"
  )
  func killed() async throws {
    #expect(try await handle(through: 2, dies: true).status == SIGKILL)
    try await eventually("the killed session is gone") {
      try await database.pool.query(
        "SELECT FROM pg_stat_activity WHERE datname = current_database() AND state = 'idle in transaction'"
      ).isEmpty
    }
    try await expect(cents: 0, checkpoint: .trimHorizon)
    #expect(try await handle(through: 2) == (0, "handled"))
    try await expect(cents: 200, checkpoint: .record(2))
  }

  @Test("in another language whose worker has lost the lease has its writes rolled back")
  func lost() async throws {
    _ = try await database.makeStore().transfer(grant)
    #expect(try await handle(through: 2) == (0, "another worker handles them"))
    try await expect(cents: 0, checkpoint: .trimHorizon)
  }
}
