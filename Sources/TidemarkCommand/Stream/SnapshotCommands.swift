import ArgumentParser

struct SnapshotCommands: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "snapshot",
    abstract: "Drop the snapshot that an application has started with.",
    discussion: "Workers take snapshots by themselves; stream describe shows which there are.",
    subcommands: [DropSnapshot.self]
  )
}
