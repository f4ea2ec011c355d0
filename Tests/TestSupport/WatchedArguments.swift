import Foundation
import Synchronization

/// The command lines of the processes that this one starts and of those that they start: what other users of the machine
/// can see of them.
package enum WatchedArguments {
  /// Whether there is a place to look at.
  package static let canBeSeen = FileManager.default.fileExists(atPath: "/proc/self/cmdline")

  /// Looks while `body` runs.
  ///
  /// - Returns: what `body` returns, and each command line that was seen, its words separated by spaces.
  package static func during<Result: Sendable>(
    _ body: () async throws -> Result
  ) async throws -> (result: Result, commands: Set<String>) {
    let seen = Seen()
    return try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask {
        while !Task.isCancelled {
          let commands = try descendants().map(command)
          seen.commands.withLock { $0.formUnion(commands) }
          // Nothing tells that a process has begun: one that lives shorter than this may be missed.
          try await Task.sleep(for: .milliseconds(10))
        }
      }
      let result = try await body()
      group.cancelAll()
      do { try await group.waitForAll() } catch is CancellationError {}
      return (result, seen.commands.withLock { $0 })
    }
  }

  private final class Seen: Sendable {
    let commands = Mutex<Set<String>>([])
  }

  /// Whether a command line has a connection URL, or the parts of one, with a password.
  package static func showPassword(_ command: String) -> Bool {
    command.contains(/postgres(ql)?:\/\/[^:@\/]*:[^@\/]*@/) || command.contains(/password=/)
  }

  private static func descendants() throws -> [Int] {
    var children: [Int: [Int]] = [:]
    for process in try FileManager.default.contentsOfDirectory(atPath: "/proc").compactMap({ Int($0) }) {
      guard let parent = parent(of: process) else { continue }
      children[parent, default: []].append(process)
    }
    var found = children[Int(getpid())] ?? []
    var next = 0
    while next < found.count {
      found += children[found[next]] ?? []
      next += 1
    }
    return found
  }

  /// `nil` once the process is gone.
  private static func parent(of process: Int) -> Int? {
    // The name, in parentheses, may have any characters; the state and the parent follow.
    read("/proc/\(process)/stat").split(separator: ")").last?.split(separator: " ").dropFirst().first
      .flatMap { Int($0) }
  }

  private static func command(of process: Int) -> String {
    read("/proc/\(process)/cmdline").replacing("\0", with: " ")
  }

  private static func read(_ file: String) -> String {
    String(decoding: (try? Data(contentsOf: URL(filePath: file))) ?? Data(), as: UTF8.self)
  }
}
