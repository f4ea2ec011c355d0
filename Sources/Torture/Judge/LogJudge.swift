import FleetDrill
import Tidemark

/// Compares a stream's log with the journal: each change once, those of an item in order, with the right images.
struct LogJudge: Sendable {
  /// A record of the log.
  struct Entry: Sendable, Hashable {
    var sequence: UInt64
    var change: OrderChange
    var state = ItemState()
  }

  /// What one stream has to hold of the journal.
  struct Span: Sendable, Hashable {
    /// Places up to this one are from before the stream.
    var after: Int64 = 0
    /// Places after this one are another stream's.
    var through = Int64.max
    /// Whether the stream says that it ended early: then the newest of each item's changes may be missing.
    var endedEarly = false
  }

  private(set) var violations: [Violation] = []

  /// - Parameter log: in the order of sequence numbers.
  init(journal: Journal, span: Span, log: [Entry], name: String) {
    var seen: Set<UInt64> = []
    for entry in log where !seen.insert(entry.sequence).inserted {
      note(Violation("The log of \(name) has the sequence number \(entry.sequence) twice."))
    }
    let delivered = Dictionary(grouping: log, by: \.change.order)
    var expected: [Int64: [JournalEntry]] = [:]
    for (item, entries) in journal.items {
      expected[item] = entries.filter { $0.place > span.after && $0.place <= span.through }
    }
    for item in Set(delivered.keys).union(expected.keys).sorted() {
      compare(item, expected[item] ?? [], delivered[item] ?? [], journal, span, name)
    }
  }

  private mutating func note(_ violation: Violation) { violations.append(violation) }

  private mutating func compare(
    _ item: Int64,
    _ expected: [JournalEntry],
    _ delivered: [Entry],
    _ journal: Journal,
    _ span: Span,
    _ name: String
  ) {
    let (wanted, got) = (expected.map(\.change), delivered.map(\.change))
    if let index = zip(wanted, got).enumerated().first(where: { $1.0 != $1.1 })?.offset
      ?? lengthDiffers(wanted, got)
    {
      if span.endedEarly, index >= got.count { return }
      let what = Self.difference(wanted, got, at: index, all: journal.items[item]?.map(\.change) ?? [])
      note(
        Violation(
          "Item \(item) in the log of \(name): \(what)",
          journal: wanted,
          delivered: got,
          around: index
        )
      )
      return
    }
    if let index = zip(expected, delivered).enumerated().first(where: { $1.0.state != $1.1.state })?.offset {
      let (right, wrong) = (expected[index].state, delivered[index].state)
      note(
        Violation(
          "Item \(item) in the log of \(name): \(got[index].text) has wrong images: \(wrong), not \(right).",
          journal: wanted,
          delivered: got,
          around: index
        )
      )
    }
  }

  private func lengthDiffers(_ wanted: [OrderChange], _ got: [OrderChange]) -> Int? {
    wanted.count == got.count ? nil : min(wanted.count, got.count)
  }

  /// What is wrong at the first place where two lists differ.
  static func difference(_ wanted: [OrderChange], _ got: [OrderChange], at index: Int, all: [OrderChange])
    -> String
  {
    if index >= got.count {
      return "\(wanted[index].text) is missing, and \(wanted.count - index - 1) after it."
    }
    let found = got[index]
    if got[..<index].contains(found) { return "\(found.text) is there twice." }
    if !all.contains(found) { return "\(found.text) is there and was never committed." }
    guard index < wanted.count else { return "\(found.text) is there and is from outside the stream's time." }
    return got.contains(wanted[index])
      ? "\(found.text) comes before \(wanted[index].text), the wrong way round."
      : "\(wanted[index].text) is missing, \(found.text) comes instead."
  }
}
