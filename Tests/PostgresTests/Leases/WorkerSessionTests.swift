import PostgresClient
import TestSupport
import Testing
import Tidemark

@testable import TidemarkPostgres

@Suite("A worker's session", .sharesMachine)
struct WorkerSessionTests {
  /// Behind a pooler that shares sessions, two connections meet the same server process.
  @Test("that is shared with other connections is not taken for the worker's life", arguments: [true, false])
  func pooler(_ isShared: Bool) async throws {
    let database = try await LeaseDatabase()
    let connection = try await PostgresConnection.connect(
      database.configuration,
      logger: LeaseDatabase.logger
    )
    let scope = LeaseScope(application: "application", stream: "stream")
    let registration = WorkerRegistration(
      scope: scope,
      workerID: "worker",
      host: "host",
      processID: 1,
      failoverInterval: .seconds(60)
    )
    let row = try await connection.pipeline(HeartbeatStatements.register(registration))[1][0]
    let (number, isLocked, backend, channel) = try row.decode((Int64, Bool, Int32, String).self)
    #expect(channel.utf8.count <= 63)
    let session = WorkerSession(
      WorkerIncarnation(number),
      in: scope,
      channel: channel,
      connection: connection,
      isLocked: isLocked,
      configuration: database.configuration,
      logger: LeaseDatabase.logger
    )
    try await session.checkIsDirect(backend: backend, other: isShared ? backend : backend + 1)
    let beat = Heartbeat(incarnation: session.incarnation, scope: scope, state: .active)
    #expect(try await session.heartbeat(beat) != nil)
    let rows = try await database.pool.query("SELECT has_session FROM tidemark.worker")
    #expect(try rows[0].decode("has_session", as: Bool.self) == !isShared)
    await session.end()
    #expect(try await session.heartbeat(beat) == nil)
  }
}
