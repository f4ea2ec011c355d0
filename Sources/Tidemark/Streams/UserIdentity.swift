/// Who made a change where that was no writer of the application's, as DynamoDB Streams tells it.
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
