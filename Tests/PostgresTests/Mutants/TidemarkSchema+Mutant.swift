import Foundation
import LibPQ
import Logging
import TidemarkPostgres
import TidemarkStreams

extension SQLMutant {
  /// Names the mutant that this process runs its tests with.
  static let variable = "TIDEMARK_SQL_MUTANT"

  /// Which are to be run, by name, parted by spaces; empty for all. `nil` where none is.
  static let chosen = ProcessInfo.processInfo.environment["TIDEMARK_SQL_MUTANTS"]

  /// The one that is planted; `nil` for none.
  static let planted = ProcessInfo.processInfo.environment[variable].map { name in
    guard let mutant = all.first(where: { $0.name == name }) else {
      preconditionFailure("There is no mutant \(name).")
    }
    return mutant
  }
}

extension TidemarkSchema {
  /// As tests make it.
  var underTest: TidemarkSchema {
    get throws { try SQLMutant.planted?.plant(in: self) ?? self }
  }
}

extension Migrator {
  /// Makes both schemas as tests make them.
  static func migrateUnderTest(_ pool: PQPool, logger: Logger) async throws {
    for schema in [TidemarkSchema.leases, .streams] {
      try await Migrator(pool, schema: schema.underTest, logger: logger).migrate()
    }
  }
}
