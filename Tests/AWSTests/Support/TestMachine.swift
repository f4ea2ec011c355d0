#if AWS
import Logging
import Synchronization
import Tidemark

@testable import AWSRequests
@testable import TidemarkAWS

/// A machine that has only what a test gives it.
final class TestMachine: Sendable {
  let clock = ImpatientClock()
  let time = Mutex(Timestamp(iso8601: "2026-06-01T12:00:00Z") ?? Timestamp(microsecondsSinceEpoch: 0))
  let files = Mutex<[String: String]>([:])
  let commands = Mutex<[[String]]>([])
  let log = Mutex("")

  init(files: [String: String] = [:]) {
    self.files.withLock { $0 = files }
  }

  func environment(_ variables: [String: String] = [:], command: String = "") -> AWSEnvironment {
    AWSEnvironment(
      variables: variables,
      homeDirectory: "/home/me",
      readFile: { path in self.files.withLock { $0[path] } },
      runCommand: { words in
        self.commands.withLock { $0.append(words) }
        return .init(exitCode: command.isEmpty ? 1 : 0, output: command)
      },
      now: { self.time.withLock { $0 } },
      clock: clock
    )
  }

  /// Collects everything that is logged at any level.
  var logger: Logger {
    var logger = Logger(label: "test") { _ in CollectingHandler(machine: self) }
    logger.logLevel = .trace
    return logger
  }

  func sources(_ variables: [String: String] = [:], command: String = "", profile: String? = nil)
    -> CredentialsSources
  {
    var configuration = AWSConfiguration()
    configuration.credentials.profile = profile
    return CredentialsSources(
      configuration,
      region: "eu-central-1",
      environment: environment(variables, command: command),
      logger: logger
    )
  }

  /// A client of a server, with an access key.
  func client(of server: LoopbackServer, _ change: (inout AWSConfiguration) -> Void = { _ in }) throws
    -> AWSClient
  {
    var configuration = AWSConfiguration(endpoint: server.url)
    change(&configuration)
    return try AWSClient(configuration, environment: environment(), logger: logger)
  }
}

private struct CollectingHandler: LogHandler {
  var machine: TestMachine
  var metadata: Logger.Metadata = [:]
  var logLevel = Logger.Level.trace

  subscript(metadataKey key: String) -> Logger.Metadata.Value? {
    get { metadata[key] }
    set { metadata[key] = newValue }
  }

  func log(event: LogEvent) {
    machine.log.withLock { $0 += "\(event.level) \(event.message) \(event.metadata ?? [:])\n" }
  }
}

/// Credentials that change with each call, or an error.
final class ScriptedProvider: AWSCredentialsProvider {
  let calls = Mutex(0)
  private let answer: @Sendable (Int) throws -> AWSCredentials?

  var name: String { "script" }

  init(_ answer: @escaping @Sendable (Int) throws -> AWSCredentials?) { self.answer = answer }

  func credentials() async throws -> AWSCredentials? {
    let call = calls.withLock {
      $0 += 1
      return $0
    }
    // Others that come meanwhile have to find this call under way.
    await Task.yield()
    return try answer(call)
  }
}

func key(_ id: String, until expiration: Timestamp? = nil) -> AWSCredentials {
  AWSCredentials(accessKeyID: id, secretAccessKey: "SECRET", sessionToken: "TOKEN", expiration: expiration)
}
#endif
