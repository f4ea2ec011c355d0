import ArgumentParser
import Foundation

/// A command's output, and what is said beside it to the person at the terminal.
enum Terminal {
  static func note(_ text: String) {
    writeToStandardError("tidemark: \(text.printable)\n")
  }

  static func writeToStandardError(_ text: String) {
    // Nobody is left to hear of it if this fails.
    try? FileHandle.standardError.write(contentsOf: Data(text.utf8))
  }

  /// Writes a command's output. Not `print`, which says nothing when it fails.
  static func write(_ text: String) throws {
    do {
      try FileHandle.standardOutput.write(contentsOf: Data(text.utf8))
    } catch {
      throw CommandFailure("Cannot write to standard output: \(error.localizedDescription)")
    }
  }

  static var hasPerson: Bool { isatty(STDIN_FILENO) != 0 }
}

/// Standard error for a log, which writes a line for each event.
struct TerminalLog: TextOutputStream, Sendable {
  func write(_ line: String) {
    Terminal.writeToStandardError(line.dropLast().description.printable + "\n")
  }
}

/// For commands that cannot be taken back.
struct ConfirmationOptions: ParsableArguments {
  @Flag(name: .shortAndLong, help: "Do not ask for confirmation.")
  var yes = false

  /// Refuses to go on where nobody can be asked. To be called before anything is done.
  func checkCanAsk() throws {
    if yes || Terminal.hasPerson { return }
    throw CommandFailure(
      "This needs a confirmation, and standard input is not a terminal.",
      advice: "Say --yes if you are sure.",
      exitCode: .validationFailure
    )
  }

  func confirm(_ question: String) throws {
    if yes { return }
    Terminal.writeToStandardError("\(question.printable) [y/N] ")
    let answer = readLine()?.trimmingCharacters(in: .whitespaces).lowercased()
    guard answer == "y" || answer == "yes" else { throw CommandFailure("Nothing was changed.") }
  }
}
