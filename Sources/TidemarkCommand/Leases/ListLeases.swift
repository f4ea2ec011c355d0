import ArgumentParser
import Tidemark
import TidemarkPostgres

struct ListLeases: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "list",
    abstract: "List an application's leases, or all applications.",
    discussion: "An owner is shown as the worker's id and, after #, its incarnation."
  )

  @Option(help: "The application whose leases to list. Default: list all applications.")
  var application: String?

  @Option(help: "Only those on this stream, by its full name or its short one.")
  var stream: String?

  @OptionGroup var database: DatabaseOptions
  @OptionGroup var output: OutputOptions

  func run() async throws {
    guard let application else { return try await listApplications() }
    let listing = try await database.use(.schema(.leases)) { database in
      try await LeaseListing.of(LeaseScope(application: application), stream: stream, in: database)
    }
    try output.show(
      .object(["leases": .array(listing.json)]),
      table: listing.table,
      empty: "There are no such leases."
    )
  }

  private func listApplications() async throws {
    let scopes = try await database.use(.schema(.leases)) {
      try await $0.scopes(application: nil, stream: stream)
    }
    try output.show(
      .object(["applications": .array(scopes.map(\.json))]),
      table: Self.table(scopes),
      empty: "There are no applications."
    )
  }

  private static func table(_ scopes: [LeaseScopeSummary]) -> Table {
    var table = Table([
      ("APPLICATION", .left), ("STREAM", .left), ("WORKERS", .right), ("LEASES", .right), ("OWNED", .right),
      ("ENDED", .right), ("STOPPED", .right), ("DEAD LETTERS", .right), ("MILLIS BEHIND", .right),
    ])
    for summary in scopes {
      table.add([
        summary.application, summary.stream, "\(summary.liveWorkers)", "\(summary.leases)",
        "\(summary.ownedLeases)", "\(summary.endedLeases)", "\(summary.stoppedLeases)",
        "\(summary.deadLetters)",
        summary.millisBehindLatest.map(String.init) ?? "-",
      ])
    }
    return table
  }
}

extension LeaseScopeSummary {
  fileprivate var json: JSON {
    .object([
      "application": JSON(application),
      "stream": JSON(stream),
      "live_workers": JSON(liveWorkers),
      "leases": JSON(leases),
      "owned_leases": JSON(ownedLeases),
      "ended_leases": JSON(endedLeases),
      "stopped_leases": JSON(stoppedLeases),
      "dead_letters": JSON(deadLetters),
      "millis_behind_latest": JSON(millisBehindLatest),
    ])
  }
}
