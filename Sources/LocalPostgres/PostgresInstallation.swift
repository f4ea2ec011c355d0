import Foundation

/// The directory of PostgreSQL's server binaries on this machine.
public struct PostgresInstallation: Sendable, Hashable {
  /// The directory that holds `postgres`, `initdb` and `createdb`.
  public var binaryDirectory: String

  /// Uses the given directory.
  ///
  /// - Throws: ``LocalPostgresError`` `binariesNotFound` if one of the binaries is not there.
  public init(binaryDirectory: String) throws {
    guard Self.isComplete(binaryDirectory) else {
      throw LocalPostgresError(
        .binariesNotFound,
        "\(binaryDirectory) does not hold PostgreSQL's \(Self.needed.joined(separator: ", ")).",
        advice: Self.advice
      )
    }
    self.binaryDirectory = binaryDirectory
  }

  /// Looks in `TIDEMARK_POSTGRES_BIN` (and then nowhere else), where `pg_config` says, and in the usual
  /// directories, newest version first.
  ///
  /// - Throws: ``LocalPostgresError`` `binariesNotFound`.
  public static func find() async throws -> PostgresInstallation {
    try await find(environment: ProcessInfo.processInfo.environment, usualDirectories: usualDirectories)
  }

  static func find(
    environment: [String: String],
    usualDirectories: [String]
  ) async throws -> PostgresInstallation {
    if let chosen = environment["TIDEMARK_POSTGRES_BIN"], !chosen.isEmpty {
      return try PostgresInstallation(binaryDirectory: chosen)
    }
    let candidates = await fromPgConfig(searchPath: environment["PATH"] ?? "") + usualDirectories
    guard let found = candidates.first(where: isComplete) else {
      throw LocalPostgresError(
        .binariesNotFound,
        "PostgreSQL's server binaries were not found on this machine.",
        advice: advice
      )
    }
    return try PostgresInstallation(binaryDirectory: found)
  }

  private static let needed = ["postgres", "initdb", "createdb"]
  private static let advice =
    "Install them (apt-get install postgresql, brew install postgresql), or set TIDEMARK_POSTGRES_BIN to "
    + "the directory that holds them."

  private static func isComplete(_ directory: String) -> Bool {
    needed.allSatisfy { FileManager.default.isExecutableFile(atPath: "\(directory)/\($0)") }
  }

  private static func fromPgConfig(searchPath: String) async -> [String] {
    let paths = searchPath.split(separator: ":").map { "\($0)/pg_config" }
    guard let command = paths.first(where: FileManager.default.isExecutableFile(atPath:)),
      let answer = try? await ChildProcess.run([command, "--bindir"]), answer.status == 0
    else { return [] }
    return [answer.output]
  }

  /// Debian, Red Hat, Homebrew and what is built by hand, each with its newest version first.
  private static var usualDirectories: [String] {
    versions(in: "/usr/lib/postgresql", suffix: "/bin")
      + versions(in: "/usr", prefix: "pgsql-", suffix: "/bin")
      + versions(in: "/opt/homebrew/opt", prefix: "postgresql@", suffix: "/bin")
      + versions(in: "/usr/local/opt", prefix: "postgresql@", suffix: "/bin")
      + ["/usr/local/pgsql/bin", "/opt/homebrew/bin", "/usr/local/bin", "/usr/bin"]
  }

  private static func versions(in parent: String, prefix: String = "", suffix: String) -> [String] {
    let names = (try? FileManager.default.contentsOfDirectory(atPath: parent)) ?? []
    return names.filter { $0.hasPrefix(prefix) && Int($0.dropFirst(prefix.count)) != nil }
      .sorted { $0.compare($1, options: .numeric) == .orderedDescending }
      .map { "\(parent)/\($0)\(suffix)" }
  }
}
