/// Warns of the streams' problems: of each once, and of its end.
struct ConditionWatch {
  private var known: [String: PostgresStreamCondition] = [:]

  /// - Returns: the problems that have come and those that are gone since the last look.
  mutating func look(_ conditions: [PostgresStreamCondition]) -> (
    new: [PostgresStreamCondition], gone: [PostgresStreamCondition]
  ) {
    var now: [String: PostgresStreamCondition] = [:]
    for condition in conditions where condition.problem != nil {
      now["\(condition.stream) \(condition.name)"] = condition
    }
    defer { known = now }
    return (
      now.filter { known[$0.key] != $0.value }.values.sorted { ($0.stream, $0.name) < ($1.stream, $1.name) },
      known.filter { now[$0.key] == nil }.values.sorted { ($0.stream, $0.name) < ($1.stream, $1.name) }
    )
  }
}
