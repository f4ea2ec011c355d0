import Tidemark
import TidemarkTestKit

/// Handles records as users' processors do, well and badly, and lets the world see each step.
struct SimulatedProcessor: RecordProcessor {
  struct Failed: Error {}

  unowned let world: World
  unowned let member: Member
  let context: ShardContext
  let style: Scenario.Style
  private var batches = 0
  private var prepared: PreparedCheckpoint?

  init(world: World, member: Member, context: ShardContext, style: Scenario.Style) {
    self.world = world
    self.member = member
    self.context = context
    self.style = style
  }

  mutating func initialize(_ shard: ShardContext) async throws {
    try await world.misbehave(member)
    if member.isGone { throw CancellationError() }
    if shard.pendingCheckpoint != nil { world.mark(.pendingCheckpointInherited) }
    world.observe(.initialized(member.name, shard.grant))
  }

  mutating func process(_ batch: RecordBatch, checkpointer: Checkpointer) async throws {
    let records = world.begin(batch, of: context.grant, at: member)
    do {
      var last: Record?
      for (record, index) in zip(batch, records) {
        do {
          try await world.handle(index, of: context.grant, at: member)
        } catch  where style == .everyRecord || style == .oneBehind {
          throw RecordFailure(record, underlying: error)
        }
        if style == .everyRecord { try await checkpointer.checkpoint(at: record) }
        if style == .oneBehind, let last { try await checkpointer.checkpoint(at: last) }
        last = record
      }
      batches += 1
      switch style {
      case .everyBatch, .subclass: try await checkpointer.checkpoint()
      case .prepared:
        let prepared = try await checkpointer.prepareCheckpoint(state: [1])
        try await world.misbehave(member)
        try await prepared.commit()
      case .seldom: if batches % 3 == 0 { try await checkpointer.checkpoint() }
      case .everyRecord, .oneBehind, .keeping: break
      }
    } catch {
      world.failed(records, of: context.grant, at: member)
      throw error
    }
  }

  mutating func shardEnded(checkpointer: Checkpointer) async throws {
    try await world.misbehave(member)
    try await checkpointer.checkpoint()
    if !member.isGone { world.observe(.shardEndHandled(member.name, context.grant)) }
  }

  mutating func shutdownRequested(checkpointer: Checkpointer) async throws {
    try await world.misbehave(member)
    try await checkpointer.checkpoint()
  }
}

/// The same for a subclass.
final class SimulatedSubclass: CheckpointingProcessor {
  unowned let world: World
  unowned let member: Member
  let context: ShardContext

  init(world: World, member: Member, context: ShardContext) {
    self.world = world
    self.member = member
    self.context = context
  }

  override func initialize(_ shard: ShardContext) async throws {
    try await super.initialize(shard)
    try await world.misbehave(member)
    if member.isGone { throw CancellationError() }
    world.observe(.initialized(member.name, shard.grant))
  }

  override func process(_ batch: RecordBatch, checkpointer: Checkpointer) async throws {
    let records = world.begin(batch, of: context.grant, at: member)
    do {
      try await super.process(batch, checkpointer: checkpointer)
    } catch {
      world.failed(records, of: context.grant, at: member)
      throw error
    }
  }

  override func handle(_ record: Record) async throws {
    guard let index = world.truth.index(of: record, in: context.stream) else {
      return world.fail("a record that was never put")
    }
    try await world.handle(index, of: context.grant, at: member)
  }

  override func shardEnded(checkpointer: Checkpointer) async throws {
    try await super.shardEnded(checkpointer: checkpointer)
    if !member.isGone { world.observe(.shardEndHandled(member.name, context.grant)) }
  }
}
