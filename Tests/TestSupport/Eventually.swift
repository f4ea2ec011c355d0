import Testing

/// Polls the condition until it holds.
///
/// The limit is for what never comes. It costs nothing where all goes well, so it is one that a busy machine keeps, too.
///
/// - Parameter what: what should happen, as a sentence, for the failure's message.
/// - Throws: ``NotInTime`` after the given time; what the condition throws.
package func eventually(
  within limit: Duration = .seconds(120),
  _ what: String,
  isolation: isolated (any Actor)? = #isolation,
  sourceLocation: SourceLocation = #_sourceLocation,
  _ condition: () async throws -> Bool
) async throws {
  let deadline = ContinuousClock.now + limit
  while true {
    // Looked at after the deadline too: a slow machine is no failure.
    let isLate = ContinuousClock.now >= deadline
    if try await condition() { return }
    if isLate { throw NotInTime(what: what, limit: limit, sourceLocation: sourceLocation) }
    try await Task.sleep(for: .milliseconds(5))
  }
}

/// What ``eventually(within:_:isolation:sourceLocation:_:)`` waited for did not come.
package struct NotInTime: Error, CustomStringConvertible {
  var what: String
  var limit: Duration
  var sourceLocation: SourceLocation

  package var description: String { "Not within \(limit): \(what) (\(sourceLocation))" }
}
