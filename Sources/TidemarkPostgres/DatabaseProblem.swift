import LibPQ

/// What is wrong with something of Tidemark's in a database, and what to do about it.
public struct DatabaseProblem: Sendable, Hashable {
  /// What it is about: `stream orders/2026-01-01T00:00:00.000`.
  public var subject: String
  public var problem: String
  public var remedy: String

  package init(subject: String, problem: String, remedy: String) {
    self.subject = subject
    self.problem = problem
    self.remedy = remedy
  }

  package init(_ row: PQRow) throws {
    (subject, problem, remedy) = try row.decode((String, String, String).self)
  }
}
