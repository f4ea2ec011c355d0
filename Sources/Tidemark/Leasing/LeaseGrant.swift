/// What an owner shows with every write: this lease, granted to me, under this epoch. A store accepts the write
/// only while all of it is still so.
public struct LeaseGrant: Sendable, Hashable, CustomStringConvertible {
  public var scope: LeaseScope
  public var shardID: String
  public var owner: WorkerIncarnation
  public var epoch: Epoch

  public init(scope: LeaseScope, shardID: String, owner: WorkerIncarnation, epoch: Epoch) {
    self.scope = scope
    self.shardID = shardID
    self.owner = owner
    self.epoch = epoch
  }

  public var description: String { "\(shardID) (epoch \(epoch), owner \(owner))" }
}
