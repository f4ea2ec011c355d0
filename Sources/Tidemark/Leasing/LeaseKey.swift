/// What tells a lease from the others of its application: the ids of shards are unique within their stream only.
public struct LeaseKey: Sendable, Hashable, Comparable, CustomStringConvertible {
  public var stream: String
  public var shardID: String

  public init(stream: String, shardID: String) {
    self.stream = stream
    self.shardID = shardID
  }

  public static func < (left: Self, right: Self) -> Bool {
    left.stream == right.stream ? left.shardID < right.shardID : left.stream < right.stream
  }

  public var description: String { "\(shardID) of \(stream)" }
}
