import Tidemark

/// What one member's program finds out about the streams that it reads.
final class CatalogLink: StreamCatalog, @unchecked Sendable {
  // `@unchecked Sendable`: the scheduler's one thread uses it.
  private unowned let world: World
  private unowned let member: Member
  private let sources: [(stream: SimulatedStream, source: SourceLink)]

  init(_ world: World, _ member: Member) {
    self.world = world
    self.member = member
    sources = world.streams.filter { member.reads.contains($0.name) }.map {
      ($0, SourceLink(world, member, $0))
    }
  }

  func streams() async throws -> [any StreamSource] {
    if member.isGone { throw CancellationError() }
    try await member.clock.sleep(for: world.faults.sourceDelay())
    if member.isGone { throw CancellationError() }
    if world.faults.strikesCall(.catalogFails) {
      throw TidemarkError(.sourceUnavailable, "The catalog does not answer.")
    }
    let listed = sources.filter(\.stream.isListed)
    let isShort = world.faults.strikesCall(.catalogShort)
    return (isShort ? Array(listed.dropLast()) : listed).map(\.source)
  }
}
