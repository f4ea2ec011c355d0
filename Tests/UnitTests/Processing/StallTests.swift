import Testing

@testable import Tidemark

@Suite("A stalled processor")
struct StallTests {
  private func consumer(givesLeaseAway: Bool = false) -> Consumed {
    var stall = WorkerConfiguration.Stall()
    stall.timeout = .seconds(8)
    stall.givesLeaseAway = givesLeaseAway
    var consumer = Consumed(stall: stall)
    #expect(consumer.send(.started) == ["initialize", "watch"])
    #expect(consumer.pause == .seconds(2))
    return consumer
  }

  private func quietTicks(_ consumer: inout Consumed, _ count: Int) {
    for _ in 0..<count { #expect(consumer.send(.watched(hasProgressed: false)) == ["watch"]) }
  }

  @Test("a stalled processor is reported once, after the whole timeout")
  func once() {
    var consumer = consumer()
    quietTicks(&consumer, 3)
    #expect(consumer.send(.watched(hasProgressed: false)) == ["stalled in initialize"])
    #expect(consumer.send(.processorReturned) == ["open TRIM_HORIZON"], "it goes on as if nothing had been")
    _ = consumer.send(.opened(after: .trimHorizon))
    #expect(consumer.page(1...1) == ["handedOut 1", "process 1-1", "read", "watch"])
    quietTicks(&consumer, 3)
    #expect(consumer.send(.watched(hasProgressed: false)) == ["stalled in process"])
  }

  @Test("a stalled processor is not one that checkpoints")
  func checkpoints() {
    var consumer = consumer()
    for _ in 1...5 {
      quietTicks(&consumer, 3)
      #expect(consumer.send(.watched(hasProgressed: true)) == ["watch"])
    }
    quietTicks(&consumer, 3)
    #expect(consumer.send(.watched(hasProgressed: false)) == ["stalled in initialize"])
  }

  @Test(
    "a stalled processor is not one whose calls return: each has the whole timeout, and all have one timer"
  )
  func shortCalls() {
    var consumer = consumer()
    quietTicks(&consumer, 3)
    _ = consumer.send(.processorReturned)
    _ = consumer.send(.opened(after: .trimHorizon))
    #expect(consumer.page(1...1) == ["handedOut 1", "process 1-1", "read"])
    quietTicks(&consumer, 4)
    #expect(consumer.send(.watched(hasProgressed: false)) == ["stalled in process"])
  }

  @Test("a stalled processor is not one that has nothing to do, and nothing is watched meanwhile")
  func idle() {
    var consumer = consumer()
    _ = consumer.send(.processorReturned)
    #expect(consumer.send(.watched(hasProgressed: false)) == [])
    _ = consumer.send(.opened(after: .trimHorizon))
    #expect(consumer.page(1...1) == ["handedOut 1", "process 1-1", "read", "watch"])
  }

  @Test(
    "a stalled processor asks for its lease to be given away if that is wanted, in whatever call it hangs"
  )
  func givesAway() {
    typealias Step = (inout Consumed) -> Void
    let calls: [(ProcessorCall, Step)] = [
      (.initialize, { _ in }),
      (.process, { _ = $0.page(1...1) }),
      (.shardEnded, { _ = $0.page(nil, isLast: true) }),
      (.shutdownRequested, { _ = $0.send(.handOffRequested) }),
      (.leaseLost, { _ = $0.send(.leaseLost) }),
    ]
    for (call, begin) in calls {
      var consumer = consumer(givesLeaseAway: true)
      if call != .initialize {
        _ = consumer.send(.processorReturned)
        _ = consumer.send(.opened(after: .trimHorizon))
        begin(&consumer)
      }
      var actions = ["watch"]
      for _ in 1...5 where actions == ["watch"] { actions = consumer.send(.watched(hasProgressed: false)) }
      #expect(actions == ["stalled in \(call)", "giveAway"])
    }
  }

  @Test("a stalled processor that has lost its lease is cancelled, and hears of the loss once its call ends")
  func lost() {
    var consumer = consumer(givesLeaseAway: true)
    _ = consumer.send(.processorReturned)
    _ = consumer.send(.opened(after: .trimHorizon))
    _ = consumer.page(1...1)
    for _ in 1...5 { _ = consumer.send(.watched(hasProgressed: false)) }
    #expect(consumer.send(.leaseLost) == ["cancel"])
    #expect(consumer.send(.processorReturned) == ["leaseLost", "watch"])
    #expect(consumer.send(.processorReturned) == ["finish lost"])
  }

  @Test("a stalled processor is not one that waits for a store that does not answer")
  func untrusted() {
    var consumer = consumer()
    quietTicks(&consumer, 3)
    #expect(consumer.send(.watched(hasProgressed: false, isTrusted: false)) == ["watch"])
    quietTicks(&consumer, 3)
  }

  @Test("a stalled processor is not noticed where that is not wanted")
  func unwatched() {
    var consumer = Consumed()
    #expect(consumer.send(.started) == ["initialize"])
  }
}
