import ArgumentParser
import Tidemark
import TidemarkStreams

struct DescribeStream: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "describe",
    abstract: "Show a stream and the tree of its shards.",
    discussion: """
      Children are listed beneath their parents; the child of a merge is beneath the first of its parents \
      that is listed, and names both. Hash ranges show their upper 32 bits only.
      """
  )

  @Argument(help: ArgumentHelp(StreamLocator.help))
  var name: StreamLocator

  @OptionGroup var database: DatabaseOptions
  @OptionGroup var output: OutputOptions

  func run() async throws {
    switch name {
    case .postgres(let name):
      let stream = try await database.useStreams { try await $0.streams.describe(name) }
      try output.show(stream.json, text: stream.report)
    case .dynamoDB(let name):
      try await show(AmazonStreams.dynamoDB(name, logger: database.logger))
    case .kinesis(let name):
      try await show(AmazonStreams.kinesis(name, logger: database.logger))
    }
  }

  private func show(_ source: some StreamSource) async throws {
    let listing = try await endingOnSignals { try await ShardListing(of: source) }
    try output.show(listing.json, text: listing.report)
  }
}
