import FleetDrill
import Tidemark

/// Judges an application that began with a snapshot: its rows and the changes after them give exactly the table. For each
/// item that is: the row's version, and all that the journal has after it; without a row, all that it has since a
/// moment at which the item was not there.
struct SnapshotJudge: Sendable {
  private(set) var violations: [Violation] = []

  /// - Parameters:
  ///   - journal: all of it, from the table's beginning.
  ///   - handled: in the order of time.
  init(journal: Journal, handled: [HistoryEntry], application: String, isLost: (HistoryEntry) -> Bool) {
    var rows: [Int64: [OrderChange]] = [:]
    var changes: [Int64: [OrderChange]] = [:]
    for entry in handled {
      guard let change = entry.change else { continue }
      if entry.isSnapshot == true { rows[change.order, default: []].append(change) }
      let isKnown = journal.items[change.order]?.contains { $0.change == change } ?? false
      if entry.isSnapshot != true, isKnown || !isLost(entry) {
        changes[change.order, default: []].append(change)
      }
    }
    for item in Set(journal.items.keys).union(rows.keys).union(changes.keys).sorted() {
      let entries = journal.items[item]?.map(\.change) ?? []
      let problem = Self.problem(entries, rows[item] ?? [], changes[item] ?? [])
      guard let (what, index) = problem else { continue }
      violations.append(
        Violation(
          "Item \(item), application \(application), which began with a snapshot: \(what).",
          journal: entries,
          delivered: (rows[item] ?? []) + (changes[item] ?? []),
          around: index
        )
      )
    }
  }

  /// What is wrong and where in the journal.
  private static func problem(
    _ entries: [OrderChange],
    _ rows: [OrderChange],
    _ changes: [OrderChange]
  ) -> (String, Int)? {
    var start = 0
    if let row = rows.last {
      if Set(rows.map(\.version)).count > 1 { return ("the snapshot has it in two versions", 0) }
      guard let index = entries.firstIndex(where: { $0.event != .remove && $0.version == row.version }) else {
        return ("the snapshot has a row that was never committed", 0)
      }
      start = index + 1
    } else if let first = changes.first {
      guard let index = entries.firstIndex(of: first) else {
        return ("\(first.text) was handled and never committed", 0)
      }
      start = index
      if index > 0, entries[index - 1].event != .remove {
        return ("\(first.text) comes first, and the row before it is missing", index)
      }
    } else {
      start = entries.count
      if let last = entries.last, last.event != .remove { return ("its row is missing", entries.count - 1) }
    }
    return order(Array(entries[start...]), changes).map { ($0.0, $0.1 + start) }
  }

  private static func order(_ wanted: [OrderChange], _ changes: [OrderChange]) -> (String, Int)? {
    let position = Dictionary(wanted.enumerated().map { ($1, $0) }, uniquingKeysWith: { first, _ in first })
    var reached = 0
    for change in changes {
      guard let index = position[change] else {
        return ("\(change.text) does not belong after the snapshot", reached)
      }
      if index > reached { return ("\(change.text) was handled before what precedes it", reached) }
      reached = max(reached, index + 1)
    }
    return reached < wanted.count ? ("\(wanted[reached].text) was never handled", reached) : nil
  }
}
