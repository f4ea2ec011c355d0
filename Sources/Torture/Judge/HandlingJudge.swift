import FleetDrill

/// Compares what the workers of an application say they handled with the journal: each change at least once, those of an
/// item in order. A redelivery may go back, none may skip ahead.
struct HandlingJudge: Sendable {
  private(set) var violations: [Violation] = []
  /// Changes that were handled at least once.
  private(set) var delivered = 0
  /// Handlings beyond the first of a change.
  private(set) var repeats = 0

  /// - Parameters:
  ///   - journal: what the application had to handle.
  ///   - handled: in the order of time.
  ///   - isLost: whether a change that is not in the journal may have been committed and lost with a server.
  init(journal: Journal, handled: [HistoryEntry], application: String, isLost: (HistoryEntry) -> Bool) {
    var position: [OrderChange: Int] = [:]
    for entries in journal.items.values {
      for (index, entry) in entries.enumerated() { position[entry.change] = index }
    }
    var reached: [Int64: Int] = [:]
    var wrong: Set<Int64> = []
    var attempts = 0
    var seen: Set<OrderChange> = []
    var delivery: [Int64: [OrderChange]] = [:]
    for entry in handled {
      guard let change = entry.change else { continue }
      delivery[change.order, default: []].append(change)
      guard let index = position[change] else {
        if !isLost(entry), wrong.insert(change.order).inserted {
          note(
            change.order,
            "\(change.text) was handled and never committed",
            0,
            journal,
            delivery,
            application
          )
        }
        continue
      }
      attempts += 1
      seen.insert(change)
      let next = reached[change.order, default: 0]
      if index > next, wrong.insert(change.order).inserted {
        note(
          change.order,
          "\(change.text) was handled before what precedes it",
          next,
          journal,
          delivery,
          application
        )
      }
      reached[change.order] = max(next, index + 1)
    }
    delivered = seen.count
    repeats = attempts - delivered
    for (item, entries) in journal.items.sorted(by: { $0.key < $1.key }) {
      let next = reached[item, default: 0]
      guard next < entries.count, wrong.insert(item).inserted else { continue }
      let missing = entries[next].change.text
      let more = entries.count - next - 1
      note(item, "\(missing) was never handled, nor \(more) after it", next, journal, delivery, application)
    }
  }

  private mutating func note(
    _ item: Int64,
    _ what: String,
    _ index: Int,
    _ journal: Journal,
    _ delivery: [Int64: [OrderChange]],
    _ application: String
  ) {
    violations.append(
      Violation(
        "Item \(item), application \(application): \(what).",
        journal: journal.items[item]?.map(\.change) ?? [],
        delivered: delivery[item] ?? [],
        around: index
      )
    )
  }
}
