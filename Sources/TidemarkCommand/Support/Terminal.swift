import ArgumentParser
import Foundation

/// What is said to the person at the terminal, beside a command's output.
enum Terminal {
  static func note(_ text: String) {
    writeToStandardError("tidemark: \(text)\n")
  }

  static func writeToStandardError(_ text: String) {
    // Nobody is left to be told if this fails.
    try? FileHandle.standardError.write(contentsOf: Data(text.utf8))
  }

  static var hasPerson: Bool { isatty(STDIN_FILENO) != 0 }
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
    Terminal.writeToStandardError("\(question) [y/N] ")
    let answer = readLine()?.trimmingCharacters(in: .whitespaces).lowercased()
    guard answer == "y" || answer == "yes" else { throw CommandFailure("Nothing was changed.") }
  }
}
