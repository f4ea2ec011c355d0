/// A numbered step of the schema and the way back.
public struct Migration: Sendable, Hashable {
  /// 1, 2, 3, … without gaps.
  public var version: Int
  public var name: String
  var up: String
  var down: String

  init(version: Int, name: String, up: [UInt8], down: [UInt8]) {
    self.version = version
    self.name = name
    self.up = String(decoding: up, as: UTF8.self)
    self.down = String(decoding: down, as: UTF8.self)
  }

  /// All that this program knows, in order: the files in `Migrations`, which the package embeds under their
  /// names with a leading digit replaced.
  static let all = [
    Migration(
      version: 1,
      name: "leases",
      up: PackageResources._001_leases_up_sql,
      down: PackageResources._001_leases_down_sql
    ),
    Migration(
      version: 2,
      name: "streams",
      up: PackageResources._002_streams_up_sql,
      down: PackageResources._002_streams_down_sql
    ),
    Migration(
      version: 3,
      name: "refusals",
      up: PackageResources._003_refusals_up_sql,
      down: PackageResources._003_refusals_down_sql
    ),
  ]
}
