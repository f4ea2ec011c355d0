import LibPQ
import Tidemark
import TidemarkStreams
import TidemarkTestKit

/// One process's way to the simulated server.
final class CaptureLink: CaptureStore, @unchecked Sendable {
  // `@unchecked Sendable`: the scheduler's one thread uses it.
  private unowned let world: CaptureWorld
  private let process: CaptureProcess

  init(_ world: CaptureWorld, _ process: CaptureProcess) {
    self.world = world
    self.process = process
  }

  func state() async throws -> CaptureState? {
    try await travel()
    let server = world.server
    guard server.isEnabled else { return nil }
    let state = CaptureState(
      captureID: 1,
      source: CaptureDecoder.Source(
        stream: 1,
        table: OutputWriter.table,
        keyColumns: ["id"],
        viewType: .newImage,
        messagePrefix: "tidemark_1",
        end: server.limit.map { PQLSN(rawValue: $0) }
      ),
      position: server.stored,
      isHeld: server.isHeld,
      slot: CaptureState.Slot(
        name: "slot",
        isActive: server.holder != nil,
        confirmed: PQLSN(rawValue: server.confirmed)
      )
    )
    try await travel()
    return state
  }

  func open(_ state: CaptureState, slot: String) async throws -> any CaptureFeed {
    try await travel()
    guard world.server.holder == nil else {
      throw PQError(.server, "The slot is in use.", sqlState: "55006")
    }
    let feed = SimulatedFeed(world, process, from: max(state.position.lsn.rawValue, world.server.confirmed))
    world.server.holder = feed.id
    do {
      try await travel()
    } catch {
      // The server notices that the connection is gone.
      await feed.close()
      throw error
    }
    return feed
  }

  func formats(of types: [UInt32]) async throws -> [UInt32: JSONFormat] {
    try await travel()
    return Dictionary(uniqueKeysWithValues: types.map { ($0, JSONFormat.builtIn($0) ?? .text) })
  }

  func append(
    _ batch: CapturedBatch,
    from start: CapturePosition,
    to end: CapturePosition,
    _ state: CaptureState
  ) async throws -> Bool {
    try await travel()
    let isDone = world.server.append(
      world.changes(in: batch),
      from: start,
      to: end,
      knownEnd: state.source.end?.rawValue
    )
    if isDone { world.judgeLog() }
    if isDone, batch.count == 0 { world.mark(.commitStoredAlone) }
    if !isDone { world.mark(.appendRefused) }
    try await travel()
    return isDone
  }

  func end(because reason: String) async throws {
    world.fail("the capture was given up: \(reason)")
  }

  func endIfLost() async throws -> String? {
    try await travel()
    return nil
  }

  /// A message under way; the connection may break on it.
  private func travel() async throws {
    try await process.clock.sleep(for: world.transit())
    if process.isGone || world.breaksConnection() {
      throw PQError(.connectionLost, "The connection broke.")
    }
  }
}

/// A session with the slot.
final class SimulatedFeed: CaptureFeed, @unchecked Sendable {
  // `@unchecked Sendable`: the scheduler's one thread uses it.
  let id: Int
  private unowned let world: CaptureWorld
  private let process: CaptureProcess
  private var sent: UInt64
  private var hasSentRelation = false
  /// What is left of the transaction whose messages are being sent.
  private var rest: (transaction: CaptureServer.Transaction, next: Int)?

  init(_ world: CaptureWorld, _ process: CaptureProcess, from place: UInt64) {
    self.world = world
    self.process = process
    sent = place
    id = world.nextSession()
  }

  private var isOver: Bool { process.isGone || world.server.holder != id }

  func receive() async throws -> PQReplicationChunk {
    while true {
      try await process.clock.sleep(for: world.transit())
      if isOver { throw PQError(.connectionLost, "The server ended the replication.") }
      let chunk = nextMessages()
      if !chunk.isEmpty { return chunk }
      try await process.clock.sleep(for: .milliseconds(5))
    }
  }

  /// Some messages, cut off anywhere.
  private func nextMessages() -> PQReplicationChunk {
    var writer = OutputWriter()
    for _ in 0..<world.draw(1...6) where !write(to: &writer) { break }
    return writer.chunk
  }

  /// - Returns: false when there is nothing to send.
  private func write(to writer: inout OutputWriter) -> Bool {
    if let (transaction, next) = rest {
      if next < transaction.changes.count {
        if !hasSentRelation {
          writer.relation()
          hasSentRelation = true
        }
        writer.insert(id: transaction.changes[next].item, version: transaction.changes[next].version)
        rest = (transaction, next + 1)
      } else {
        writer.commit(final: transaction.final, end: transaction.end)
        sent = transaction.end
        rest = nil
      }
      return true
    }
    // Those whose commit stands before where the session began are not sent.
    guard let next = world.server.transaction(from: sent) else {
      guard sent < world.server.end || world.draw(1...4) == 1 else { return false }
      sent = world.server.end
      writer.keepalive(sent)
      return true
    }
    // One session may be sent what another was spared.
    if next.changes.isEmpty, world.draw(1...3) > 1 {
      sent = next.end
      if world.draw(1...2) == 1 { writer.keepalive(sent) }
      return true
    }
    writer.begin(final: next.final)
    rest = (next, 0)
    return true
  }

  func confirm(_ place: PQLSN) async throws {
    if isOver { throw PQError(.connectionLost, "The server ended the replication.") }
    // It arrives later, or never if the session ends before.
    let session = id
    world.scheduler.schedule(after: world.transit() * 5) { [world] in
      if world.server.holder == session { world.server.confirm(place.rawValue) }
    }
  }

  func close() async {
    // What is under way arrives first, unless the process is killed.
    let session = id
    world.scheduler.schedule(after: world.transit() * 6) { [world] in
      if world.server.holder == session { world.server.holder = nil }
    }
  }
}
