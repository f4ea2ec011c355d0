import ArgumentParser
import Tidemark
import TidemarkPostgres

struct ListWorkers: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "list",
    abstract: "List the workers, also dead ones that are not forgotten yet."
  )

  @Option(help: "Only those of this application.")
  var application: String?

  @Option(help: "Only those that serve this stream, by its full name or its short one.")
  var stream: String?

  @OptionGroup var database: DatabaseOptions
  @OptionGroup var output: OutputOptions

  private struct Row: Sendable {
    var worker: WorkerRecord
    var ownedLeases: Int
  }

  func run() async throws {
    let rows = try await database.use(.schema(.leases)) { database in
      var rows: [Row] = []
      for application in try await applications(in: database) {
        rows += try await Self.rows(of: LeaseScope(application: application), in: database)
      }
      return rows.filter { row in
        stream == nil || row.worker.registration.streams.contains { isStream($0, named: stream) }
      }
    }
    try output.show(
      .object(["workers": .array(rows.map(Self.json))]),
      table: Self.table(rows),
      empty: "There are no such workers."
    )
  }

  private func applications(in database: Database) async throws -> [String] {
    if let application { return [application] }
    return Set(try await database.leases.scopes().map(\.application)).sorted()
  }

  private static func rows(of scope: LeaseScope, in database: Database) async throws -> [Row] {
    let owners = try await database.leases.visibleLeases(in: scope).compactMap(\.owner)
    let owned = Dictionary(owners.map { ($0, 1) }, uniquingKeysWith: +)
    return try await database.leases.workers(in: scope).map {
      Row(worker: $0, ownedLeases: owned[$0.incarnation] ?? 0)
    }
  }

  private static func table(_ rows: [Row]) -> Table {
    var table = Table([
      ("WORKER", .left), ("INCARNATION", .right), ("APPLICATION", .left), ("STREAMS", .left),
      ("STATE", .left),
      ("HOST", .left), ("PID", .right), ("HEARTBEAT AGE", .right), ("FAILOVER", .right), ("LEASES", .right),
    ])
    for row in rows {
      let registration = row.worker.registration
      table.add([
        registration.workerID, "\(row.worker.incarnation)", registration.scope.application,
        registration.streamSummary, row.worker.state.rawValue, registration.host,
        "\(registration.processID)", "\(DurationArgument(row.worker.heartbeatAge))",
        "\(DurationArgument(registration.failoverInterval))", "\(row.ownedLeases)",
      ])
    }
    return table
  }

  private static func json(_ row: Row) -> JSON {
    let registration = row.worker.registration
    return .object([
      "worker_id": JSON(registration.workerID),
      "incarnation": JSON(row.worker.incarnation.number),
      "application": JSON(registration.scope.application),
      "streams": JSON(registration.streams.sorted()),
      "state": JSON(row.worker.state.rawValue),
      "host": JSON(registration.host),
      "process_id": JSON(registration.processID),
      "heartbeat_age_seconds": JSON(row.worker.heartbeatAge.inSeconds),
      "failover_interval_seconds": JSON(registration.failoverInterval.inSeconds),
      "maximum_leases": JSON(registration.maximumLeases.map { Int64($0) }),
      "owned_leases": JSON(row.ownedLeases),
    ])
  }
}

extension WorkerRegistration {
  /// The name of the only stream, or how many there are.
  fileprivate var streamSummary: String {
    streams.count == 1 ? streams.first ?? "" : "\(streams.count)"
  }
}
