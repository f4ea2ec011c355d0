import LibPQ
import Tidemark
import TidemarkPostgres

/// Writes down everything that it handles, and checkpoints after each batch.
struct DrillProcessor: RecordProcessor {
  let worker: String
  let history: HistoryFile
  let shard: ShardContext
  let pool: PQPool
  /// How long handling a record takes.
  let recordPause: Duration
  /// How long the transaction of a checkpoint stays open; `nil` for a checkpoint by itself.
  let transactionPause: Duration?

  private var last: (record: Record, checkpointer: Checkpointer)?

  init(
    worker: String,
    history: HistoryFile,
    shard: ShardContext,
    pool: PQPool,
    recordPause: Duration,
    transactionPause: Duration?
  ) {
    self.worker = worker
    self.history = history
    self.shard = shard
    self.pool = pool
    self.recordPause = recordPause
    self.transactionPause = transactionPause
  }

  private func note(_ kind: HistoryEntry.Kind, _ record: Record? = nil, _ change: OrderChange? = nil) throws {
    try history.append(
      HistoryEntry(
        at: HistoryEntry.now(),
        worker: worker,
        kind: kind,
        shard: shard.shardID,
        epoch: shard.epoch.number,
        sequence: record?.sequenceNumber.uint64Value.map { Int64($0) },
        written: record?.approximateCreationTime.microsecondsSinceEpoch,
        change: change,
        isSnapshot: record?.change?.isSnapshot == true ? true : nil
      )
    )
  }

  mutating func initialize(_ shard: ShardContext) async throws {
    try note(.leaseStarted)
  }

  mutating func process(_ batch: RecordBatch, checkpointer: Checkpointer) async throws {
    for record in batch {
      guard let change = record.change else { continue }
      if recordPause > .zero { try await ContinuousClock().sleep(for: recordPause) }
      try note(.handled, record, OrderChange(change))
      last = (record, checkpointer)
    }
    guard let transactionPause else { return try await checkpointer.checkpoint() }
    try await pool.transaction { transaction in
      try await checkpointer.checkpoint(in: transaction)
      try await ContinuousClock().sleep(for: transactionPause)
    }
  }

  mutating func shardEnded(checkpointer: Checkpointer) async throws {
    try note(.shardEnded)
  }

  mutating func shutdownRequested(checkpointer: Checkpointer) async throws {
    try note(.handedOff)
  }

  /// Tries what must not succeed: a checkpoint under the epoch that is over.
  mutating func leaseLost() async {
    do {
      try note(.leaseLost)
      guard let (record, checkpointer) = last else { return }
      do {
        try await pool.transaction { try await checkpointer.checkpoint(at: record, in: $0) }
        try note(.staleCheckpointAccepted, record)
      } catch let error as TidemarkError where error.code == .leaseLost {
        try note(.staleCheckpointRefused, record)
      }
    } catch {
      // Nothing was tried, so there is nothing to tell: a drill that waits for a refusal finds none.
    }
  }
}
