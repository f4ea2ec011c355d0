/// What an owner shows with every write: this lease, granted to me, under this epoch. A store accepts the write
/// only while all of it is still so.
public struct LeaseGrant: Sendable, Hashable, CustomStringConvertible {
  public var scope: LeaseScope
  public var key: LeaseKey
  public var owner: WorkerIncarnation
  public var epoch: Epoch

  public var stream: String { key.stream }
  public var shardID: String { key.shardID }

  public init(scope: LeaseScope, key: LeaseKey, owner: WorkerIncarnation, epoch: Epoch) {
    self.scope = scope
    self.key = key
    self.owner = owner
    self.epoch = epoch
  }

  public var description: String { "\(key) (epoch \(epoch), owner \(owner))" }
}
