import Testing

/// Polls until `condition` holds; fails the test with what was waited for if it does not in time.
func eventually(
  within limit: Duration = .seconds(20),
  _ what: String,
  sourceLocation: SourceLocation = #_sourceLocation,
  _ condition: () async throws -> Bool
) async throws {
  let deadline = ContinuousClock.now + limit
  while ContinuousClock.now < deadline {
    if try await condition() { return }
    try await ContinuousClock().sleep(for: .milliseconds(2))
  }
  Issue.record("not within \(limit): \(what)", sourceLocation: sourceLocation)
  throw CancellationError()
}
