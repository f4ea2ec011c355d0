import Logging
import Synchronization

/// What was logged, a line for each event.
final class CollectedLog: Sendable {
  private let text = Mutex("")

  var lines: [String] { text.withLock { $0.split(separator: "\n").map(String.init) } }

  var logger: Logger { Logger(label: "test") { _ in Handler(log: self) } }

  private struct Handler: LogHandler {
    var log: CollectedLog
    var metadata: Logger.Metadata = [:]
    var logLevel = Logger.Level.warning

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
      get { metadata[key] }
      set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
      let metadata = (event.metadata ?? [:]).sorted { $0.key < $1.key }.map { "\($0.key): \($0.value)" }
      log.text.withLock { $0 += "\(event.level) \(event.message) \(metadata.joined(separator: ", "))\n" }
    }
  }
}
