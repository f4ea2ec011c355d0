import BenchmarkSupport
import Foundation
import Synchronization
import Tidemark

/// Takes the times from a change's statement being sent to `process` being called with it, in one process and by one
/// clock: the change carries the time at which it was sent.
final class LatencyProbe: Sendable {
  private let delays = Mutex<[Duration]>([])

  /// What a writer puts into the column `sent`, the second one of its table.
  static func stamp() -> Int64 {
    var now = timespec()
    clock_gettime(CLOCK_MONOTONIC, &now)
    return Int64(now.tv_sec) * 1_000_000_000 + Int64(now.tv_nsec)
  }

  var count: Int { delays.withLock(\.count) }

  func reset() { delays.withLock { $0 = [] } }

  fileprivate func take(_ batch: RecordBatch) {
    let now = Self.stamp()
    let taken = batch.compactMap { record -> Duration? in
      // {"id":7,"sent":123} or {"id":7,"sent":123,…}
      guard let image = record.change?.newImage?.description else { return nil }
      let column = image.split(separator: ",", maxSplits: 2)[1]
      return Int64(column.drop { $0 != ":" }.dropFirst().prefix { $0.isNumber }).map {
        .nanoseconds(now - $0)
      }
    }
    delays.withLock { $0 += taken }
  }

  /// - Returns: the median, the 99th percentile and the longest, in milliseconds.
  func summary() -> (median: Double, ninetyNine: Double, longest: Double) {
    let sorted = delays.withLock { $0.sorted() }
    guard let longest = sorted.last else { return (.nan, .nan, .nan) }
    return (
      sorted[sorted.count / 2].milliseconds, sorted[sorted.count * 99 / 100].milliseconds,
      longest.milliseconds
    )
  }
}

struct ProbingProcessor: RecordProcessor {
  let probe: LatencyProbe

  mutating func process(_ batch: RecordBatch, checkpointer: Checkpointer) async throws {
    probe.take(batch)
    try await checkpointer.checkpoint()
  }
}
