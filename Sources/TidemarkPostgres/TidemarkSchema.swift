/// A schema that Tidemark keeps in a database, with the migrations that make it.
///
/// There are two, which need not be in the same database: the leases of applications, and change streams over tables.
/// A program that reads streams from elsewhere needs the former only.
public struct TidemarkSchema: Sendable {
  /// Its name in the database.
  public let name: String
  package let migrations: [Migration]
  /// The oldest version that this program works with.
  package let oldestVersion: Int

  package init(_ name: String, oldestVersion: Int, migrations: [Migration]) {
    self.name = name
    self.oldestVersion = oldestVersion
    self.migrations = migrations
  }

  /// The newest version that this program knows.
  public var latestVersion: Int { migrations.last?.version ?? 0 }

  /// Leases, workers, checkpoints and dead letters: the schema `tidemark_leases`.
  public static let leases = TidemarkSchema(
    "tidemark_leases",
    oldestVersion: 1,
    migrations: [
      Migration(
        1,
        "leases",
        oldestProgram: 1,
        chapters: [
          (PackageResources.v1_01_leases_up_sql, PackageResources.v1_01_leases_down_sql),
          (PackageResources.v1_02_rights_up_sql, PackageResources.v1_02_rights_down_sql),
          (PackageResources.v1_03_life_up_sql, PackageResources.v1_03_life_down_sql),
        ]
      )
    ]
  )
}
