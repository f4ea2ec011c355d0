/// Warns of the streams' problems: of each once, and of its end.
struct ConditionWatch {
  private var known: [PostgresStreamCondition] = []

  /// - Returns: the problems that have come and those that are gone since the last look.
  mutating func look(_ conditions: [PostgresStreamCondition]) -> (
    new: [PostgresStreamCondition], gone: [PostgresStreamCondition]
  ) {
    let broken = conditions.filter { $0.problem != nil }
    defer { known = broken }
    return (
      broken.filter { !known.contains($0) },
      known.filter { old in !broken.contains { $0.stream == old.stream && $0.name == old.name } }
    )
  }
}
