#if AWS
import AWSRequests
import Tidemark

/// A cursor in one shard of a DynamoDB stream.
actor DynamoDBShardReader: ShardReader {
  /// The most that the service returns at once.
  private static let maximumRecords = 1000
  /// It stops before 1 MiB; a page of this size had no room for another large item.
  private static let fullBytes = 600 << 10

  private let source: DynamoDBStreamsSource
  private let shardID: String
  private let streamARN: String
  let origin: Checkpoint
  private var state: IteratorState
  private var pace: PollPace
  /// When the next read is due.
  private var due: ContinuousClock.Instant

  private init(
    _ source: DynamoDBStreamsSource,
    _ shardID: String,
    _ streamARN: String,
    _ origin: Checkpoint,
    _ state: IteratorState
  ) {
    (self.source, self.shardID, self.streamARN) = (source, shardID, streamARN)
    (self.origin, self.state) = (origin, state)
    pace = PollPace(source.pollInterval)
    due = source.environment.clock.now
  }

  static func open(
    _ shardID: String,
    of streamARN: String,
    after checkpoint: Checkpoint,
    in source: DynamoDBStreamsSource
  ) async throws -> DynamoDBShardReader {
    var state = try IteratorState(after: checkpoint)
    let opened = try await source.api.shardIterator(state.start, of: source.ownID(of: shardID), in: streamARN)
    state.opened(opened.iterator, at: opened.date ?? source.environment.now())
    // A reader that opens this position again after an error must not ask for LATEST either.
    let origin = checkpoint == .latest ? state.oldest.map(Checkpoint.atTimestamp) : checkpoint
    return DynamoDBShardReader(source, shardID, streamARN, origin ?? checkpoint, state)
  }

  func nextPage(maximumRecords: Int) async throws -> ShardPage {
    let clock = source.environment.clock
    if due > clock.now { try await clock.sleep(until: due, tolerance: nil) }
    let limit = max(1, min(maximumRecords, Self.maximumRecords))
    let (page, date) = try await read(limit)
    let readAt = date ?? source.environment.now()
    let last = page.records.last
    // Where the lookup fails the cursor has not moved, and the same iterator has the same records.
    let end =
      page.nextIterator == nil
      ? ShardPage.End(children: try await source.children(of: shardID, in: streamARN)) : nil
    let isFull = page.records.count >= limit || page.sizeInBytes >= Self.fullBytes
    let age = last.map { max(.zero, readAt - $0.approximateCreationTime) }
    let isBehind = pace.note(isFull: isFull, age: age) && end == nil
    let records = page.records(notBefore: state.oldest)
    state.advance(to: page.nextIterator, after: last?.sequenceNumber)
    due = clock.now.advanced(by: pace.pause)
    return ShardPage(
      records: records,
      millisBehindLatest: isBehind ? (age?.microseconds ?? 0) / 1000 : 0,
      readAt: readAt,
      end: end
    )
  }

  private func read(_ limit: Int) async throws -> (page: StreamRecordPage, date: Timestamp?) {
    while true {
      let iterator = try await iterator()
      do {
        return try await source.api.records(at: iterator, limit: limit)
      } catch var error as TidemarkError {
        guard case .fail(let code) = state.step(after: error.code) else { continue }
        error.code = code
        throw error
      }
    }
  }

  private func iterator() async throws -> String {
    if let iterator = state.iterator { return iterator }
    let renewed = try await source.api.shardIterator(
      state.start,
      of: source.ownID(of: shardID),
      in: streamARN
    )
    state.opened(renewed.iterator, at: renewed.date ?? source.environment.now())
    return renewed.iterator
  }
}
#endif
