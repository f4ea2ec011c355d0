import ArgumentParser

struct StreamCommands: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "stream",
    abstract: "Create, change, look at, write to and read streams.",
    discussion: """
      A stream is named by its short name, which means the enabled stream or else the newest of that name, \
      or by its full one, name/label. tail and workers read all streams of a short name, one after the other.
      """,
    subcommands: [
      CreateStream.self, EnableStream.self, AlterStream.self, DisableStream.self, DropStream.self,
      DescribeStream.self,
      ListStreams.self, CheckStreams.self,
      PutRecords.self, TailStream.self, SplitShard.self, MergeShards.self,
      SnapshotCommands.self,
    ]
  )
}
