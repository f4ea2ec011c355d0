import LibPQ
import TidemarkStreams

/// A simulated server as far as capture by decoding needs one: a write-ahead log, a slot, and a stream's log with the
/// place of its capture.
///
/// What it decides is what the migrations `logical_capture` and `logical_snapshots` decide. It keeps what was committed;
/// a slot's confirmation may go back when the server is restarted, since that is not written at once.
final class CaptureServer {
  struct Change: Equatable {
    var item: Int
    var version: Int
  }

  struct Transaction {
    /// Where the commit begins and ends.
    var final: UInt64
    var end: UInt64
    /// Of the captured table. Transactions of others have none.
    var changes: [Change]
  }

  /// A cut of a snapshot: its place is not known at first.
  struct Cut: Equatable {
    var place: UInt64?
  }

  private(set) var transactions: [Transaction] = []
  /// All changes that were ever committed, in order.
  private(set) var changes: [Change] = []
  private(set) var end: UInt64 = 100
  private var versions: [Int: Int] = [:]

  private(set) var stored = CapturePosition(lsn: PQLSN(rawValue: 100), changes: 0)
  private(set) var log: [Change] = []
  private(set) var isEnabled = true
  private(set) var endsAt: UInt64?
  private(set) var cut: Cut?

  private(set) var confirmed: UInt64 = 100
  private var written: UInt64 = 100
  /// The session that has the slot.
  var holder: Int?

  // MARK: Writers

  func commit(items: [Int], gap: UInt64) {
    let changes = items.map { item in
      versions[item, default: 0] += 1
      return Change(item: item, version: versions[item] ?? 0)
    }
    let final = end + gap
    end = final + 20
    transactions.append(Transaction(final: final, end: end, changes: changes))
    self.changes += changes
  }

  /// How many of the changes the stream should have by now.
  var committedCount: Int {
    guard let endsAt else { return changes.count }
    return changes.count
      - transactions.reversed().prefix { $0.final >= endsAt }.reduce(0) { $0 + $1.changes.count }
  }

  /// The first transaction whose commit begins there or later.
  func transaction(from place: UInt64) -> Transaction? {
    var (low, high) = (0, transactions.count)
    while low < high {
      let middle = (low + high) / 2
      if transactions[middle].final < place { low = middle + 1 } else { high = middle }
    }
    return low < transactions.count ? transactions[low] : nil
  }

  // MARK: The capture

  var limit: UInt64? { [endsAt, cut?.place].compactMap { $0 }.min() }

  var isHeld: Bool { (cut != nil && cut?.place == nil) || limit.map { confirmed >= $0 } ?? false }

  /// `tidemark.append_captured`
  func append(
    _ changes: [Change],
    from start: CapturePosition,
    to position: CapturePosition,
    knownEnd: UInt64?
  ) -> Bool {
    guard isEnabled, knownEnd == limit, cut == nil || cut?.place != nil, stored == start else { return false }
    log += changes
    stored = position
    return true
  }

  func confirm(_ place: UInt64) { confirmed = max(confirmed, place) }

  func checkpoint() { written = confirmed }

  /// A crash: what was not written of the slot is forgotten.
  func restart() {
    holder = nil
    confirmed = written
  }

  // MARK: Cuts and the end

  func requestCut() { if cut == nil, endsAt == nil, isEnabled { cut = Cut() } }

  func placeCut() { if cut?.place == nil, cut != nil { cut?.place = end } }

  func dropCut() { cut = nil }

  /// `tidemark.end_logical_capture`
  func endCapture() { if endsAt == nil, isEnabled { endsAt = end } }

  /// `tidemark.maintain_logical_capture`, when the slot is as it should be.
  func maintain() {
    if let endsAt, confirmed >= endsAt { isEnabled = false }
  }
}
