import Foundation

/// An exclusive lock on a file, which ends with this value, or with the process.
final class FileLock: Sendable {
  private let descriptor: Int32

  /// Waits until nobody else has the lock.
  ///
  /// - Throws: ``CommandFailure`` if the file cannot be made or the lock is not free in time.
  init(path: String, within limit: Duration) async throws {
    descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
    guard descriptor >= 0 else {
      throw CommandFailure(
        "\(path) cannot be written: \(String(cString: strerror(errno))).",
        advice: "Set TIDEMARK_HOME to a directory of your own.",
        exitCode: .databaseUnavailable
      )
    }
    let deadline = ContinuousClock.now + limit
    while flock(descriptor, LOCK_EX | LOCK_NB) != 0 {
      guard ContinuousClock.now < deadline else {
        throw CommandFailure(
          "Another tidemark command has been starting the private PostgreSQL for \(limit.inSeconds) seconds.",
          advice: "Wait for it or end it, and try again.",
          exitCode: .databaseUnavailable
        )
      }
      try await Task.sleep(for: .milliseconds(20))
    }
  }

  func release() {
    flock(descriptor, LOCK_UN)
  }

  deinit { close(descriptor) }
}
