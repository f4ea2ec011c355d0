/// Something that a stream was enabled with and that has to stay so, for its changes to be captured as they should be.
public struct PostgresStreamCondition: Sendable, Hashable {
  /// The stream's full name.
  public var stream: String
  /// What is checked: "key", "row triggers".
  public var name: String
  /// What is wrong with it; `nil` if it is as it was.
  public var problem: String?
  /// What to do about the problem.
  public var advice: String?
}
