import Testing
import Tidemark
import TidemarkTestKit

@Suite("Shard sync")
struct ShardSyncTests {
  private func lease(
    _ id: String,
    parents: [String] = [],
    children: [String] = [],
    _ checkpoint: Checkpoint
  ) -> Lease {
    Lease(shardID: id, parentShardIDs: parents, childShardIDs: children, checkpoint: checkpoint)
  }

  private func deletableIDs(leases: [Lease], listed: Set<String>) -> [[String]] {
    ShardSync.deletableLeases(leases: leases, listed: listed).map { $0.map(\.shardID) }
  }

  @Test("leases are added oldest first")
  func oldestFirst() {
    let shards = [
      Shard(id: "c", parentIDs: ["a"], startingSequenceNumber: 200),
      Shard(id: "b", startingSequenceNumber: 9), Shard(id: "a", startingSequenceNumber: 10),
    ]
    let missing = ShardSync.missingLeases(shards: shards, leases: [], position: .trimHorizon)
    #expect(missing.map(\.shardID) == ["b", "a", "c"])
  }

  @Test("a parent that was trimmed still makes its child a descendant")
  func trimmedParent() {
    let shards = [Shard(id: "child", parentIDs: ["gone"])]
    let missing = ShardSync.missingLeases(
      shards: shards,
      leases: [lease("gone", .shardEnd)],
      position: .latest
    )
    #expect(missing.map(\.checkpoint) == [.trimHorizon])
  }

  @Test("what comes after a snapshot is read from its beginning, whatever was trimmed while that was made")
  func trimmedAfterSnapshot() {
    var (snapshot, child) = (Shard(id: "s"), Shard(id: "c", parentIDs: ["s"]))
    (snapshot.beginning, snapshot.horizon) = (.record(10), .record(10))
    (child.beginning, child.horizon) = (.record(20), .record(25))
    func checkpoints(_ position: InitialPosition) -> [Checkpoint] {
      ShardSync.missingLeases(shards: [snapshot, child], leases: [], position: position).sorted {
        $0.shardID > $1.shardID
      }.map(\.checkpoint)
    }
    #expect(checkpoints(.snapshot) == [.record(10), .record(20)])
    #expect(checkpoints(.trimHorizon) == [.trimHorizon, .record(25)])
  }

  @Test("a shard that a listing shows without the child that is read after it is not read again")
  func staleListing() {
    let child = lease("child", parents: ["old"], .record(5))
    let shards = [Shard(id: "old", startingSequenceNumber: 1)]
    #expect(ShardSync.missingLeases(shards: shards, leases: [child], position: .trimHorizon).isEmpty)
  }

  @Test("an ended lease is deleted once its children have progress and the source lists it no more")
  func deletable() {
    let parent = lease("p", children: ["c"], .shardEnd)
    let moved = lease("c", parents: ["p"], .record(5))
    let fresh = lease("c", parents: ["p"], .trimHorizon)
    #expect(deletableIDs(leases: [parent, moved], listed: ["c"]) == [["p"]])
    #expect(deletableIDs(leases: [parent, fresh], listed: ["c"]).isEmpty)
    #expect(deletableIDs(leases: [parent, moved], listed: ["p", "c"]).isEmpty)
    #expect(deletableIDs(leases: [parent], listed: ["c"]).isEmpty)
  }

  @Test("ended leases go oldest first, one generation after the other, as far as children have progress")
  func generations() {
    let leases = [
      lease("a", children: ["b"], .shardEnd), lease("b", parents: ["a"], children: ["c"], .shardEnd),
      lease("c", parents: ["b"], children: ["d"], .shardEnd), lease("d", parents: ["c"], .trimHorizon),
    ]
    #expect(deletableIDs(leases: leases, listed: ["d"]) == [["a"], ["b"]])
    #expect(deletableIDs(leases: leases, listed: ["b", "c", "d"]) == [["a"]])
    #expect(deletableIDs(leases: leases, listed: ["a", "b", "c", "d"]) == [])
  }

  @Test("the end of a disabled stream has no children and goes when nothing is listed any more")
  func childless() {
    let last = lease("z", .shardEnd)
    #expect(deletableIDs(leases: [last], listed: []) == [["z"]])
    #expect(deletableIDs(leases: [last], listed: ["z"]).isEmpty)
    // A listing that leaves it out, not one from which it is gone.
    #expect(deletableIDs(leases: [last], listed: ["y"]).isEmpty)
  }

  @Test("a sync of several streams adds and deletes in those that were listed, and leaves the others alone")
  func streams() {
    func ended(_ stream: String) -> Lease {
      Lease(key: LeaseKey(stream: stream, shardID: "z"), checkpoint: .shardEnd)
    }
    let changes = ShardSync.changes(
      shards: ["gone": [], "new": [Shard(id: "z")]],
      leases: [ended("gone"), ended("unlisted")],
      position: .trimHorizon
    )
    #expect(changes.missing.map(\.key) == [LeaseKey(stream: "new", shardID: "z")])
    #expect(changes.deletable == [[LeaseKey(stream: "gone", shardID: "z")]])
  }

  @Test("a child may start when both parents have ended or are gone")
  func gate() {
    let child = lease("c", parents: ["a", "b"], .trimHorizon)
    let ended = lease("a", .shardEnd)
    let reading = lease("b", .record(7))
    let (a, b) = (OneStream.key("a"), OneStream.key("b"))
    #expect(!child.mayStart(given: [a: ended, b: reading]))
    #expect(child.mayStart(given: [a: ended]))
    #expect(child.mayStart(given: [a: ended, b: lease("b", .shardEnd)]))
    var stopped = child
    stopped.stoppedReason = "poison"
    #expect(!stopped.mayStart(given: [:]))
  }

  @Test(
    "a position at a sequence number needs no shard before it, starts in those around it, and reads later ones whole"
  )
  func atSequenceNumber() {
    let shards = [
      Shard(id: "before", startingSequenceNumber: 1, endingSequenceNumber: 9),
      Shard(id: "up to it", parentIDs: ["before"], startingSequenceNumber: 5, endingSequenceNumber: 10),
      Shard(id: "around", parentIDs: ["before"], startingSequenceNumber: 5),
      Shard(id: "from it", parentIDs: ["up to it"], startingSequenceNumber: 10, endingSequenceNumber: 11),
      Shard(id: "after", parentIDs: ["from it"], startingSequenceNumber: 12),
    ]
    let missing = ShardSync.missingLeases(shards: shards, leases: [], position: .atSequenceNumber(10))
    let checkpoints = Dictionary(uniqueKeysWithValues: missing.map { ($0.shardID, $0.checkpoint) })
    #expect(
      checkpoints == [
        "up to it": .record(9), "around": .record(9), "from it": .trimHorizon, "after": .trimHorizon,
      ]
    )
    let children = ShardSync.missingLeases(
      shards: shards,
      leases: [lease("up to it", .record(10))],
      position: .atSequenceNumber(10)
    )
    #expect(children.map(\.shardID).sorted() == ["after", "around", "from it"])
  }

  @Test(
    "the number before a sequence number is right at any length",
    arguments: [
      ("1", "0"), ("10", "9"), ("18446744073709551616", "18446744073709551615"),
      ("0000000000000000000001000", "999"), ("20500000000000000910300", "20500000000000000910299"),
    ]
  )
  func predecessor(number: String, before: String) throws {
    let position = InitialPosition.atSequenceNumber(try #require(SequenceNumber(number)))
    #expect(position.checkpoint(in: Shard(id: "s")) == .record(try #require(SequenceNumber(before))))
    #expect(InitialPosition.atSequenceNumber(0).checkpoint(in: Shard(id: "s")) == .trimHorizon)
  }
}
