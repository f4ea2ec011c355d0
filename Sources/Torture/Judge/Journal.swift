import FleetDrill
import Tidemark

/// What a change says of its item besides its version: whether images are the right ones.
struct ItemState: Sendable, Hashable {
  /// Before the change; `nil` for an INSERT.
  var oldVersion: Int64?
  /// After the change, of the large column; `nil` for a REMOVE.
  var size: Int?
  /// The version in which that column was filled.
  var filled: Int64?
}

/// One committed change of an item.
struct JournalEntry: Sendable, Hashable {
  /// Its place in the whole journal; in that order an item changed.
  var place: Int64
  var change: OrderChange
  var state = ItemState()
}

/// The committed changes of each item, in order.
struct Journal: Sendable {
  private(set) var items: [Int64: [JournalEntry]] = [:]
  private(set) var count = 0
  private(set) var lastPlace: Int64 = 0

  init(_ entries: [JournalEntry] = []) {
    for entry in entries { add(entry) }
  }

  mutating func add(_ entry: JournalEntry) {
    items[entry.change.order, default: []].append(entry)
    count += 1
    lastPlace = max(lastPlace, entry.place)
  }

  /// What comes after a place.
  func since(_ place: Int64) -> Journal {
    Journal(items.values.joined().filter { $0.place > place }.sorted { $0.place < $1.place })
  }

  var changes: Set<OrderChange> { Set(items.values.joined().lazy.map(\.change)) }

  /// The version of each item that is there in the end.
  var versions: [Int64: Int64] {
    items.compactMapValues { entries in
      entries.last.flatMap { $0.change.event == .remove ? nil : $0.change.version }
    }
  }
}
