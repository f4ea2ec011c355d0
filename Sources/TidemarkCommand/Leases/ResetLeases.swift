import ArgumentParser
import Tidemark
import TidemarkPostgres

struct ResetLeases: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "reset",
    abstract: "Set checkpoints, back or forward, and start stopped shards again.",
    discussion: """
      A lease that is set to another position is taken from its owner: its epoch rises. With --all parents \
      are reset before their children, which then wait for them again.
      """
  )

  @Option(help: "The application whose leases to reset.")
  var application: String

  @Option(
    help: "The stream, by its full name, or its short one if the application has leases on one of that name."
  )
  var stream: String

  @Option(name: .customLong("shard"), help: "A shard's id. May be given several times.")
  var shards: [String] = []

  @Flag(help: "Reset the leases of all shards.")
  var all = false

  @Option(help: ArgumentHelp("Where to: \(ResetTarget.forms).", valueName: "position"))
  var to: ResetTarget

  @OptionGroup var confirmation: ConfirmationOptions
  @OptionGroup var database: DatabaseOptions
  @OptionGroup var output: OutputOptions

  func validate() throws {
    if all != shards.isEmpty { throw ValidationError("Give either --shard or --all.") }
    if all, to.checkpoint == .shardEnd {
      throw ValidationError(
        "Name the shards with --shard: all of them at SHARD_END would skip all that is unread."
      )
    }
  }

  func run() async throws {
    try confirmation.checkCanAsk()
    let listing = try await database.use(.schema(.leases)) { database in
      let scope = LeaseScope(application: application)
      let stream = try await fullName(in: database)
      let leases = try await database.leases.leases(in: scope).filter { $0.stream == stream }
      let chosen = try choose(from: leases, of: stream)
      try confirmation.confirm("Reset \(chosen.count) of the leases of \(application) on \(stream) to \(to)?")
      for key in chosen {
        _ = try await database.leases.reset(key, in: scope, to: to.checkpoint)
      }
      var listing = try await LeaseListing.of(scope, stream: stream, in: database)
      listing.leases.removeAll { !chosen.contains($0.key) }
      return listing
    }
    try output.show(.object(["leases": .array(listing.json)]), text: listing.table.text)
  }

  private func fullName(in database: Database) async throws -> String {
    let found = try await database.scopes(application: application, stream: stream).map(\.stream)
    if found.contains(stream) { return stream }
    guard let name = found.first else {
      throw CommandFailure(
        "The application \(application) has no leases on a stream \(stream).",
        advice: "See which there are: tidemark leases list"
      )
    }
    guard found.count == 1 else {
      throw CommandFailure(
        "The application \(application) has leases on several streams named \(stream).",
        advice: "Name one in full: \(found.joined(separator: ", "))."
      )
    }
    return name
  }

  /// - Returns: the leases, parents first.
  private func choose(from leases: [Lease], of stream: String) throws -> [LeaseKey] {
    if all { return Self.parentsFirst(leases) }
    let known = Set(leases.map(\.shardID))
    // Before anything is changed.
    if let unknown = shards.first(where: { !known.contains($0) }) {
      throw CommandFailure(
        "\(application) has no lease for shard \(unknown) of \(stream).",
        advice: "See which there are: tidemark leases list --application \(application)"
      )
    }
    return Self.parentsFirst(leases.filter { shards.contains($0.shardID) })
  }

  static func parentsFirst(_ leases: [Lease]) -> [LeaseKey] {
    let byID = Dictionary(leases.map { ($0.key, $0) }, uniquingKeysWith: { first, _ in first })
    var ordered: [LeaseKey] = []
    var seen: Set<LeaseKey> = []
    func visit(_ lease: Lease) {
      guard seen.insert(lease.key).inserted else { return }
      for parent in lease.parentShardIDs { byID[lease.relative(parent)].map(visit) }
      ordered.append(lease.key)
    }
    for lease in leases { visit(lease) }
    return ordered
  }
}
