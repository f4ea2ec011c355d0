import Foundation
import LocalPostgres
import Synchronization

/// A worker's history on disk, one JSON object a line. Each line is one `write` to a file that is opened for
/// appending, so a killed process leaves all that it has done and at most one torn line.
package final class HistoryFile: Sendable {
  private let handle: Mutex<FileHandle>

  package init(path: String) throws {
    handle = Mutex(try PrivateFiles.open(path, O_WRONLY | O_APPEND))
  }

  package func append(_ entry: HistoryEntry) throws {
    var line = try JSONEncoder().encode(entry)
    line.append(UInt8(ascii: "\n"))
    try handle.withLock { try $0.write(contentsOf: line) }
  }
}
