/// A version of a schema and the way back.
package struct Migration: Sendable, Hashable {
  /// 1, 2, 3, … without gaps.
  package var version: Int
  package var name: String
  /// The oldest programs that still work once this is applied: those whose newest version is this one.
  package var oldestProgram: Int
  package var up: String
  package var down: String

  /// - Parameter chapters: the scripts up in their order, each with its script down; together they are one migration.
  package init(
    _ version: Int,
    _ name: String,
    oldestProgram: Int,
    chapters: [(up: [UInt8], down: [UInt8])]
  ) {
    self.version = version
    self.name = name
    self.oldestProgram = oldestProgram
    up = chapters.map { String(decoding: $0.up, as: UTF8.self) }.joined(separator: "\n")
    down = chapters.reversed().map { String(decoding: $0.down, as: UTF8.self) }.joined(separator: "\n")
  }
}
