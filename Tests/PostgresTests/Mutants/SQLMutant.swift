import Foundation
import TidemarkPostgres

/// A planted bug: somewhere in a schema's migrations one piece of SQL in place of another, before they run. Tests that do
/// not notice it prove nothing about the promise that it breaks.
struct SQLMutant: Sendable {
  var name: String
  /// What it breaks.
  var breaks: String
  /// The schema's name.
  var schema: String
  /// Stands in the scripts up exactly once. Where guillemets mark a part of it, that is replaced, and the rest only tells
  /// where.
  var original: String
  /// What takes its place.
  var mutated: String
  /// The tests that notice it, as `swift test --filter` names them.
  var tests: String

  init(
    _ name: String,
    breaks: String,
    in schema: TidemarkSchema,
    _ original: String,
    becomes mutated: String,
    killedBy tests: String
  ) {
    self.name = name
    self.breaks = breaks
    self.schema = schema.name
    self.original = original
    self.mutated = mutated
    self.tests = tests
  }

  struct DoesNotApply: Error, CustomStringConvertible {
    var mutant: SQLMutant
    var description: String {
      """
      The mutant \(mutant.name) does not apply: the migrations of \(mutant.schema) do not have exactly once: \
      \(mutant.original)
      """
    }
  }

  /// The script with the mutated piece in it.
  func plant(in script: String) throws -> String {
    let parts = original.split(separator: "«", omittingEmptySubsequences: false)
    let marked =
      parts.count == 2 ? parts[1].split(separator: "»", omittingEmptySubsequences: false) : []
    let planted = marked.count == 2 ? "\(parts[0])\(mutated)\(marked[1])" : mutated
    let pieces = script.components(separatedBy: original.filter { $0 != "«" && $0 != "»" })
    guard pieces.count == 2 else { throw DoesNotApply(mutant: self) }
    return pieces[0] + planted + pieces[1]
  }

  /// The schema, whose newest version has the mutated piece in it.
  func plant(in schema: TidemarkSchema) throws -> TidemarkSchema {
    var migrations = schema.migrations
    guard schema.name == self.schema, let last = migrations.indices.last else { return schema }
    migrations[last].up = try plant(in: migrations[last].up)
    return TidemarkSchema(schema.name, oldestVersion: schema.oldestVersion, migrations: migrations)
  }
}
