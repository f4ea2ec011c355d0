import Testing
import Tidemark

@testable import FleetDrill
@testable import Torture

/// A judge that finds nothing proves nothing: here it is shown what it must find.
@Suite("The judge of a torture")
struct TortureJudgeTests {
  /// An item that came, was changed twice and went; and another.
  private static let changes = [
    change(.insert, 1, 10), change(.modify, 1, 11), change(.insert, 2, 12), change(.modify, 1, 13),
    change(.remove, 1, 13), change(.modify, 2, 14),
  ]
  private static let journal = Journal(
    changes.enumerated().map { JournalEntry(place: Int64($0 + 1), change: $1) }
  )

  private static func change(_ event: Change.EventName, _ item: Int64, _ tick: Int64) -> OrderChange {
    OrderChange(order: item, event: event, version: tick << 20)
  }

  private func logViolations(
    of changes: [OrderChange],
    _ span: LogJudge.Span = LogJudge.Span()
  ) -> [String] {
    let log = changes.enumerated().map { LogJudge.Entry(sequence: UInt64($0), change: $1) }
    return LogJudge(journal: Self.journal, span: span, log: log, name: "s").violations.map(\.sentence)
  }

  private func handled(_ changes: [OrderChange], isSnapshot: Bool = false, at: Int64 = 0) -> [HistoryEntry] {
    changes.map { change in
      HistoryEntry(
        at: at,
        worker: "w",
        kind: .handled,
        shard: "a",
        epoch: 1,
        change: change,
        isSnapshot: isSnapshot ? true : nil
      )
    }
  }

  private func handlingViolations(of changes: [OrderChange]) -> [String] {
    HandlingJudge(journal: Self.journal, handled: handled(changes), application: "p", isLost: { _ in false })
      .violations.map(\.sentence)
  }

  private func snapshotViolations(rows: [OrderChange], changes: [OrderChange]) -> [String] {
    SnapshotJudge(
      journal: Self.journal,
      handled: handled(rows, isSnapshot: true) + handled(changes),
      application: "s1",
      isLost: { _ in false }
    ).violations.map(\.sentence)
  }

  // MARK: The log

  @Test("a log that equals the journal is right, in whatever order different items' changes come")
  func rightLog() {
    #expect(logViolations(of: Self.changes).isEmpty)
    #expect(logViolations(of: Self.changes.sorted { $0.order < $1.order }).isEmpty)
  }

  @Test("it finds a change that the log has lost, wherever it was", arguments: 0..<6)
  func lost(index: Int) {
    var changes = Self.changes
    let lost = changes.remove(at: index)
    let violations = logViolations(of: changes)
    #expect(violations.count == 1)
    #expect(violations.first?.contains("Item \(lost.order) in the log of s: \(lost.text) is missing") == true)
  }

  @Test("it finds a change that the log has twice, at once or later", arguments: 0..<6)
  func doubled(index: Int) {
    for place in [index, 6] {
      var changes = Self.changes
      changes.insert(changes[index], at: place)
      #expect(
        logViolations(of: changes).first?.contains("\(Self.changes[index].text) is there twice") == true
      )
    }
  }

  @Test("it finds two changes of an item that the log has the wrong way round")
  func swapped() {
    var changes = Self.changes
    changes.swapAt(1, 3)
    #expect(
      logViolations(of: changes) == [
        "Item 1 in the log of s: MODIFY@13.0 comes before MODIFY@11.0, the wrong way round."
      ]
    )
  }

  @Test(
    "it finds a change that nobody made, of an item that exists and of one that does not",
    arguments: [1, 9]
  )
  func invented(item: Int64) {
    let invented = Self.change(.modify, item, 99)
    #expect(
      logViolations(of: Self.changes + [invented])
        == ["Item \(item) in the log of s: MODIFY@99.0 is there and was never committed."]
    )
  }

  @Test("it finds a sequence number that was given twice")
  func doubledNumber() {
    let log = Self.changes.map { LogJudge.Entry(sequence: 7, change: $0) }
    let judge = LogJudge(journal: Self.journal, span: LogJudge.Span(), log: log, name: "s")
    #expect(judge.violations.count == 5)
  }

  @Test("it finds images that are not the row's")
  func wrongImages() {
    let entry = JournalEntry(
      place: 1,
      change: Self.changes[0],
      state: ItemState(oldVersion: nil, size: 3, filled: 5)
    )
    for state in [
      ItemState(oldVersion: 1, size: 3, filled: 5), ItemState(oldVersion: nil, size: 3, filled: -1),
    ] {
      let log = [LogJudge.Entry(sequence: 1, change: entry.change, state: state)]
      let judge = LogJudge(journal: Journal([entry]), span: LogJudge.Span(), log: log, name: "s")
      #expect(judge.violations.first?.sentence.contains("has wrong images") == true)
    }
  }

  @Test(
    "a stream answers for what was written in its time, and one that ended early not for its last moments"
  )
  func spans() {
    let last = LogJudge.Span(after: 2)
    #expect(logViolations(of: Array(Self.changes[2...]), last).isEmpty)
    #expect(logViolations(of: Self.changes, last).count == 1)
    let first = LogJudge.Span(through: 4, endedEarly: true)
    #expect(logViolations(of: Array(Self.changes[..<2]), first).isEmpty)
    #expect(logViolations(of: [Self.changes[0], Self.changes[3]], first).count == 1)
  }

  // MARK: What was handled

  @Test("repeats may go back, and what a lost server had committed may have been handled")
  func rightHandling() {
    #expect(handlingViolations(of: Self.changes + Self.changes[1...]).isEmpty)
    let lost = handled([Self.change(.modify, 1, 50)], at: 3) + handled(Self.changes, at: 4)
    let judge = HandlingJudge(journal: Self.journal, handled: lost, application: "p") { $0.at <= 3 }
    #expect(judge.violations.isEmpty)
    #expect(judge.delivered == 6)
    #expect(judge.repeats == 0)
  }

  @Test("it finds a change that nobody handled, wherever it was", arguments: 0..<6)
  func unhandled(index: Int) {
    var changes = Self.changes
    changes.remove(at: index)
    #expect(handlingViolations(of: changes).count == 1)
  }

  @Test("it finds a change that was handled too early, although the one before was handled later")
  func skipped() {
    var changes = Self.changes
    changes.swapAt(1, 3)
    #expect(
      handlingViolations(of: changes) == [
        "Item 1, application p: MODIFY@13.0 was handled before what precedes it."
      ]
    )
  }

  @Test("it finds a change that was handled and never committed")
  func handledInvention() {
    #expect(
      handlingViolations(of: Self.changes + [Self.change(.modify, 2, 77)])
        == ["Item 2, application p: MODIFY@77.0 was handled and never committed."]
    )
  }

  // MARK: A start with a snapshot

  @Test("rows of one moment and all changes after it are right, with repeats")
  func rightSnapshot() {
    for cut in 0...6 {
      let rows = Journal(Self.changes[..<cut].enumerated().map { JournalEntry(place: Int64($0), change: $1) })
        .versions.map { OrderChange(order: $0.key, event: .insert, version: $0.value) }
      let changes = Array(Self.changes[cut...])
      #expect(snapshotViolations(rows: rows, changes: changes).isEmpty, "cut at \(cut)")
      #expect(snapshotViolations(rows: rows + rows, changes: changes + changes).isEmpty, "cut at \(cut)")
    }
  }

  @Test("it finds a row that the snapshot lacks, one that it has in two versions, and one that never was")
  func wrongRows() {
    let rest = Array(Self.changes[4...])
    let rows = [Self.change(.insert, 1, 13), Self.change(.insert, 2, 12)]
    #expect(snapshotViolations(rows: rows, changes: rest).isEmpty)
    #expect(snapshotViolations(rows: [rows[0]], changes: rest).count == 1)
    #expect(snapshotViolations(rows: [rows[1]], changes: rest).count == 1)
    #expect(snapshotViolations(rows: rows + [Self.change(.insert, 1, 11)], changes: rest).count == 1)
    #expect(snapshotViolations(rows: rows + [Self.change(.insert, 3, 1)], changes: rest).count == 1)
  }

  @Test("it finds a change after the snapshot that is missing, and one that the snapshot has in it already")
  func wrongChanges() {
    let rows = [Self.change(.insert, 1, 11), Self.change(.insert, 2, 12)]
    let changes = Array(Self.changes[3...])
    for index in changes.indices {
      var fewer = changes
      fewer.remove(at: index)
      #expect(snapshotViolations(rows: rows, changes: fewer).count == 1)
    }
    #expect(snapshotViolations(rows: rows, changes: [Self.changes[1]] + changes).count == 1)
  }

  // MARK: The plan

  @Test("a seed gives the same plan and the same transactions each time, and another seed others")
  func plans() {
    func plan(_ seed: UInt64) -> RoundPlan {
      RoundPlan(seed: seed, kind: .logical, allowed: Set(Ingredient.allCases), length: .seconds(30))
    }
    func statements(_ seed: UInt64) -> [String] {
      var draw = TransactionDraw(seed: seed, writer: 1, allowed: Set(Ingredient.allCases), rows: 300)
      return (0..<100).map { _ in "\(String(describing: draw.next(in: .mix)))" }
    }
    #expect(plan(5).faults == plan(5).faults)
    #expect(plan(5).phases == plan(5).phases)
    #expect(plan(5).faults != plan(6).faults)
    #expect(statements(5) == statements(5))
    #expect(statements(5) != statements(6))
  }

  @Test("what is left out is in no plan", arguments: Ingredient.allCases)
  func without(kind: Ingredient) {
    for seed in 0..<200 as Range<UInt64> {
      let plan = RoundPlan(
        seed: seed,
        kind: .logical,
        allowed: Set(Ingredient.allCases).subtracting([kind]),
        length: .seconds(30)
      )
      #expect(!plan.faults.contains { $0.kind == kind })
    }
  }
}
