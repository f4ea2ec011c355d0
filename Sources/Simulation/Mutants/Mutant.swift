import Foundation

/// A planted bug: somewhere in the sources one expression in place of another. A simulation that does not notice it
/// proves nothing about the promise that it breaks.
struct Mutant: Sendable {
  var name: String
  /// What it breaks.
  var breaks: String
  /// From the package's root.
  var file: String
  /// Stands in the file exactly once. Where guillemets mark a part of it, that is the expression, and the rest only
  /// tells where.
  var original: String
  /// The expression that takes its place.
  var mutated: String

  init(_ name: String, breaks: String, in file: String, _ original: String, becomes mutated: String) {
    self.name = name
    self.breaks = breaks
    self.file = file
    self.original = original
    self.mutated = mutated
  }

  struct DoesNotApply: Error, CustomStringConvertible {
    var mutant: Mutant
    var description: String {
      "The mutant \(mutant.name) does not apply: \(mutant.file) does not have exactly once: \(mutant.original)"
    }
  }

  /// The source with both expressions in it, of which an environment variable chooses one: all mutants together
  /// need only one build.
  func plant(in source: String) throws -> String {
    let context = original.filter { $0 != "«" && $0 != "»" }
    let parts = original.split(separator: "«", omittingEmptySubsequences: false)
    let marked = parts.count == 2 ? parts[1].split(separator: "»", omittingEmptySubsequences: false) : []
    let expression = marked.first.map(String.init) ?? context
    let planted = "(Mutation.isActive(\"\(name)\") ? (\(mutated)) : (\(expression)))"
    let pieces = source.components(separatedBy: context)
    guard pieces.count == 2 else { throw DoesNotApply(mutant: self) }
    let around = marked.count == 2 ? (String(parts[0]), String(marked[1])) : ("", "")
    return pieces[0] + around.0 + planted + around.1 + pieces[1]
  }
}
