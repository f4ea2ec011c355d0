import ArgumentParser
import Foundation
import LocalPostgres
import Logging

extension CaptureKind: ExpressibleByArgument {}

struct RunRounds: AsyncParsableCommand {
  static let configuration = CommandConfiguration(commandName: "run", abstract: "Run rounds.")

  @Option(help: "No round begins after so many minutes; at least one of each kind is run.")
  var minutes = 1.0
  @Option(
    help: "What the first round is drawn from, and the seeds of the others; drawn itself if it is left out."
  )
  var seed: UInt64?
  @Option(help: "What the rounds are about; all in turn if it is left out.")
  var capture: CaptureKind?
  @Option(help: "Run exactly so many rounds.")
  var rounds: Int?
  @Option(help: "How long the writers of a round write.")
  var roundSeconds = 15
  @Option(
    help: ArgumentHelp(
      "Kinds to leave out, separated by commas: \(Ingredient.allCases.map(\.rawValue).joined(separator: ", ")).",
      valueName: "kinds"
    )
  )
  var without = ""
  @Option(help: ArgumentHelp("Only these kinds.", valueName: "kinds"))
  var only: String?
  @Option(
    help: "Where to keep data; otherwise a new directory for temporary files, kept if something is wrong."
  )
  var directory: String?
  @Flag(help: "Go on after a round that failed.")
  var keepGoing = false

  func validate() throws {
    _ = try allowed()
  }

  private func allowed() throws -> Set<Ingredient> {
    func parse(_ text: String) throws -> Set<Ingredient> {
      try Set(
        text.split(separator: ",").map { name in
          guard let kind = Ingredient(rawValue: String(name)) else {
            throw ValidationError("There is no kind \(name).")
          }
          return kind
        }
      )
    }
    return try (only.map(parse) ?? Set(Ingredient.allCases)).subtracting(parse(without))
  }

  func run() async throws {
    LoggingSystem.bootstrap { _ in SwiftLogNoOpLogHandler() }
    let seed = seed ?? UInt64.random(in: 1...999_999)
    let report = try Report(rounds: self, seed: seed, allowed: allowed())
    guard try await report.run() else { throw ExitCode.failure }
  }
}
