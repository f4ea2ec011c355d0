import Testing
import TidemarkTestKit

@testable import Tidemark

/// What a worker does about leases when streams come and go.
@Suite("A worker whose streams change")
struct CoordinatedStreamsTests {
  /// Registered as 1 for two streams, with a lease of each, and nothing under way.
  private func reading() -> Coordinated {
    var worker = Coordinated(streams: ["a", "b"])
    _ = worker.send(.started)
    _ = worker.send(.registered(1, sentAt: worker.now))
    _ = worker.send(.synced)
    _ = worker.send(.planned(.applied([], dead: [])))
    _ = worker.send(.hint)
    _ = worker.looked()
    _ = worker.send(
      .refreshed([.owned("s", of: "a", by: 1, epoch: 1), .owned("s", of: "b", by: 1, epoch: 1)])
    )
    return worker
  }

  @Test("says so when a stream has come, and plans")
  func comes() {
    var worker = reading()
    #expect(worker.send(.streamsListed(["a", "b", "c"])) == ["serve1 1 a b c"])
    #expect(worker.send(.served) == ["plan 1", "refresh 1"])
    #expect(worker.send(.streamsListed(["c", "b", "a"])).isEmpty, "nothing has changed")
  }

  @Test("hands a vanished stream's leases off only once a plan was made that knew that it vanished")
  func vanishes() {
    var worker = reading()
    #expect(worker.send(.streamsListed(["a"])) == ["serve1 1 a"])
    // It goes on with the lease meanwhile.
    #expect(worker.wantRefresh().contains("refresh 1"))
    let leases: [Lease] = [.owned("s", of: "a", by: 1, epoch: 1), .owned("s", of: "b", by: 1, epoch: 1)]
    #expect(worker.send(.refreshed(leases)).isEmpty)
    #expect(worker.send(.served) == ["plan 1", "refresh 1"])
    #expect(worker.send(.refreshed(leases)).isEmpty)
    #expect(worker.send(.planned(.applied([], dead: []))) == ["refresh 1"])
    #expect(worker.send(.refreshed(leases)) == ["handOff s@1"])
  }

  @Test("keeps the leases of a stream that comes back before they are given up")
  func returns() {
    var worker = reading()
    let leases: [Lease] = [.owned("s", of: "a", by: 1, epoch: 1), .owned("s", of: "b", by: 1, epoch: 1)]
    _ = worker.send(.streamsListed(["a"]))
    _ = worker.send(.served)
    _ = worker.send(.refreshed(leases))
    _ = worker.send(.planned(.applied([], dead: [])))
    #expect(worker.send(.refreshed(leases)) == ["handOff s@1"])
    #expect(worker.send(.streamsListed(["a", "b"])) == ["serve2 1 a b"])
    #expect(worker.send(.served) == ["plan 1", "refresh 1"])
    #expect(worker.send(.refreshed(leases)) == ["withdraw s@1"])
  }

  @Test("gives up a lease of a stream that it does not read, once the store knows that")
  func unread() {
    var worker = reading()
    let leases: [Lease] = [.owned("s", of: "a", by: 1, epoch: 1), .owned("t", of: "b", by: 1, epoch: 1)]
    _ = worker.send(.streamsListed(["a"]))
    _ = worker.wantRefresh()
    #expect(worker.send(.refreshed(leases)) == ["lose s@1"], "of b, whose lease is somebody else's")
    _ = worker.send(.served)
    #expect(worker.send(.refreshed(leases)) == ["release t@1"])
    // It is given again, so the store may not know it any more.
    _ = worker.wantRefresh()
    #expect(worker.send(.refreshed(leases)) == ["serve1 1 a"])
    _ = worker.wantRefresh()
    #expect(worker.send(.refreshed(leases)).isEmpty)
    _ = worker.send(.served)
    #expect(worker.send(.refreshed(leases)) == ["release t@1"])
  }

  @Test("says it again to a store that has come back without it")
  func forgotten() {
    var worker = reading()
    _ = worker.send(.streamsListed(["a", "b", "c"]))
    _ = worker.send(.served)
    _ = worker.send(.fired(.heartbeat))
    #expect(!worker.answerHeartbeat(streamsVersion: 1).contains("serve1 1 a b c"))
    _ = worker.send(.fired(.heartbeat))
    #expect(worker.answerHeartbeat(streamsVersion: 0).contains("serve1 1 a b c"))
    _ = worker.send(.fired(.heartbeat))
    #expect(!worker.answerHeartbeat(streamsVersion: 0).contains("serve1 1 a b c"), "it is on its way")
  }

  @Test("says it again until the store has heard it")
  func fails() {
    var worker = reading()
    _ = worker.send(.streamsListed(["a"]))
    #expect(worker.send(.serveFailed) == ["timer serve"])
    #expect(worker.send(.fired(.serve)) == ["serve1 1 a"])
    #expect(worker.send(.streamsListed(["a", "b"])).isEmpty, "one call at a time")
    #expect(worker.send(.served) == ["serve2 1 a b"])
    #expect(worker.send(.served) == ["plan 1", "refresh 1"])
  }

  @Test("registers with the streams of that moment, and tells of those that have changed since")
  func registers() {
    var worker = reading()
    #expect(worker.answerDead().contains("register"))
    #expect(worker.send(.streamsListed(["a"])).isEmpty)
    #expect(worker.send(.registered(2, sentAt: worker.now)).last == "serve1 2 a")
  }

  @Test("syncs again after a second, and then less and less often, while some streams cannot be listed")
  func partial() {
    var worker = reading()
    var pauses: [Duration] = []
    for _ in 1...4 {
      _ = worker.send(.fired(.shardSync))
      _ = worker.send(.syncedInPart)
      pauses.append(worker.pause)
    }
    #expect(pauses[0] <= .seconds(1) && pauses[0] > .milliseconds(700))
    #expect(zip(pauses, pauses.dropFirst()).allSatisfy { $0 < $1 })
  }
}
