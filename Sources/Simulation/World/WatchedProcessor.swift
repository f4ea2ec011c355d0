import Tidemark

/// Shows the world each call that a processor gets.
struct WatchedProcessor: RecordProcessor {
  unowned let world: World
  unowned let member: Member
  let grant: LeaseGrant
  var inner: any RecordProcessor

  mutating func initialize(_ shard: ShardContext) async throws {
    try await watch(.initialize) { try await $0.initialize(shard) }
  }

  mutating func process(_ batch: RecordBatch, checkpointer: Checkpointer) async throws {
    try await watch(.process) { try await $0.process(batch, checkpointer: checkpointer) }
  }

  mutating func wokenUp(checkpointer: Checkpointer) async throws {
    if !member.isGone { world.mark(.wokenUp) }
    try await watch(.wokenUp) { try await $0.wokenUp(checkpointer: checkpointer) }
  }

  mutating func leaseLost() async {
    try? await watch(.leaseLost) { await $0.leaseLost() }
  }

  mutating func shardEnded(checkpointer: Checkpointer) async throws {
    try await watch(.shardEnded) { try await $0.shardEnded(checkpointer: checkpointer) }
  }

  mutating func shutdownRequested(checkpointer: Checkpointer) async throws {
    try await watch(.shutdownRequested) { try await $0.shutdownRequested(checkpointer: checkpointer) }
  }

  private mutating func watch(
    _ call: ProcessorCall,
    _ body: (inout any RecordProcessor) async throws -> Void
  ) async throws {
    show(.callBegan(member.name, grant, call, isTrusted: member.isTrusted))
    do {
      try await body(&inner)
      show(.callEnded(member.name, grant, call, failed: false))
    } catch {
      show(.callEnded(member.name, grant, call, failed: true))
      throw error
    }
  }

  private func show(_ observation: Observation) {
    if !member.isGone { world.observe(observation) }
  }
}
