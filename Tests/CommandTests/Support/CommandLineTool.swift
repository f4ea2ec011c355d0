import Foundation
import Testing

/// The built program, as its users run it.
struct CommandLineTool: Sendable {
  /// The database that it uses; `nil` for none.
  var databaseURL: String?
  /// Set for each run, besides the tests' own environment.
  var environment: [String: String] = [:]

  /// Runs the program to its end.
  ///
  /// - Parameter input: what it reads; standard input is never a terminal.
  func run(_ arguments: String..., input: String = "") async throws -> CommandOutcome {
    try await start(arguments, input: input).outcome
  }

  /// - Parameters:
  ///   - input: `nil` for a standard input that stays open and silent.
  ///   - output: the file that it writes to; by default one whose content is kept.
  func start(_ arguments: [String], input: String? = "", output: String? = nil) throws -> RunningCommand {
    var environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
    environment["TIDEMARK_DATABASE_URL"] = databaseURL
    return try RunningCommand(
      try Self.executable(),
      arguments,
      environment: environment,
      input: input,
      output: output
    )
  }

  /// SwiftPM puts all products and the tests' bundle into one directory.
  private static func executable() throws -> String {
    let bundle = try #require(Bundle.main.executablePath)
    let path = URL(filePath: bundle).deletingLastPathComponent().appending(path: "tidemark").path
    try #require(FileManager.default.isExecutableFile(atPath: path), "\(path) was not built")
    return path
  }
}

/// What a run of the program left.
struct CommandOutcome: Sendable {
  var status: Int32
  var output: String
  var errors: String

  /// The lines of the output, each split at whitespace.
  var table: [[String]] { output.split(separator: "\n").map { $0.split(separator: " ").map(String.init) } }

  /// The output as JSON; its snake_case keys are read as camelCase ones.
  func decode<Value: Decodable>(_ type: Value.Type = Value.self) throws -> Value {
    try Self.decode(output)
  }

  /// Each line of the output as JSON.
  func decodeLines<Value: Decodable>(_ type: Value.Type = Value.self) throws -> [Value] {
    try output.split(separator: "\n").map { try Self.decode(String($0)) }
  }

  private static func decode<Value: Decodable>(_ text: String) throws -> Value {
    let decoder = JSONDecoder()
    decoder.keyDecodingStrategy = .convertFromSnakeCase
    return try decoder.decode(Value.self, from: Data(text.utf8))
  }
}
