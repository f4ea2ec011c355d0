import ArgumentParser
import TidemarkStreams

struct MergeShards: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "merge",
    abstract: "Merge two open shards whose hash ranges touch."
  )

  @Argument(help: "The stream's name.")
  var name: String

  @Argument(help: "One shard's id.")
  var shard: String

  @Argument(help: "The other shard's id.")
  var other: String

  @OptionGroup var database: DatabaseOptions
  @OptionGroup var output: OutputOptions

  func run() async throws {
    let child = try await database.useStreams { try await $0.streams.merge(shard, other, of: name) }
    try output.show(
      .object(["parent_shard_ids": JSON([shard, other]), "child_shard_ids": JSON([child])]),
      text: "Merged \(shard) and \(other) into \(child).\n"
    )
  }
}
