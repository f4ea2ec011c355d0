/// A numbered step of the schema and the way back.
public struct Migration: Sendable, Hashable {
  /// 1, 2, 3, … without gaps.
  public var version: Int
  public var name: String
  var up: String
  var down: String

  init(_ version: Int, _ name: String, up: [UInt8], down: [UInt8]) {
    self.version = version
    self.name = name
    self.up = String(decoding: up, as: UTF8.self)
    self.down = String(decoding: down, as: UTF8.self)
  }

  /// All that this program knows, in order: the files in `Migrations`, which the package embeds under their
  /// names with a leading digit replaced.
  static let all = [
    Migration(
      1,
      "leases",
      up: PackageResources._001_leases_up_sql,
      down: PackageResources._001_leases_down_sql
    ),
    Migration(
      2,
      "streams",
      up: PackageResources._002_streams_up_sql,
      down: PackageResources._002_streams_down_sql
    ),
    Migration(
      3,
      "capture",
      up: PackageResources._003_capture_up_sql,
      down: PackageResources._003_capture_down_sql
    ),
    Migration(
      4,
      "sequencing",
      up: PackageResources._004_sequencing_up_sql,
      down: PackageResources._004_sequencing_down_sql
    ),
    Migration(
      5,
      "shards",
      up: PackageResources._005_shards_up_sql,
      down: PackageResources._005_shards_down_sql
    ),
    Migration(
      6,
      "maintenance",
      up: PackageResources._006_maintenance_up_sql,
      down: PackageResources._006_maintenance_down_sql
    ),
    Migration(
      7,
      "expiry",
      up: PackageResources._007_expiry_up_sql,
      down: PackageResources._007_expiry_down_sql
    ),
    Migration(
      8,
      "shard_management",
      up: PackageResources._008_shard_management_up_sql,
      down: PackageResources._008_shard_management_down_sql
    ),
    Migration(
      9,
      "snapshots",
      up: PackageResources._009_snapshots_up_sql,
      down: PackageResources._009_snapshots_down_sql
    ),
    Migration(
      10,
      "logical_capture",
      up: PackageResources._010_logical_capture_up_sql,
      down: PackageResources._010_logical_capture_down_sql
    ),
    Migration(
      11,
      "logical_snapshots",
      up: PackageResources._011_logical_snapshots_up_sql,
      down: PackageResources._011_logical_snapshots_down_sql
    ),
    Migration(
      12,
      "conditions",
      up: PackageResources._012_conditions_up_sql,
      down: PackageResources._012_conditions_down_sql
    ),
    Migration(
      13,
      "rights",
      up: PackageResources._013_rights_up_sql,
      down: PackageResources._013_rights_down_sql
    ),
  ]
}
