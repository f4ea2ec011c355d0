import FleetDrill
import Foundation
import LibPQ
import Synchronization
import Tidemark
import TidemarkStreams

extension Round {
  /// Waits until the fleet has come to rest, and compares everything with the journal.
  func judge() async throws -> RoundResult {
    fleet.resumeAll()
    try keepRunning()
    // A promotion may have lost that they were.
    if plan.faults.contains(where: { $0.kind == .timeouts }) { try await resetTimeouts() }
    try await finishPrepared()
    try await comeToRest()
    let journal = try await table.journal()
    var result = RoundResult()
    result.changes = journal.count
    if journal.versions != (try await table.versions()) {
      note(Violation("The journal does not give the table: the torture itself is wrong."))
    }
    try await judgeLogs(journal, &result)
    try await judgeApplications(journal, &result)
    let disorderly = try await fleet.endAll(within: .seconds(45))
    if !disorderly.isEmpty {
      note(Violation("These workers did not end in good order: \(disorderly.joined(separator: ", "))."))
    }
    for violation in FleetCheck.leaseViolations(try await LeaseAudit(pool).changes()).prefix(5) {
      note(Violation("The leases: \(violation)."))
    }
    result.writers = gate.figures
    for wrong in result.writers.wrong.prefix(5) { note(Violation(wrong)) }
    let history = try fleet.histories.entries()
    result.staleCheckpoints = (
      history.count { $0.kind == .staleCheckpointRefused },
      history.count { $0.kind == .staleCheckpointAccepted }
    )
    result.workers = fleet.starts
    state.withLock { state in
      result.faults = state.faults
      result.disturbances = state.disturbances
      result.violations = state.violations
    }
    await pool.close()
    return result
  }

  /// Waits until every application has handled what the newest stream has, or nothing moves any more.
  private func comeToRest() async throws {
    let span = state.withLock { $0.eras[$0.eras.count - 1].span }
    let era = state.withLock { $0.eras.count - 1 }
    let wanted = try await table.journal().since(span.after)
    var missing = Int.max
    var progress = ContinuousClock.now
    while true {
      let history = Dictionary(grouping: try fleet.histories.entries(), by: Self.application)
      var left = 0
      for application in fleet.applications where application.era == era {
        if application.keepsLedger {
          left += wanted.changes.subtracting(try await table.ledger()).count
        } else if application.startsWithSnapshot {
          let handled = (history[application.name] ?? []).filter { $0.kind == .handled }
          left +=
            SnapshotJudge(
              journal: try await table.journal(),
              handled: handled,
              application: application.name,
              isLost: isLost
            ).violations.count
        } else {
          left += wanted.changes.subtracting((history[application.name] ?? []).compactMap(\.change)).count
        }
      }
      if left == 0 { return }
      if left < missing { (missing, progress) = (left, .now) }
      if .now - progress > Self.patience {
        note(
          Violation(
            "The fleet did not come to rest: \(left) changes were not handled \(Self.patience) after the last."
          )
        )
        return
      }
      try await ContinuousClock().sleep(for: .milliseconds(300))
      try keepRunning()
    }
  }

  static func application(of entry: HistoryEntry) -> String {
    String(entry.worker[..<(entry.worker.lastIndex(of: "-") ?? entry.worker.endIndex)])
  }

  func isLost(_ entry: HistoryEntry) -> Bool { entry.at <= state.withLock(\.lossesUntil) }

  private func judgeLogs(_ journal: Journal, _ result: inout RoundResult) async throws {
    for (index, era) in state.withLock(\.eras).enumerated() {
      let log = try await FreshReader(stream: era.stream, pool: pool).read(endedEarly: era.span.endedEarly)
      result.records += log.count
      let name = "stream \(index + 1) (\(plan.capture.rawValue))"
      let judge = LogJudge(journal: journal, span: era.span, log: log, name: name)
      judge.violations.prefix(5).forEach(note)
      if judge.violations.count > 5 {
        note(Violation("The log of \(name) is wrong for \(judge.violations.count) items."))
      }
      guard index == state.withLock({ $0.eras.count }) - 1 else { continue }
      var versions = Journal(
        journal.items.values.joined().filter { $0.place <= era.span.after }.sorted { $0.place < $1.place }
      ).versions
      for entry in log {
        versions[entry.change.order] = entry.change.event == .remove ? nil : entry.change.version
      }
      if versions != journal.versions {
        note(Violation("What the log of \(name) makes of the table is not the table."))
      }
    }
  }

  private func judgeApplications(_ journal: Journal, _ result: inout RoundResult) async throws {
    let history = Dictionary(
      grouping: try fleet.histories.entries().filter { $0.kind == .handled },
      by: Self.application
    )
    let eras = state.withLock(\.eras)
    for application in fleet.applications {
      let span = eras[application.era].span
      let handled = history[application.name] ?? []
      result.handled += handled.count
      if application.keepsLedger {
        let ledger = try await ledger(besides: journal)
        result.handled += ledger.count
        let stateless = Journal(
          journal.items.values.joined().map { JournalEntry(place: $0.place, change: $0.change) }
            .sorted { $0.place < $1.place }
        )
        let judge = LogJudge(
          journal: stateless,
          span: span,
          log: ledger,
          name: "the application that does all once"
        )
        judge.violations.prefix(5).forEach(note)
      } else if application.startsWithSnapshot {
        let judge = SnapshotJudge(
          journal: journal,
          handled: handled,
          application: application.name,
          isLost: isLost
        )
        judge.violations.prefix(5).forEach(note)
      } else {
        let judge = HandlingJudge(
          journal: journal.since(span.after),
          handled: handled,
          application: application.name,
          isLost: isLost
        )
        judge.violations.prefix(5).forEach(note)
        result.repeats += judge.repeats
      }
    }
  }

  /// What the application that does all once has done. Where a server lost commits, a page that was read before may be
  /// handled after, so its changes are in the ledger and never came to be.
  private func ledger(besides journal: Journal) async throws -> [LogJudge.Entry] {
    let known = journal.changes
    let hadLosses = state.withLock { $0.lossesUntil > 0 }
    return try await table.ledger().filter { known.contains($0) || !hadLosses }
      .enumerated().map { LogJudge.Entry(sequence: UInt64($0), change: $1) }
  }
}
