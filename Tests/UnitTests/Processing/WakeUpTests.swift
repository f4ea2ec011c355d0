import Testing

@testable import Tidemark

@Suite("A processor that asks to be woken")
struct WakeUpTests {
  typealias Stage = ShardConsumerTests.Stage

  @Test("is called when the time is over, though no record has come, once")
  func once() {
    var consumer = Consumed.reading()
    #expect(consumer.askForWakeUp() == ["await 1"])
    #expect(consumer.send(.wakeUpDue(id: 1)) == ["wake"])
    #expect(consumer.send(.wakeUpDue(id: 1)) == [])
    #expect(consumer.send(.processorReturned) == [])
    #expect(consumer.send(.wakeUpDue(id: 1)) == [])
  }

  @Test("is woken for what it asked last, and not at all if it has taken that back")
  func replaced() {
    var consumer = Consumed.reading()
    _ = consumer.askForWakeUp()
    #expect(consumer.askForWakeUp() == ["await 2"])
    #expect(consumer.send(.wakeUpDue(id: 1)) == [])
    #expect(consumer.send(.wakeUpRequested(at: nil)) == ["cancelWakeUp"])
    #expect(consumer.send(.wakeUpDue(id: 2)) == [])
  }

  @Test("is woken after the call that it is in, before the next records")
  func afterCall() {
    var consumer = Consumed.processing(1...3)
    _ = consumer.page(4...5)
    _ = consumer.askForWakeUp()
    #expect(consumer.send(.wakeUpDue(id: 1)) == [])
    #expect(consumer.send(.processorReturned) == ["wake", "read"])
    #expect(consumer.page(6...7) == [], "no record is handed out meanwhile")
    #expect(consumer.send(.processorReturned) == ["handedOut 5", "process 4-5"])
  }

  @Test("is not woken any more once another call has made that superfluous, and asks again in that call")
  func askedAgainWhileDue() {
    var consumer = Consumed.processing(1...3)
    _ = consumer.askForWakeUp()
    _ = consumer.send(.wakeUpDue(id: 1))
    #expect(consumer.askForWakeUp() == ["await 2"])
    #expect(consumer.send(.processorReturned) == [])
    #expect(consumer.send(.wakeUpDue(id: 2)) == ["wake"])
  }

  @Test("is woken though its first batch has not come yet, if it asked when it was initialized")
  func whileInitializing() {
    var consumer = Consumed()
    _ = consumer.send(.started)
    _ = consumer.askForWakeUp()
    #expect(consumer.send(.wakeUpDue(id: 1)) == [])
    #expect(consumer.send(.processorReturned) == ["wake", "open TRIM_HORIZON"])
  }

  @Test("is called again after a pause if it throws, and is given no record before that")
  func fails() {
    var consumer = Stage.wakingUp.consumer
    #expect(consumer.page(1...3) == [])
    #expect(consumer.fail() == ["failed 1", "sleep"])
    #expect(consumer.wake() == ["wake", "read"])
    #expect(consumer.fail() == ["failed 2", "sleep"])
    #expect(consumer.wake() == ["wake"])
    #expect(consumer.send(.processorReturned) == ["handedOut 3", "process 1-3"])
  }

  @Test("is woken after the pause where a batch is to be tried again")
  func betweenAttempts() {
    var consumer = Consumed.processing(1...3)
    _ = consumer.askForWakeUp()
    _ = consumer.fail()
    _ = consumer.send(.position(.trimHorizon))
    #expect(consumer.send(.wakeUpDue(id: 1)) == [])
    #expect(consumer.wake() == ["wake"])
    #expect(consumer.send(.processorReturned) == ["handedOut 3", "process 1-3"])
    #expect(consumer.previousAttempts == 1)
  }

  @Test("is woken before records go to the dead-letter queue, whose checkpoint passes what it keeps")
  func beforeDeadLetters() {
    var consumer = Consumed.processing(1...3, policy: FailurePolicy(maximumAttempts: 1))
    _ = consumer.askForWakeUp()
    _ = consumer.fail(naming: 2)
    #expect(consumer.send(.position(.trimHorizon)) == ["handedOut 1", "failed 1", "wake"])
    #expect(consumer.fail() == ["failed 1", "sleep"])
    #expect(consumer.wake() == ["wake"])
    #expect(consumer.send(.processorReturned) == ["deadLetter 2 passing 2"])
    #expect(
      consumer.send(.written(.accepted)) == ["deadLettered 1", "handedOut 2", "handedOut 3", "process 3-3"]
    )
  }

  @Test("is not woken at the shard's end, but hears of the end")
  func shardEnd() {
    var consumer = Consumed.processing(1...3)
    _ = consumer.page(nil, isLast: true)
    _ = consumer.askForWakeUp()
    _ = consumer.send(.wakeUpDue(id: 1))
    #expect(consumer.send(.processorReturned) == ["shardEnd"])
    #expect(consumer.fail() == ["failed 1", "sleep"])
    #expect(consumer.wake() == ["shardEnd"])
    #expect(consumer.send(.processorReturned) == ["end with child"])
  }

  @Test("is asked to shut down instead of woken, and woken if the handoff is withdrawn in time")
  func handOff() {
    var consumer = Consumed.reading()
    _ = consumer.askForWakeUp()
    #expect(consumer.send(.handOffRequested) == ["shutdown"])
    #expect(consumer.send(.wakeUpDue(id: 1)) == [])
    #expect(consumer.send(.processorReturned) == ["transfer"])
    var withdrawn = Consumed.processing(1...3)
    _ = withdrawn.askForWakeUp()
    _ = withdrawn.send(.handOffRequested)
    #expect(withdrawn.send(.wakeUpDue(id: 1)) == [])
    _ = withdrawn.send(.handOffWithdrawn)
    #expect(withdrawn.send(.processorReturned).first == "wake")
  }

  @Test("is asked to shut down after a call that failed or returned, whichever")
  func handOffWhileWakingUp() {
    for fails in [true, false] {
      var consumer = Stage.wakingUp.consumer
      #expect(consumer.send(.handOffRequested) == [])
      #expect((fails ? consumer.fail() : consumer.send(.processorReturned)) == ["shutdown"])
    }
  }

  @Test("is not woken once the lease is lost, whatever is under way", arguments: Stage.allCases)
  func lost(stage: Stage) {
    var consumer = stage.consumer
    _ = consumer.askForWakeUp()
    _ = consumer.send(.leaseLost)
    for id in 1...2 { #expect(!consumer.send(.wakeUpDue(id: id)).contains("wake")) }
    #expect(!consumer.askForWakeUp().contains { $0.hasPrefix("await") })
    for event in [.processorReturned, .written(.leaseLost), .position(nil), .processorReturned]
      as [ShardConsumer.Event]
    {
      #expect(!consumer.send(event).contains("wake"))
    }
  }
}
