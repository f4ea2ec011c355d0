import Tidemark
import TidemarkTestKit

/// Keeps what it is given in memory, and handles it when it is woken: some time after the first record, or at once when
/// that is much.
struct SimulatedKeeper: RecordProcessor {
  private static let much = 8

  unowned let world: World
  unowned let member: Member
  let context: ShardContext
  private var kept: [Int] = []
  /// When it is to be woken, by its own clock.
  private var wakesAt: Duration?

  init(world: World, member: Member, context: ShardContext) {
    self.world = world
    self.member = member
    self.context = context
  }

  mutating func initialize(_ shard: ShardContext) async throws {
    try await world.misbehave(member)
    if member.isGone { throw CancellationError() }
    world.observe(.initialized(member.name, shard.grant))
  }

  mutating func process(_ batch: RecordBatch, checkpointer: Checkpointer) async throws {
    let records = world.begin(batch, of: context.grant, at: member)
    do {
      try await world.misbehave(member)
      for (record, index) in zip(batch, records) {
        if world.poison.contains(index) {
          world.strike(.poison)
          throw RecordFailure(record, underlying: SimulatedProcessor.Failed())
        }
        if kept.isEmpty { wake(after: world.random.duration(in: .zero...(.seconds(20))), checkpointer) }
        kept.append(index)
      }
      if kept.count > Self.much { wake(after: .zero, checkpointer) }
    } catch {
      world.failed(records, of: context.grant, at: member)
      throw error
    }
  }

  private mutating func wake(after time: Duration, _ checkpointer: Checkpointer) {
    wakesAt = member.clock.elapsed + time
    checkpointer.wakeUp(after: time)
  }

  mutating func wokenUp(checkpointer: Checkpointer) async throws {
    if let wakesAt, member.clock.elapsed < wakesAt { world.mark(.wokenUpBeforeDeadLetters) }
    if wakesAt == nil { world.mark(.wokenUpAgain) }
    wakesAt = nil
    try await handleKept(checkpointer)
  }

  private mutating func handleKept(_ checkpointer: Checkpointer) async throws {
    while let index = kept.first {
      try await world.handle(index, of: context.grant, at: member)
      kept.removeFirst()
    }
    try await checkpointer.checkpoint()
  }

  mutating func shardEnded(checkpointer: Checkpointer) async throws {
    try await handleKept(checkpointer)
    if !member.isGone { world.observe(.shardEndHandled(member.name, context.grant)) }
  }

  mutating func shutdownRequested(checkpointer: Checkpointer) async throws {
    try await handleKept(checkpointer)
  }
}
