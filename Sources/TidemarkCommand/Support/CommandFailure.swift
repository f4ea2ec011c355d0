import ArgumentParser
import LocalPostgres
import PostgresClient
import Tidemark

/// Why a command did not do what it was asked to, as its user gets to see it.
struct CommandFailure: Error {
  /// What happened, in one line.
  var message: String
  /// Lines that show more of it, such as the last ones of a log.
  var details: [String] = []
  /// What to do about it, when there is something.
  var advice: String?
  var exitCode: ExitCode

  init(_ message: String, advice: String? = nil, exitCode: ExitCode = .failure) {
    self.message = message
    self.advice = advice
    self.exitCode = exitCode
  }

  /// - Returns: `nil` for what the argument parser reports itself.
  init?(_ error: any Error) {
    switch error {
    case let failure as CommandFailure: self = failure
    case let error as TidemarkError: self.init(error)
    case let error as PostgresError: self.init(error)
    case let error as LocalPostgresError:
      let lines = error.message.split(separator: "\n").map(String.init)
      self.init(lines.first ?? "", advice: error.advice, exitCode: .databaseUnavailable)
      details = Array(lines.dropFirst())
    case is CancellationError: self.init("The command was cancelled.")
    default: return nil
    }
  }

  private init(_ error: TidemarkError) {
    guard let cause = error.underlying as? PostgresError else {
      self.init(error.message.asSentence, advice: error.advice)
      return
    }
    self.init(cause)
    message = "\(error.message) \(message)"
    advice = error.advice ?? advice
  }

  private init(_ error: PostgresError) {
    // libpq writes a line for each host, and beneath it, indented, a question that is advice.
    let lines = error.message.split(separator: "\n").filter { !$0.hasPrefix("\t") }
    message = lines.joined(separator: "; ").asSentence
    advice = error.hint
    switch error.code {
    case .invalidConfiguration:
      exitCode = .validationFailure
      advice = advice ?? "Write it as postgresql://USER@HOST:PORT/DATABASE."
    case .server where !error.endsSession:
      exitCode = .failure
    case .connectionFailed, .connectionLost, .timeout, .closed, .server:
      exitCode = .databaseUnavailable
      advice =
        advice ?? "Check that the server runs and that --database-url or TIDEMARK_DATABASE_URL names it."
    default:
      exitCode = .failure
    }
  }

  /// The lines that go to standard error.
  var report: String {
    "Error: \(message.printable)\n" + details.map { "  \($0.printable)\n" }.joined()
      + (advice.map { "Help: \($0.printable)\n" } ?? "")
  }
}

extension ExitCode {
  /// `EX_UNAVAILABLE` of sysexits.h.
  static let databaseUnavailable = ExitCode(69)
}

extension PostgresError {
  /// Whether the server has no session for this command (any more): it stops, is full, or lost the client.
  fileprivate var endsSession: Bool {
    ["57P", "53", "08"].contains { sqlState?.hasPrefix($0) == true }
  }
}

extension String {
  /// PostgreSQL's messages end without a full stop. They begin with a small letter, which stays: it may be a
  /// name's.
  fileprivate var asSentence: String {
    last.map { ".!?".contains($0) } ?? true ? self : self + "."
  }
}
