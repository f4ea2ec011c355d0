import Foundation
import LocalPostgres

/// A lock on a file, which ends with this value, or with the process.
final class FileLock: Sendable {
  enum Mode {
    case shared, exclusive
  }

  private let path: String
  private let file: FileHandle

  /// Makes the file if it is missing; does not lock it yet.
  init(path: String) throws {
    self.path = path
    file = try PrivateFiles.open(path, O_RDWR)
  }

  /// Waits until nobody else has a lock that is in the way of this one.
  ///
  /// - Throws: ``CommandFailure`` if that takes longer than `limit`; `CancellationError`.
  func lock(_ mode: Mode, within limit: Duration) async throws {
    let deadline = ContinuousClock.now + limit
    while flock(file.fileDescriptor, (mode == .shared ? LOCK_SH : LOCK_EX) | LOCK_NB) != 0 {
      guard ContinuousClock.now < deadline else {
        throw CommandFailure(
          "Another tidemark command has held \(path) for \(DurationArgument(limit)).",
          advice: "Wait for it or end it, and try again.",
          exitCode: .databaseUnavailable
        )
      }
      try await Task.sleep(for: .milliseconds(20))
    }
  }

  func unlock() {
    flock(file.fileDescriptor, LOCK_UN)
  }
}
