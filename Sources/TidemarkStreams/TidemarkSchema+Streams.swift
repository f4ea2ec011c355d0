import LibPQ
import Logging
import TidemarkPostgres

extension TidemarkSchema {
  /// Change streams over tables: the schema `tidemark`.
  public static let streams = TidemarkSchema(
    "tidemark",
    oldestVersion: 1,
    migrations: [
      Migration(
        1,
        "streams",
        oldestProgram: 1,
        chapters: [
          (PackageResources.v1_01_history_up_sql, PackageResources.v1_01_history_down_sql),
          (PackageResources.v1_02_access_up_sql, PackageResources.v1_02_access_down_sql),
          (PackageResources.v1_03_streams_up_sql, PackageResources.v1_03_streams_down_sql),
          (PackageResources.v1_04_capture_up_sql, PackageResources.v1_04_capture_down_sql),
          (PackageResources.v1_05_sequencing_up_sql, PackageResources.v1_05_sequencing_down_sql),
          (PackageResources.v1_06_shards_up_sql, PackageResources.v1_06_shards_down_sql),
          (PackageResources.v1_07_maintenance_up_sql, PackageResources.v1_07_maintenance_down_sql),
          (PackageResources.v1_08_expiry_up_sql, PackageResources.v1_08_expiry_down_sql),
          (PackageResources.v1_09_shard_management_up_sql, PackageResources.v1_09_shard_management_down_sql),
          (PackageResources.v1_10_snapshots_up_sql, PackageResources.v1_10_snapshots_down_sql),
          (PackageResources.v1_11_logical_capture_up_sql, PackageResources.v1_11_logical_capture_down_sql),
          (
            PackageResources.v1_12_logical_snapshots_up_sql, PackageResources.v1_12_logical_snapshots_down_sql
          ),
          (PackageResources.v1_13_conditions_up_sql, PackageResources.v1_13_conditions_down_sql),
          (PackageResources.v1_14_rights_up_sql, PackageResources.v1_14_rights_down_sql),
          (PackageResources.v1_15_life_up_sql, PackageResources.v1_15_life_down_sql),
        ]
      )
    ]
  )
}

extension Migrator {
  /// Brings both schemas up to date, for a database that has streams and the leases on them.
  ///
  /// - Throws: as ``migrate(to:)``.
  public static func migrateAll(_ pool: PQPool, logger: Logger) async throws {
    for schema in [TidemarkSchema.leases, .streams] {
      try await Migrator(pool, schema: schema, logger: logger).migrate()
    }
  }
}
