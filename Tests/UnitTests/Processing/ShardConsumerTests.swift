import Testing
import TidemarkTestKit

@testable import Tidemark

@Suite("The consumer of a shard")
struct ShardConsumerTests {
  // MARK: The normal course

  @Test("it initializes, opens a reader, processes page after page, and ends the shard")
  func normalCourse() {
    var consumer = Consumed()
    #expect(consumer.send(.started) == ["initialize"])
    #expect(consumer.send(.processorReturned) == ["open TRIM_HORIZON"])
    #expect(consumer.send(.opened(after: .trimHorizon)) == ["read"])
    #expect(consumer.page(1...3) == ["handedOut 3", "process 1-3", "read"])
    #expect(consumer.send(.processorReturned) == [])
    #expect(consumer.page(4...5, isLast: true) == ["handedOut 5", "process 4-5"])
    #expect(consumer.send(.processorReturned) == ["shardEnd"])
    #expect(consumer.send(.processorReturned) == ["end with child"])
    #expect(consumer.send(.written(.accepted)) == ["finish ended"])
  }

  @Test(
    "an end that may leave children out says so: in a merge, or where the source has named none",
    arguments: [[Shard(id: "merged", parentIDs: ["a", "b"])], []]
  )
  func endAmongUnknown(children: [Shard]) {
    var consumer = Consumed()
    _ = consumer.send(.started)
    _ = consumer.send(.processorReturned)
    _ = consumer.send(.opened(after: .trimHorizon))
    #expect(consumer.page(nil, isLast: true, children: children) == ["shardEnd"])
    _ = consumer.send(.processorReturned)
    #expect(consumer.send(.written(.accepted)) == ["finish endedAmongUnknown"])
  }

  @Test("a last page without records ends the shard as well")
  func emptyLastPage() {
    var consumer = Consumed.reading()
    #expect(consumer.page(nil, isLast: true) == ["shardEnd"])
    #expect(consumer.send(.processorReturned) == ["end with child"])
  }

  @Test("an empty page is followed by the next read")
  func emptyPage() {
    var consumer = Consumed.reading()
    #expect(consumer.page(nil) == ["read"])
    #expect(consumer.page(nil) == ["read"])
  }

  @Test("one page is read ahead while the processor works, no more")
  func readAhead() {
    var consumer = Consumed.processing(1...3)
    #expect(consumer.page(4...5) == [])
    #expect(consumer.send(.processorReturned) == ["handedOut 5", "process 4-5", "read"])
  }

  @Test("reading goes on where the lease's checkpoint stands, or where the reader says that it begins")
  func positions() {
    var consumer = Consumed(checkpoint: .record(7))
    _ = consumer.send(.started)
    #expect(consumer.send(.processorReturned) == ["open 7"])
    _ = consumer.send(.opened(after: .record(7)))
    _ = consumer.page(8...9)
    #expect(consumer.send(.readFailed(.init(.iteratorExpired, ""))) == ["open 9"])
    var latest = Consumed(checkpoint: .latest)
    _ = latest.send(.started)
    #expect(latest.send(.processorReturned) == ["open LATEST"])
    #expect(latest.send(.opened(after: .record(20))) == ["keep 20"])
    #expect(latest.send(.written(.accepted)) == ["read"])
    #expect(latest.send(.readFailed(.init(.iteratorExpired, ""))) == ["open 20"])
  }

  @Test("initializing that fails is tried again, after pauses that grow")
  func initializeFails() {
    var consumer = Consumed()
    _ = consumer.send(.started)
    #expect(consumer.fail() == ["failed 1", "sleep"])
    #expect((.milliseconds(80)...(.milliseconds(100))).contains(consumer.pause))
    #expect(consumer.wake() == ["initialize"])
    #expect(consumer.fail() == ["failed 2", "sleep"])
    #expect((.milliseconds(160)...(.milliseconds(200))).contains(consumer.pause))
    #expect(consumer.wake() == ["initialize"])
    #expect(consumer.send(.processorReturned) == ["open TRIM_HORIZON"])
  }

  @Test("a shard's end that fails is tried again, and the shard is not ended before")
  func shardEndFails() {
    var consumer = Consumed.reading()
    _ = consumer.page(nil, isLast: true)
    #expect(consumer.fail() == ["failed 1", "sleep"])
    #expect(consumer.wake() == ["shardEnd"])
    #expect(consumer.send(.processorReturned) == ["end with child"])
  }

  @Test(
    "the place that LATEST was is kept before the lease is handed off, and not under a lease that is lost"
  )
  func placeOfLatest() {
    var consumer = Stage.openingAtLatest.consumer
    #expect(consumer.send(.handOffRequested) == ["shutdown"])
    #expect(consumer.send(.opened(after: .record(20))) == [])
    #expect(consumer.send(.processorReturned) == ["keep 20"])
    #expect(consumer.send(.handOffWithdrawn) == [], "too late")
    #expect(consumer.send(.written(.accepted)) == ["transfer"])
    var refused = Stage.keepingPlace.consumer
    #expect(refused.send(.written(.leaseLost)) == ["leaseLost"])
    var lost = Stage.keepingPlace.consumer
    #expect(lost.send(.leaseLost) == [])
    #expect(lost.send(.written(.accepted)) == ["leaseLost"])
  }

  // MARK: Handoff

  /// What is under way when something comes in between.
  enum Stage: CaseIterable {
    case initializing, pausingBeforeInitialize, opening, openingAtLatest, keepingPlace, reading, processing
    case findingPosition, pausing, awaitingTrust
    case deadLettering, wakingUp, shuttingDown, handlingShardEnd, endingShard, transferring, stopping

    var consumer: Consumed {
      switch self {
      case .initializing, .pausingBeforeInitialize, .opening:
        var consumer = Consumed()
        _ = consumer.send(.started)
        if self == .opening { _ = consumer.send(.processorReturned) }
        if self == .pausingBeforeInitialize { _ = consumer.fail() }
        return consumer
      case .openingAtLatest, .keepingPlace:
        var consumer = Consumed(checkpoint: .latest)
        _ = consumer.send(.started)
        _ = consumer.send(.processorReturned)
        if self == .keepingPlace { _ = consumer.send(.opened(after: .record(20))) }
        return consumer
      case .reading: return .reading()
      case .processing: return .processing(1...3)
      case .findingPosition, .pausing:
        var consumer = Consumed.processing(1...3)
        _ = consumer.fail()
        if self == .pausing { _ = consumer.send(.position(.trimHorizon)) }
        return consumer
      case .awaitingTrust:
        var consumer = Consumed.processing(1...3)
        _ = consumer.send(.withheld)
        return consumer
      case .deadLettering, .stopping:
        let policy = FailurePolicy(maximumAttempts: 1, whenExhausted: self == .stopping ? .stop : .deadLetter)
        var consumer = Consumed.processing(1...3, policy: policy)
        _ = consumer.fail()
        _ = consumer.send(.position(.trimHorizon))
        return consumer
      case .wakingUp:
        var consumer = Consumed.reading()
        _ = consumer.askForWakeUp()
        _ = consumer.send(.wakeUpDue(id: 1))
        return consumer
      case .shuttingDown, .transferring:
        var consumer = Consumed.reading()
        _ = consumer.send(.handOffRequested)
        if self == .transferring { _ = consumer.send(.processorReturned) }
        return consumer
      case .handlingShardEnd, .endingShard:
        var consumer = Consumed.reading()
        _ = consumer.page(nil, isLast: true)
        if self == .endingShard { _ = consumer.send(.processorReturned) }
        return consumer
      }
    }
  }

  @Test(
    "a handoff is begun at once where nothing is under way but a read or a pause",
    arguments: [Stage.opening, .reading, .pausing, .awaitingTrust]
  )
  func handOffAtOnce(stage: Stage) {
    var consumer = stage.consumer
    #expect(consumer.send(.handOffRequested) == ["shutdown"])
    #expect(consumer.send(.handOffRequested) == [])
    #expect(consumer.wake() == [], "the pause is over")
    #expect(consumer.send(.opened(after: .trimHorizon)) == [])
    #expect(consumer.page(4...5) == [], "what is read now is the next owner's")
    #expect(consumer.send(.processorReturned) == ["transfer"])
    #expect(consumer.send(.written(.accepted)) == ["finish handedOff"])
  }

  @Test("a handoff waits for the batch under way, and goes before the next")
  func handOffWhileProcessing() {
    var consumer = Consumed.processing(1...3)
    _ = consumer.page(4...5)
    #expect(consumer.send(.handOffRequested) == [])
    #expect(consumer.send(.processorReturned) == ["shutdown"])
  }

  @Test("a batch that fails meanwhile is left to the next owner, without a pause")
  func handOffWhileFailing() {
    var consumer = Consumed.processing(1...3)
    #expect(consumer.send(.handOffRequested) == [])
    #expect(consumer.fail() == ["find"])
    #expect(consumer.send(.position(.record(1))) == ["handedOut 1", "failed 1", "shutdown"])
  }

  @Test("a handoff waits for dead letters to be written")
  func handOffWhileDeadLettering() {
    var consumer = Stage.deadLettering.consumer
    #expect(consumer.send(.handOffRequested) == [])
    #expect(consumer.send(.written(.accepted)) == ["deadLettered 3", "handedOut 3", "shutdown"])
  }

  @Test("a processor that was never initialized is not asked to shut down")
  func handOffWhileInitializing() {
    var failing = Stage.initializing.consumer
    #expect(failing.send(.handOffRequested) == [])
    #expect(failing.fail() == ["transfer"])
    var pausing = Stage.pausingBeforeInitialize.consumer
    #expect(pausing.send(.handOffRequested) == ["transfer"])
    var succeeding = Stage.initializing.consumer
    _ = succeeding.send(.handOffRequested)
    #expect(succeeding.send(.processorReturned) == ["shutdown"])
  }

  @Test("a shard that is ending is ended, not handed off; if its processor refuses the end, it is handed off")
  func handOffWhileEnding() {
    var ending = Stage.endingShard.consumer
    #expect(ending.send(.handOffRequested) == [])
    #expect(ending.send(.written(.accepted)) == ["finish ended"])
    var returning = Stage.handlingShardEnd.consumer
    #expect(returning.send(.handOffRequested) == [])
    #expect(returning.send(.processorReturned) == ["end with child"])
    var failing = Stage.handlingShardEnd.consumer
    _ = failing.send(.handOffRequested)
    #expect(failing.fail() == ["shutdown"])
  }

  @Test("a processor that throws when it is asked to shut down does not hold up the handoff")
  func shutdownFails() {
    var consumer = Stage.shuttingDown.consumer
    #expect(consumer.fail() == ["failed 1", "transfer"])
  }

  @Test("a handoff that is withdrawn in time never happens, and reading goes on")
  func withdrawn() {
    var consumer = Consumed.processing(1...3)
    _ = consumer.send(.handOffRequested)
    #expect(consumer.page(nil) == [], "no further read")
    #expect(consumer.send(.handOffWithdrawn) == [])
    #expect(consumer.send(.processorReturned) == ["read"])
  }

  @Test("a handoff that is withdrawn too late happens", arguments: [Stage.shuttingDown, .transferring])
  func withdrawnLate(stage: Stage) {
    var consumer = stage.consumer
    #expect(consumer.send(.handOffWithdrawn) == [])
    if stage == .shuttingDown { #expect(consumer.send(.processorReturned) == ["transfer"]) }
    #expect(consumer.send(.written(.accepted)) == ["finish handedOff"])
  }

  // MARK: A lost lease

  @Test(
    "a lost lease is reported at once where nothing is under way but a read or a pause",
    arguments: [Stage.opening, .reading, .pausing, .awaitingTrust]
  )
  func lostAtOnce(stage: Stage) {
    var consumer = stage.consumer
    #expect(consumer.send(.leaseLost) == ["leaseLost"])
    #expect(consumer.send(.leaseLost) == [])
    #expect(consumer.wake() == [])
    #expect(consumer.send(.opened(after: .trimHorizon)) == [])
    #expect(consumer.page(4...5) == [])
    #expect(consumer.send(.readFailed(.init(.sourceUnavailable, ""))) == [])
    #expect(consumer.send(.processorReturned) == ["finish lost"])
  }

  @Test(
    "a lost lease cancels the processor's call, whichever it is in, and is reported when that has ended",
    arguments: [Stage.processing, .wakingUp, .shuttingDown, .handlingShardEnd],
    [true, false]
  )
  func lostInCall(stage: Stage, fails: Bool) {
    var consumer = stage.consumer
    #expect(consumer.send(.leaseLost) == ["cancel"])
    #expect(consumer.send(.leaseLost) == [])
    let answer = fails ? consumer.fail() : consumer.send(.processorReturned)
    #expect(answer.last == "leaseLost")
    #expect(consumer.send(.processorReturned) == ["finish lost"])
  }

  @Test("a processor that was never initialized does not hear of the loss")
  func lostWhileInitializing() {
    var failing = Stage.initializing.consumer
    #expect(failing.send(.leaseLost) == ["cancel"])
    #expect(failing.fail() == ["finish lost"])
    var pausing = Stage.pausingBeforeInitialize.consumer
    #expect(pausing.send(.leaseLost) == ["finish lost"])
    var succeeding = Stage.initializing.consumer
    _ = succeeding.send(.leaseLost)
    #expect(succeeding.send(.processorReturned) == ["leaseLost"])
  }

  @Test("a lease that is lost while the store is asked how far it got is not retried")
  func lostWhileFindingPosition() {
    var consumer = Stage.findingPosition.consumer
    #expect(consumer.send(.leaseLost) == [])
    #expect(consumer.send(.position(.trimHorizon)) == ["leaseLost"])
    var told = Stage.findingPosition.consumer
    #expect(told.send(.position(nil)) == ["leaseLost"], "the store's answer is how it is known")
  }

  @Test(
    "the consumer waits for a write that is under way, and what it did is the outcome",
    arguments: zip(
      [Stage.endingShard, .transferring, .stopping],
      ["finish ended", "finish handedOff", "finish stopped"]
    )
  )
  func lostWhileWriting(stage: Stage, outcome: String) {
    var accepted = stage.consumer
    #expect(accepted.send(.leaseLost) == [])
    #expect(accepted.send(.written(.accepted)) == [outcome])
    var refused = stage.consumer
    #expect(refused.send(.written(.leaseLost)) == ["leaseLost"])
    #expect(refused.send(.processorReturned) == ["finish lost"])
    var abandoned = stage.consumer
    #expect(abandoned.send(.writeAbandoned) == ["leaseLost"])
  }

  @Test("dead letters that were written before the loss are reported")
  func lostWhileDeadLettering() {
    var consumer = Stage.deadLettering.consumer
    #expect(consumer.send(.leaseLost) == [])
    #expect(consumer.send(.written(.accepted)) == ["deadLettered 3", "handedOut 3", "leaseLost"])
  }

  // MARK: Trust

  @Test("what is withheld for want of trust is handed out once there is trust, and counts as no attempt")
  func withheld() {
    var consumer = Consumed.processing(1...3)
    #expect(consumer.send(.withheld) == ["handedOut TRIM_HORIZON", "awaitTrust"])
    #expect(consumer.page(4...5) == [])
    #expect(consumer.wake() == ["handedOut 3", "process 1-3"])
    #expect(consumer.previousAttempts == 0)
    #expect(consumer.send(.withheld) == ["handedOut TRIM_HORIZON", "awaitTrust"], "it was gone again")
    #expect(consumer.wake() == ["handedOut 3", "process 1-3"])
    #expect(consumer.send(.processorReturned) == ["handedOut 5", "process 4-5", "read"])
    #expect(consumer.send(.withheld) == ["handedOut 3", "awaitTrust"])
  }

  @Test("a wake-up that is withheld for want of trust is made once there is trust, if no other was asked for")
  func withheldWakeUp() {
    var consumer = Stage.wakingUp.consumer
    #expect(consumer.send(.withheld) == ["handedOut TRIM_HORIZON", "awaitTrust"])
    #expect(consumer.wake() == ["wake"])
    _ = consumer.askForWakeUp()
    _ = consumer.send(.withheld)
    #expect(consumer.wake() == [])
    #expect(consumer.send(.wakeUpDue(id: 2)) == ["wake"])
  }

  @Test("a handoff that was asked for and a lease that is lost go before what was withheld")
  func withheldTooLate() {
    var handedOff = Consumed.processing(1...3)
    #expect(handedOff.send(.handOffRequested) == [])
    #expect(handedOff.send(.withheld) == ["handedOut TRIM_HORIZON", "shutdown"])
    var lost = Consumed.processing(1...3)
    #expect(lost.send(.leaseLost) == ["cancel"])
    #expect(lost.send(.withheld) == ["handedOut TRIM_HORIZON", "leaseLost"])
  }

  // MARK: Late and doubled events

  @Test("answers that nothing asked for are ignored", arguments: Stage.allCases)
  func unasked(stage: Stage) {
    var consumer = stage.consumer
    #expect(consumer.send(.pauseEnded(id: 999)) == [])
    #expect(consumer.send(.wakeUpDue(id: 999)) == [])
    #expect(consumer.send(.started) == [])
    if stage != .findingPosition { #expect(consumer.send(.position(.record(2))) == []) }
    if ![Stage.keepingPlace, .deadLettering, .endingShard, .transferring, .stopping].contains(stage) {
      #expect(consumer.send(.written(.accepted)) == [])
      #expect(consumer.send(.written(.leaseLost)) == [])
      #expect(consumer.send(.writeAbandoned) == [])
    }
    if ![Stage.processing, .wakingUp].contains(stage) { #expect(consumer.send(.withheld) == []) }
    if [Stage.opening, .reading, .findingPosition, .pausing, .awaitingTrust, .deadLettering, .endingShard]
      .contains(stage)
    {
      #expect(consumer.send(.processorReturned) == [])
      #expect(consumer.fail() == [])
    }
  }

  @Test("after the end nothing is done any more", arguments: [Stage.endingShard, .transferring, .stopping])
  func afterTheEnd(stage: Stage) {
    var consumer = stage.consumer
    #expect(consumer.send(.written(.accepted)).first?.hasPrefix("finish") == true)
    let late: [ShardConsumer.Event] = [
      .started, .handOffRequested, .handOffWithdrawn, .leaseLost, .opened(after: .trimHorizon),
      .readFailed(TidemarkError(.throttled, "")), .processorReturned, .position(nil), .written(.accepted),
      .writeAbandoned, .wakeUpDue(id: 1),
    ]
    for event in late { #expect(consumer.send(event) == []) }
    #expect(consumer.page(nil) == [])
    #expect(consumer.fail() == [])
  }

  // MARK: Reading that fails

  @Test("a source that does not answer is asked again after pauses that grow until there is a page")
  func sourceUnavailable() {
    var consumer = Consumed.reading()
    var pauses: [Duration] = []
    for _ in 1...5 {
      #expect(
        consumer.send(.readFailed(.init(.throttled, ""))) == ["readFailed throttled", "open TRIM_HORIZON"]
      )
      pauses.append(consumer.pause)
      #expect(consumer.send(.opened(after: .trimHorizon)) == ["read"], "opening says nothing about reading")
    }
    for (earlier, later) in zip(pauses, pauses.dropFirst()) { #expect(later > earlier * 1.5) }
    _ = consumer.page(nil)
    _ = consumer.send(.readFailed(.init(.throttled, "")))
    #expect(consumer.pause <= .milliseconds(100))
  }

  @Test("an expired iterator is replaced at once; one that expires again unread is a failure")
  func iteratorExpired() {
    let expired = TidemarkError(.iteratorExpired, "")
    var consumer = Consumed.reading()
    #expect(consumer.send(.readFailed(expired)) == ["open TRIM_HORIZON"])
    #expect(consumer.pause == .zero)
    _ = consumer.send(.opened(after: .trimHorizon))
    #expect(consumer.send(.readFailed(expired)) == ["readFailed iteratorExpired", "open TRIM_HORIZON"])
    #expect(consumer.pause > .zero)
    _ = consumer.send(.opened(after: .trimHorizon))
    _ = consumer.page(nil)
    #expect(consumer.send(.readFailed(expired)) == ["open TRIM_HORIZON"])
  }

  @Test("trimmed records stop the shard, once what was read before is handled")
  func trimmed() {
    var consumer = Consumed.processing(1...3)
    #expect(consumer.send(.readFailed(.init(.recordsTrimmed, "gone"))) == ["trimmed after 3"])
    #expect(consumer.send(.processorReturned) == ["stop gone"])
    #expect(consumer.send(.written(.accepted)) == ["finish stopped"])
  }

  @Test("trimmed records are skipped, and reported, if the policy says so")
  func skipsToHorizon() {
    var consumer = Consumed.reading(trimmedData: .skipToHorizon)
    #expect(
      consumer.send(.readFailed(.init(.recordsTrimmed, "")))
        == ["trimmed after TRIM_HORIZON", "open TRIM_HORIZON"]
    )
    #expect(consumer.send(.opened(after: .trimHorizon)) == ["read"])
  }

  @Test("a shard that is gone stops, or is skipped to its end, as the policy says")
  func shardGone() {
    var stopping = Consumed.reading()
    #expect(
      stopping.send(.readFailed(.init(.shardNotFound, "gone"))) == [
        "trimmed after TRIM_HORIZON", "stop gone",
      ]
    )
    var skipping = Consumed.reading(trimmedData: .skipToHorizon)
    #expect(
      skipping.send(.readFailed(.init(.shardNotFound, ""))) == ["trimmed after TRIM_HORIZON", "shardEnd"]
    )
    #expect(skipping.send(.processorReturned) == ["end with "])
  }

  // MARK: Processing that fails

  @Test("a batch that fails is given again from the first record that is not checkpointed")
  func retry() {
    var consumer = Consumed.processing(1...3)
    #expect(consumer.fail() == ["find"])
    #expect(consumer.send(.position(.record(1))) == ["handedOut 1", "failed 1", "sleep"])
    #expect((.milliseconds(80)...(.milliseconds(100))).contains(consumer.pause))
    #expect(consumer.wake() == ["handedOut 3", "process 2-3"])
    #expect(consumer.previousAttempts == 1)
    #expect(consumer.fail() == ["find"])
    #expect(consumer.send(.position(.record(1))) == ["handedOut 1", "failed 2", "sleep"])
    #expect((.milliseconds(160)...(.milliseconds(200))).contains(consumer.pause))
    _ = consumer.wake()
    #expect(consumer.previousAttempts == 2)
    _ = consumer.fail()
    #expect(
      consumer.send(.position(.record(2))) == ["handedOut 2", "failed 1", "sleep"],
      "another first record"
    )
  }

  @Test("a batch that was checkpointed whole is handled, whatever was thrown after")
  func failsAfterCheckpoint() {
    var consumer = Consumed.processing(1...3)
    _ = consumer.page(4...5)
    _ = consumer.fail()
    #expect(
      consumer.send(.position(.record(3))) == [
        "handedOut 3", "failed 1", "handedOut 5", "process 4-5", "read",
      ]
    )
    #expect(consumer.previousAttempts == 0)
  }

  @Test("a batch that has exhausted its attempts goes to the dead-letter queue, and the next is processed")
  func exhausted() {
    var consumer = Consumed.processing(1...3, policy: FailurePolicy(maximumAttempts: 2))
    _ = consumer.page(4...5)
    _ = consumer.fail()
    _ = consumer.send(.position(.trimHorizon))
    _ = consumer.wake()
    _ = consumer.fail()
    #expect(
      consumer.send(.position(.trimHorizon))
        == ["handedOut TRIM_HORIZON", "failed 2", "deadLetter 1 2 3 passing 3"]
    )
    #expect(
      consumer.send(.written(.accepted))
        == ["deadLettered 3", "handedOut 3", "handedOut 5", "process 4-5", "read"]
    )
  }

  @Test("of a failure that names its record only that record is counted and given up")
  func named() {
    var consumer = Consumed.processing(1...3, policy: FailurePolicy(maximumAttempts: 2))
    #expect(consumer.fail(naming: 2) == ["find"])
    #expect(consumer.send(.position(.trimHorizon)) == ["handedOut 1", "failed 1", "sleep"])
    #expect(consumer.wake() == ["handedOut 3", "process 2-3"])
    _ = consumer.fail(naming: 2)
    #expect(consumer.send(.position(.record(1))) == ["handedOut 1", "failed 2", "deadLetter 2 passing 2"])
    #expect(
      consumer.send(.written(.accepted)) == ["deadLettered 1", "handedOut 2", "handedOut 3", "process 3-3"]
    )
  }

  @Test("halving finds the record that fails, without counting attempts on the way, and batches grow again")
  func bisect() {
    let policy = FailurePolicy(maximumAttempts: 1, bisectsBatch: true)
    var consumer = Consumed.processing(1...8, policy: policy)
    var course: [String] = []
    var actions = ["process 1-8"]
    while let batch = actions.first(where: { $0.hasPrefix("process") }) {
      course.append(batch)
      let ends = batch.dropFirst("process ".count).split(separator: "-").compactMap { UInt64($0) }
      if !(ends[0]...ends[1]).contains(3) {
        actions = consumer.send(.processorReturned)
        continue
      }
      _ = consumer.fail()
      actions = consumer.send(.position(ends[0] == 1 ? .trimHorizon : .record(.init(ends[0] - 1))))
      if actions.contains("sleep") { actions = consumer.wake() }
      if actions.contains("deadLetter 3 passing 3") { actions = consumer.send(.written(.accepted)) }
    }
    #expect(
      course == [
        "process 1-8", "process 1-4", "process 1-2", "process 3-6", "process 3-4", "process 3-3",
        "process 4-8",
      ]
    )
  }

  @Test("a named failure is not halved")
  func namedIsNotHalved() {
    var consumer = Consumed.processing(1...8, policy: FailurePolicy(bisectsBatch: true))
    _ = consumer.fail(naming: 3)
    _ = consumer.send(.position(.trimHorizon))
    #expect(consumer.wake() == ["handedOut 8", "process 3-8"])
    #expect(consumer.previousAttempts == 1)
  }

  @Test("with the policy to stop, an exhausted record stops the shard and says why")
  func stops() {
    var consumer = Consumed.processing(1...3, policy: FailurePolicy(maximumAttempts: 1, whenExhausted: .stop))
    _ = consumer.fail(naming: 2)
    #expect(
      consumer.send(.position(.trimHorizon)) == [
        "handedOut 1", "failed 1", "stop record 2 failed 1 times: Failed()",
      ]
    )
    #expect(consumer.send(.written(.accepted)) == ["finish stopped"])
  }

  @Test("a record's age counts from its creation by the source's clock, and on from when it was read")
  func age() {
    let policy = FailurePolicy(maximumRecordAge: .seconds(5))
    for (ageWhenRead, later, isExhausted) in [(6, 0, true), (4, 0, false), (4, 2, true), (nil, 60, false)]
      as [(Int?, Int, Bool)]
    {
      var consumer = Consumed.reading(policy: policy)
      _ = consumer.page(1...3, ageWhenRead: ageWhenRead)
      _ = consumer.fail(after: .seconds(later))
      let actions = consumer.send(.position(.trimHorizon))
      #expect(actions.contains("deadLetter 1 2 3 passing 3") == isExhausted, "\(actions)")
    }
  }

  @Test("without a limit a record is tried for ever")
  func unlimited() {
    var consumer = Consumed.processing(1...1)
    for attempt in 1...50 {
      _ = consumer.fail()
      #expect(
        consumer.send(.position(.trimHorizon)) == ["handedOut TRIM_HORIZON", "failed \(attempt)", "sleep"]
      )
      #expect(consumer.pause <= .seconds(30))
      #expect(consumer.wake() == ["handedOut 1", "process 1-1"])
    }
  }
}

/// A consumer and what it asked for last.
struct Consumed {
  private struct Failed: Error {}

  /// Of the last sleep, or before the last read.
  private(set) var pause: Duration = .zero
  private(set) var previousAttempts = 0
  private var pauseID = 0
  private let now = ContinuousClock.now
  private var machine: ShardConsumer

  init(
    checkpoint: Checkpoint = .trimHorizon,
    policy: FailurePolicy = FailurePolicy(),
    trimmedData: TrimmedDataPolicy = .stop,
    stall: WorkerConfiguration.Stall = .none
  ) {
    machine = ShardConsumer(
      lease: Lease(shardID: "shard", checkpoint: checkpoint),
      policy: policy,
      trimmedData: trimmedData,
      stall: stall,
      random: SharedRandom()
    )
  }

  /// Initialized, with a read under way.
  static func reading(
    policy: FailurePolicy = FailurePolicy(),
    trimmedData: TrimmedDataPolicy = .stop
  ) -> Consumed {
    var consumer = Consumed(policy: policy, trimmedData: trimmedData)
    _ = consumer.send(.started)
    _ = consumer.send(.processorReturned)
    _ = consumer.send(.opened(after: .trimHorizon))
    return consumer
  }

  /// With a page in the processor and another read under way.
  static func processing(_ numbers: ClosedRange<UInt64>, policy: FailurePolicy = FailurePolicy()) -> Consumed
  {
    var consumer = reading(policy: policy)
    _ = consumer.page(numbers)
    return consumer
  }

  mutating func send(_ event: ShardConsumer.Event) -> [String] {
    machine.handle(event).map { action in
      switch action {
      case .open(_, let pause): self.pause = pause
      case .watch(let duration): pause = duration
      case .sleep(let duration, let id): (pause, pauseID) = (duration, id)
      case .awaitTrust(let id): pauseID = id
      case .process(let batch): previousAttempts = batch.previousAttempts
      default: break
      }
      return action.summary
    }
  }

  /// The processor asks to be woken.
  mutating func askForWakeUp() -> [String] { send(.wakeUpRequested(at: now)) }

  /// Ends the last pause.
  mutating func wake() -> [String] { send(.pauseEnded(id: pauseID)) }

  mutating func fail(naming number: UInt64? = nil, after delay: Duration = .zero) -> [String] {
    let error = number.map { RecordFailure(Self.record($0), underlying: Failed()) as any Error } ?? Failed()
    return send(.processorFailed(error, at: now + delay))
  }

  /// - Parameter ageWhenRead: in seconds; `nil` from a source that does not tell the time.
  mutating func page(
    _ numbers: ClosedRange<UInt64>?,
    ageWhenRead: Int? = 0,
    isLast: Bool = false,
    children: [Shard] = [Shard(id: "child")]
  ) -> [String] {
    let page = ShardPage(
      records: numbers.map { $0.map(Self.record) } ?? [],
      readAt: ageWhenRead.map { Timestamp(millisecondsSinceEpoch: Int64($0) * 1000) },
      end: isLast ? ShardPage.End(children: children) : nil
    )
    return send(.page(page, at: now))
  }

  private static func record(_ number: UInt64) -> Record {
    Record(
      sequenceNumber: SequenceNumber(number),
      partitionKey: "item",
      approximateCreationTime: Timestamp(millisecondsSinceEpoch: 0),
      body: .data([])
    )
  }
}

extension WorkerConfiguration.Stall {
  /// Watches nothing.
  static var none: Self {
    var stall = Self()
    stall.timeout = nil
    return stall
  }
}

extension ShardConsumer.Action {
  fileprivate var summary: String {
    switch self {
    case .initialize: "initialize"
    case .process(let batch):
      "process \(batch.first?.checkpoint.description ?? "")-\(batch.last?.checkpoint.description ?? "")"
    case .requestShutdown: "shutdown"
    case .handleShardEnd: "shardEnd"
    case .notifyLeaseLost: "leaseLost"
    case .cancelProcessor: "cancel"
    case .setHandedOut(let checkpoint): "handedOut \(checkpoint)"
    case .wakeProcessor: "wake"
    case .keepPlace(let place): "keep \(place)"
    case .awaitWakeUp(_, let id): "await \(id)"
    case .cancelWakeUp: "cancelWakeUp"
    case .open(let position, _): "open \(position)"
    case .read: "read"
    case .findPosition: "find"
    case .sleep: "sleep"
    case .awaitTrust: "awaitTrust"
    case .deadLetter(let letters, let checkpoint):
      "deadLetter \(letters.map(\.record.checkpoint.description).joined(separator: " ")) passing \(checkpoint)"
    case .endShard(let children): "end with \(children.map(\.id).joined(separator: " "))"
    case .transfer: "transfer"
    case .stop(let reason): "stop \(reason)"
    case .report(.failed(_, let attempt, _)): "failed \(attempt)"
    case .report(.readFailed(let error, _)): "readFailed \(error.code)"
    case .report(.trimmed(_, let position)): "trimmed after \(position)"
    case .report(.lost(let loss)): "lost \(loss.after) to \(loss.through)"
    case .report(.deadLettered(let letters)): "deadLettered \(letters.count)"
    case .watch: "watch"
    case .giveAway: "giveAway"
    case .report(.stalled(let call)): "stalled in \(call)"
    case .finish(let outcome): "finish \(outcome)"
    }
  }
}
