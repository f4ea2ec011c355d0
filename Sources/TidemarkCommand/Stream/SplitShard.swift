import ArgumentParser
import TidemarkStreams

struct SplitShard: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "split",
    abstract: "Split an open shard in two."
  )

  @Argument(help: "The stream's name.")
  var name: String

  @Argument(help: "The shard's id.")
  var shard: String

  @Option(
    help: ArgumentHelp(
      "Where the second child's hash range starts. Default: in the middle.",
      discussion:
        "A decimal number of 128 bits, as describe --json shows it, or its leading hexadecimal digits, as "
        + "describe shows them, after 0x.",
      valueName: "hash"
    )
  )
  var at: HashArgument?

  @OptionGroup var database: DatabaseOptions
  @OptionGroup var output: OutputOptions

  func run() async throws {
    let children = try await database.useStreams { try await $0.streams.split(shard, of: name, at: at?.hash) }
    try output.show(
      .object(["parent_shard_ids": JSON([shard]), "child_shard_ids": JSON(children)]),
      text: "Split \(shard) into \(children.joined(separator: " and ")).\n"
    )
  }
}

/// A hash of partition keys on the command line.
struct HashArgument: ExpressibleByArgument, Sendable, Equatable {
  var hash: UInt128

  init?(argument: String) {
    if argument.hasPrefix("0x") {
      // The leading digits; the others are zero.
      let digits = argument.dropFirst(2)
      guard (1...32).contains(digits.count), digits.allSatisfy(\.isHexDigit),
        let number = UInt128(digits, radix: 16)
      else { return nil }
      hash = number << (4 * (32 - digits.count))
    } else {
      guard let number = UInt128(argument) else { return nil }
      hash = number
    }
  }
}
