import Tidemark
import TidemarkTestKit

/// What processors do to the world, and what the world does to them.
extension World {
  func makeProcessor(for shard: ShardContext, of member: Member) -> sending any RecordProcessor {
    if !member.reads.contains(shard.stream) {
      fail("\(member.name) has \(shard.grant), whose stream it cannot read")
    }
    let processor: any RecordProcessor =
      switch scenario.style {
      case .subclass: SimulatedSubclass(world: self, member: member, context: shard)
      case .keeping: SimulatedKeeper(world: self, member: member, context: shard)
      default: SimulatedProcessor(world: self, member: member, context: shard, style: scenario.style)
      }
    return WatchedProcessor(world: self, member: member, grant: shard.grant, inner: processor)
  }

  /// A processor is given a batch.
  func begin(_ batch: RecordBatch, of grant: LeaseGrant, at member: Member) -> [Int] {
    let records = batch.compactMap { truth.index(of: $0, in: grant.stream) }
    if member.isGone { return records }
    if batch.previousAttempts > 0 { mark(.recordRetried) }
    if leases[grant.key]?.epoch != grant.epoch { mark(.recordsBeyondLostLease) }
    observe(.batchBegan(member.name, grant, records, isTrusted: member.isTrusted))
    return records
  }

  /// A processor handles one record.
  func handle(_ index: Int, of grant: LeaseGrant, at member: Member) async throws {
    if member.isGone { throw CancellationError() }
    observe(.attempted(member.name, grant, index))
    try await misbehave(member)
    // What a process does after its end, nobody sees.
    if member.isGone { throw CancellationError() }
    if poison.contains(index) {
      faults.strike(.poison)
      throw SimulatedProcessor.Failed()
    }
    truth.handle(index)
    observe(.handled(member.name, grant, index))
  }

  /// A processor has thrown while it had these records.
  func failed(_ records: [Int], of grant: LeaseGrant, at member: Member) {
    guard !member.isGone, let head = records.first else { return }
    observe(.failed(member.name, grant, head: head))
  }

  /// Lets a processor's code be slow, hang or throw.
  func misbehave(_ member: Member) async throws {
    if faults.strikesRecord(.processorSlow) {
      try await member.clock.sleep(for: faults.draw(.milliseconds(1)...(.seconds(5))))
    }
    if faults.strikesRecord(.processorHangs) {
      try await member.clock.sleep(for: faults.draw(.zero...scenario.hang))
    }
    if faults.strikesRecord(.processorIgnoresCancellation) {
      await pass(faults.draw(.zero...scenario.hang))
    }
    if faults.strikesRecord(.processorThrows) { throw SimulatedProcessor.Failed() }
  }
}
