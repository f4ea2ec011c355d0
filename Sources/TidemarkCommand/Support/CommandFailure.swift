import ArgumentParser
import LibPQ
import LocalPostgres
import Tidemark
import TidemarkPostgres
import TidemarkStreams

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
    case let error as PQError: self.init(TidemarkError(error, of: .administration))
    case let error as LocalPostgresError:
      let lines = error.message.split(separator: "\n").map(String.init)
      self.init(lines.first ?? "", advice: error.advice, exitCode: .databaseUnavailable)
      details = Array(lines.dropFirst())
    case is CancellationError: self.init("The command was cancelled.")
    default: return nil
    }
  }

  private init(_ error: TidemarkError) {
    let cause = error.underlying as? PQError
    exitCode = cause.map(Self.exitCode) ?? .failure
    message = error.message.asSentence
    advice = error.advice
    if exitCode == .databaseUnavailable {
      advice =
        advice ?? "Check that the server runs and that --database-url or TIDEMARK_DATABASE_URL names it."
    }
  }

  private static func exitCode(of error: PQError) -> ExitCode {
    switch error.code {
    case .invalidConfiguration: .validationFailure
    case .connectionFailed, .hostNotFound, .connectionLost, .timeout, .closed: .databaseUnavailable
    case .server where error.endsSession: .databaseUnavailable
    default: .failure
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

extension PQError {
  /// Whether the server has no session for this command (any more): it stops, is full, or lost the client.
  fileprivate var endsSession: Bool {
    ["57P", "53", "08"].contains { sqlState?.hasPrefix($0) == true }
  }
}
