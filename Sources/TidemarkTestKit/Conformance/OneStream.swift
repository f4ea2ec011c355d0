import Tidemark

/// Tests that are about one stream leave its name out.
package enum OneStream {
  package static let name = "stream"

  package static func key(_ shardID: String) -> LeaseKey { LeaseKey(stream: name, shardID: shardID) }
}

extension Assignment {
  package static func assign(shardID: String, to worker: WorkerIncarnation) -> Assignment {
    .assign(OneStream.key(shardID), to: worker)
  }

  package static func handOff(shardID: String, to worker: WorkerIncarnation) -> Assignment {
    .handOff(OneStream.key(shardID), to: worker)
  }
}

extension Lease {
  package init(
    shardID: String,
    parentShardIDs: [String] = [],
    childShardIDs: [String] = [],
    hashRange: Shard.HashRange? = nil,
    owner: WorkerIncarnation? = nil,
    lastOwner: WorkerIncarnation? = nil,
    lastEpoch: Epoch? = nil,
    epoch: Epoch = Epoch(0),
    checkpoint: Checkpoint,
    handoffTo: WorkerIncarnation? = nil,
    stoppedReason: String? = nil,
    load: Load? = nil
  ) {
    self.init(
      key: OneStream.key(shardID),
      parentShardIDs: parentShardIDs,
      childShardIDs: childShardIDs,
      hashRange: hashRange,
      owner: owner,
      lastOwner: lastOwner,
      lastEpoch: lastEpoch,
      epoch: epoch,
      checkpoint: checkpoint,
      handoffTo: handoffTo,
      stoppedReason: stoppedReason,
      load: load
    )
  }
}

extension LeaseGrant {
  package init(scope: LeaseScope, shardID: String, owner: WorkerIncarnation, epoch: Epoch) {
    self.init(scope: scope, key: OneStream.key(shardID), owner: owner, epoch: epoch)
  }
}

extension NewLease {
  package init(shard: Shard, checkpoint: Checkpoint) {
    self.init(stream: OneStream.name, shard: shard, checkpoint: checkpoint)
  }
}

extension FleetSnapshot.Worker {
  package init(
    incarnation: WorkerIncarnation,
    isDraining: Bool = false,
    maximumLeases: Int? = nil,
    refused: Set<LeaseKey> = []
  ) {
    self.init(
      incarnation: incarnation,
      streams: [OneStream.name],
      isDraining: isDraining,
      maximumLeases: maximumLeases,
      refused: refused
    )
  }
}

extension WorkerRegistration {
  package init(
    scope: LeaseScope,
    workerID: String,
    host: String,
    processID: Int32,
    failoverInterval: Duration,
    maximumLeases: Int? = nil
  ) {
    self.init(
      scope: scope,
      streams: [OneStream.name],
      workerID: workerID,
      host: host,
      processID: processID,
      failoverInterval: failoverInterval,
      maximumLeases: maximumLeases
    )
  }
}

extension LeaseStore {
  package func lease(_ shardID: String, in scope: LeaseScope) async throws -> Lease? {
    try await lease(OneStream.key(shardID), in: scope)
  }

  package func reset(_ shardID: String, in scope: LeaseScope, to checkpoint: Checkpoint?) async throws
    -> Lease
  {
    try await reset(OneStream.key(shardID), in: scope, to: checkpoint)
  }

  package func deleteEndedLeases(_ shardIDs: [String], in scope: LeaseScope) async throws {
    try await deleteEndedLeases(shardIDs.map(OneStream.key), in: scope)
  }
}

extension ShardSync {
  package static func missingLeases(
    shards: [Shard],
    leases: [Lease],
    position: InitialPosition
  ) -> [NewLease] {
    missingLeases(of: OneStream.name, shards: shards, leases: leases, position: position)
  }
}
