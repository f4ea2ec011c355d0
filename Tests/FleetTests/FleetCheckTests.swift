import Testing

@testable import FleetDrill

@Suite("The check of a fleet's history")
struct FleetCheckTests {
  private func entry(_ kind: HistoryEntry.Kind, epoch: Int64, at: Int64) -> HistoryEntry {
    HistoryEntry(at: at, worker: "a", kind: kind, shard: "s", epoch: epoch)
  }

  private func change(
    at: Int64,
    epoch old: Int64,
    to new: Int64,
    owner oldOwner: Int64?,
    to newOwner: Int64?
  ) -> LeaseAudit.Change {
    LeaseAudit.Change(
      at: at,
      shard: "s",
      oldOwner: oldOwner,
      newOwner: newOwner,
      oldEpoch: old,
      newEpoch: new,
      oldCheckpoint: "1",
      newCheckpoint: "2",
      wentBack: false
    )
  }

  private func violations(_ history: [HistoryEntry], _ audit: [LeaseAudit.Change]) -> [String] {
    FleetCheck(journal: [:], history: history, parents: [:], audit: audit).violations
  }

  private var history: [HistoryEntry] {
    [
      entry(.leaseStarted, epoch: 5, at: 10), entry(.leaseLost, epoch: 5, at: 100),
      entry(.staleCheckpointAccepted, epoch: 5, at: 130),
    ]
  }

  @Test("a checkpoint of a worker declared dead whose lease's epoch no plan could raise is no violation")
  func epochDidNotRise() {
    #expect(violations(history, [change(at: 120, epoch: 5, to: 5, owner: 1, to: 1)]) == [])
    let releasedSoonAfter = [
      change(at: 120, epoch: 5, to: 5, owner: 1, to: 1), change(at: 125, epoch: 5, to: 6, owner: 1, to: nil),
    ]
    #expect(violations(history, releasedSoonAfter) == [])
  }

  @Test("a checkpoint that is accepted after the epoch rose is a violation, whatever was accepted before")
  func staleCheckpoint() {
    let audit = [
      change(at: 50, epoch: 5, to: 5, owner: 1, to: 1), change(at: 90, epoch: 5, to: 6, owner: 1, to: nil),
      change(at: 120, epoch: 6, to: 6, owner: nil, to: nil),
    ]
    #expect(violations(history, audit) == ["s: a checkpoint under epoch 5, which was over, was accepted"])
    #expect(violations(history, []).count == 1, "an audit that does not know of it is no excuse")
  }
}
