import Foundation

/// A lock on a file, which ends with this value, or with the process.
final class FileLock: Sendable {
  enum Mode {
    case shared, exclusive
  }

  private let path: String
  private let descriptor: Int32

  /// Makes the file if it is missing; does not lock it yet.
  init(path: String) throws {
    self.path = path
    descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
    guard descriptor >= 0 else {
      throw CommandFailure(
        "\(path) cannot be written: \(String(cString: strerror(errno))).",
        advice: "Set TIDEMARK_HOME to a directory of your own.",
        exitCode: .databaseUnavailable
      )
    }
  }

  /// Waits until nobody else has a lock that is in the way of this one.
  ///
  /// - Throws: ``CommandFailure`` if that takes longer than `limit`; `CancellationError`.
  func lock(_ mode: Mode, within limit: Duration) async throws {
    let deadline = ContinuousClock.now + limit
    while flock(descriptor, (mode == .shared ? LOCK_SH : LOCK_EX) | LOCK_NB) != 0 {
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
    flock(descriptor, LOCK_UN)
  }

  deinit { close(descriptor) }
}
