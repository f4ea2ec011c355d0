import Foundation

/// An empty directory that goes with this value.
package final class TemporaryDirectory: Sendable {
  package let path: String

  package init() throws {
    path = FileManager.default.temporaryDirectory.appending(path: "tidemark-test-\(UUID().uuidString)").path
    // The server's user is another one if this process is root's, and has to reach what is beneath.
    try FileManager.default.createDirectory(
      atPath: path,
      withIntermediateDirectories: false,
      attributes: [.posixPermissions: 0o755]
    )
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }
}
