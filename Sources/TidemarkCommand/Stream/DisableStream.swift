import ArgumentParser
import TidemarkStreams

struct DisableStream: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "disable",
    abstract: "End a stream's capture and close its shards. What it holds stays readable until its retention."
  )

  @Argument(help: "The stream's name.")
  var name: String
  @Flag(help: "Leave out the changes that capture by decoding has not captured yet, and say which.")
  var force = false

  @OptionGroup var database: DatabaseOptions
  @OptionGroup var output: OutputOptions

  func run() async throws {
    let stream = try await database.use(.schema(.streams)) {
      try await $0.streams.disable(name, isForced: force)
    }
    try output.show(stream.json, text: stream.report)
  }
}
