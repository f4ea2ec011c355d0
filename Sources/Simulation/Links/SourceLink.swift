import Tidemark
import TidemarkTestKit

/// One member's way to the stream, with all that a real source may answer.
final class SourceLink: StreamSource, @unchecked Sendable {
  // `@unchecked Sendable`: the scheduler's one thread uses it.
  private unowned let world: World
  private unowned let member: Member
  private let stream: SimulatedStream

  init(_ world: World, _ member: Member, _ stream: SimulatedStream) {
    self.world = world
    self.member = member
    self.stream = stream
  }

  func streamName() async throws -> String { stream.name }

  func shards() async throws -> [Shard] {
    try await arrive()
    return world.faults.listing(
      of: try await stream.memory.shards(),
      older: stream.recentListings(at: world.scheduler.now)
    )
  }

  func reader(of shardID: String, after checkpoint: Checkpoint) async throws -> any ShardReader {
    try await arrive()
    return Reader(self, try await stream.memory.reader(of: shardID, after: checkpoint))
  }

  private func arrive() async throws {
    if member.isGone { throw CancellationError() }
    try await member.clock.sleep(for: world.faults.sourceDelay())
    if member.isGone { throw CancellationError() }
    if let error = world.faults.sourceError() { throw error }
  }

  private final class Reader: ShardReader, @unchecked Sendable {
    // `@unchecked Sendable`: the scheduler's one thread uses it.
    private let link: SourceLink
    private let reader: any ShardReader

    init(_ link: SourceLink, _ reader: any ShardReader) {
      self.link = link
      self.reader = reader
    }

    var origin: Checkpoint { reader.origin }

    func nextPage(maximumRecords: Int) async throws -> ShardPage {
      try await link.arrive()
      let faults = link.world.faults
      if faults.strikesCall(.pageEmpty) { return ShardPage(records: [], readAt: link.stream.memory.now) }
      return try await reader.nextPage(maximumRecords: faults.strikesCall(.pageShort) ? 1 : maximumRecords)
    }
  }
}
