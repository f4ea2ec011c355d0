import LibPQ
import Tidemark
import Waiting

/// One session with the slot: a task decodes what comes, another appends it to the log and then confirms it.
struct CaptureSession: Sendable {
  /// An append costs the server as much as a hundred records do, however few it has. So after one with fewer than
  /// `smallAppend` records, which did not come because of a backlog, the next begins no sooner than this.
  private static let pace = Duration.milliseconds(3)
  private static let smallAppend = 500
  /// How long the server may take to read that all is captured, before another session begins.
  private static let patience = Duration.seconds(5)

  private struct ReachedTarget: Error {}

  private let capture: LogicalCapture
  private let state: CaptureState
  private let slot: String
  private let target: PQLSN?
  private let buffer = CaptureBuffer()

  init(_ capture: LogicalCapture, _ state: CaptureState, slot: String, target: PQLSN?) {
    self.capture = capture
    self.state = state
    self.slot = slot
    self.target = target
  }

  /// Captures until it reaches the target or how far it may go, or is cut short.
  func run(onProgress: () -> Void) async throws {
    let feed = try await capture.store.open(state, slot: slot)
    onProgress()
    do {
      // Asked again now that the slot is held: whoever had it may have appended since.
      guard let state = try await capture.store.state() else { return await feed.close() }
      try await withThrowingTaskGroup(of: Void.self) { group in
        group.addTask { try await decode(feed, CaptureDecoder(state.source, from: state.position)) }
        group.addTask { try await append(feed, state) }
        defer { group.cancelAll() }
        try await group.next()
      }
    } catch is ReachedTarget {
      // Its end tells the slot's next user that it is free.
    } catch {
      await feed.close()
      throw error
    }
    await feed.close()
  }

  private func decode(_ feed: any CaptureFeed, _ start: CaptureDecoder) async throws {
    var decoder = start
    while true {
      let chunk = try await feed.receive()
      var offset = 0
      while offset < chunk.size {
        let changed = try await buffer.fill { batch in
          try findingPoison { try decoder.decode(chunk, from: &offset, into: &batch) }
        }
        if let changed { try await define(changed, in: &decoder) }
      }
    }
  }

  private func define(_ relation: OutputMessage.Relation, in decoder: inout CaptureDecoder) async throws {
    let types = Array(Set(relation.columns.map(\.type)))
    let formats = try await capture.store.formats(of: types)
    try findingPoison { try decoder.define(relation, formats: formats) }
  }

  private func append(_ feed: any CaptureFeed, _ state: CaptureState) async throws {
    var place = CapturePlace(stored: state.position)
    let last = [target, state.source.end].compactMap { $0 }.min()
    while true {
      let batch = try await buffer.take()
      guard let position = batch.position else { continue }
      let (began, count) = (capture.clock.now, batch.count)
      if case .store(let start) = place.step(to: position, count: count) {
        guard try await store(batch, from: start, to: position, state) else { throw StaleCapture() }
        place.didStore(position)
      }
      buffer.recycle(batch)
      try await feed.confirm(position.lsn)
      if let last, position.lsn >= last {
        try await waitForConfirmation(of: last)
        throw ReachedTarget()
      }
      if count > 0, count < Self.smallAppend {
        try await capture.clock.sleep(for: max(.zero, Self.pace - began.duration(to: capture.clock.now)))
      }
    }
  }

  /// A server that is sending when the session ends does not read any more what it was sent last.
  private func waitForConfirmation(of place: PQLSN) async throws {
    let deadline = capture.clock.now.advanced(by: Self.patience)
    var delay = DoublingDelay(from: .milliseconds(1), to: .milliseconds(50))
    while capture.clock.now < deadline, let slot = try await capture.store.state()?.slot {
      if let confirmed = slot.confirmed, confirmed >= place { return }
      try await capture.clock.sleep(for: delay.next())
    }
  }

  private func store(
    _ batch: CapturedBatch,
    from start: CapturePosition,
    to end: CapturePosition,
    _ state: CaptureState
  ) async throws -> Bool {
    do {
      return try await capture.store.append(batch, from: start, to: end, state)
    } catch let error as TidemarkError where error.isTooLarge {
      // Larger than any message may be, or any value.
      throw PoisonedCapture(cause: error)
    }
  }
}

/// A change that this process cannot capture, however often it tries, unless something else changes.
struct PoisonedCapture: Error {
  var cause: any Error
}

private func findingPoison<Result>(_ body: () throws -> Result) throws -> Result {
  do { return try body() } catch let error as TidemarkError { throw PoisonedCapture(cause: error) }
}

extension TidemarkError {
  fileprivate var isTooLarge: Bool {
    guard let error = underlying as? PQError else { return false }
    return error.code == .misuse || error.sqlState == "54000"
  }
}
