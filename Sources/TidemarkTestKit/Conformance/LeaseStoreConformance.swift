import Tidemark

/// What every ``LeaseStore`` must do, as cases that throw ``ConformanceFailure``.
///
/// ```swift
/// @Test(arguments: LeaseStoreConformance.cases)
/// func conforms(_ test: LeaseStoreConformance.Case) async throws {
///   try await test.run(in: MyEnvironment())
/// }
/// ```
public enum LeaseStoreConformance {
  /// One behaviour.
  public struct Case: Sendable, CustomStringConvertible {
    /// The behaviour as a sentence.
    public let name: String
    private let body: @Sendable (LeaseStoreFixture) async throws -> Void

    init(_ name: String, _ body: @escaping @Sendable (LeaseStoreFixture) async throws -> Void) {
      self.name = name
      self.body = body
    }

    public var description: String { name }

    /// Runs the case in a scope of its own.
    public func run(in environment: any LeaseStoreEnvironment) async throws {
      try await LeaseStoreFixture.with(environment, body)
    }
  }

  /// All cases.
  public static let cases: [Case] =
    workerCases + deathCases + planningCases + handoffCases + checkpointCases + shardEndCases
    + operatorCases + streamCases
}
