import ArgumentParser
import TidemarkPostgres

struct DescribeStream: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "describe",
    abstract: "Show a stream and the tree of its shards.",
    discussion: """
      Children stand beneath their parents; the child of a merge stands beneath the first of its parents \
      that is listed, and names both. Hash ranges are shown by their upper 32 bits.
      """
  )

  @Argument(help: "The stream's name.")
  var name: String

  @OptionGroup var database: DatabaseOptions
  @OptionGroup var output: OutputOptions

  func run() async throws {
    let stream = try await database.use { try await $0.streams.describe(name) }
    try output.show(stream.json, text: stream.report)
  }
}
