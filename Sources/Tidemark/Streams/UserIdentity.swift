/// What made a change where no writer of the application did, as in DynamoDB Streams.
public struct UserIdentity: Sendable, Hashable {
  /// `Service` for what deletes expired items.
  public var type: String
  /// `tidemark.expiry` for PostgreSQL streams, `dynamodb.amazonaws.com` for DynamoDB's.
  public var principalID: String

  public init(type: String, principalID: String) {
    self.type = type
    self.principalID = principalID
  }

  /// What deletes the expired items of a PostgreSQL table.
  public static let expiry = UserIdentity(type: "Service", principalID: "tidemark.expiry")
}
