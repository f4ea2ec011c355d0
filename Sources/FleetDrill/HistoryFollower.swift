import Foundation
import Synchronization

/// Reads the histories in a directory while they grow. What was read once is not read again: a drill looks often, and
/// must not take the processor from what it measures.
package final class HistoryFollower: Sendable {
  private struct File {
    var read: UInt64 = 0
    var entries: [HistoryEntry] = []
  }

  private let directory: String
  private let files = Mutex<[String: File]>([:])

  /// - Parameter directory: that of the histories, files whose names end with `.jsonl`.
  package init(directory: String) {
    self.directory = directory
  }

  /// What was done since `moment`, in the order of time.
  package func entries(since moment: Int64 = 0) throws -> [HistoryEntry] {
    try files.withLock { files in
      try follow(&files)
      return files.values.flatMap { file in
        // A worker's lines are in the order of time, but for what two of its shards do at the same moment.
        let first = file.entries.lastIndex { $0.at < moment - 1_000_000 }.map { $0 + 1 } ?? 0
        return file.entries[first...].filter { $0.at >= moment }
      }.sorted { $0.at < $1.at }
    }
  }

  /// When a lease was started under an epoch; `nil` if it was not yet.
  func start(of shard: String, epoch: Int64) throws -> Int64? {
    try files.withLock { files in
      try follow(&files)
      return files.values.lazy.compactMap { file in
        file.entries.last { $0.kind == .leaseStarted && $0.shard == shard && $0.epoch == epoch }?.at
      }.first
    }
  }

  private func follow(_ files: inout [String: File]) throws {
    for name in try FileManager.default.contentsOfDirectory(atPath: directory) where name.hasSuffix(".jsonl")
    {
      try follow(name, &files[name, default: File()])
    }
  }

  private func follow(_ name: String, _ file: inout File) throws {
    let handle = try FileHandle(forReadingFrom: URL(fileURLWithPath: directory + "/" + name))
    defer { try? handle.close() }
    try handle.seek(toOffset: file.read)
    guard let new = try handle.readToEnd() else { return }
    // Without its newline a line is torn: the process writes it still, or died while it did.
    guard let end = new.lastIndex(of: UInt8(ascii: "\n")) else { return }
    let decoder = JSONDecoder()
    file.entries += try new[...end].split(separator: UInt8(ascii: "\n"))
      .map { try decoder.decode(HistoryEntry.self, from: $0) }
    file.read += UInt64(end - new.startIndex + 1)
  }
}
