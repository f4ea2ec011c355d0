/// The rare branches of the protocol that a run should have gone through. One that no seed of many reaches says
/// that the simulation proves nothing about it.
enum Mark: String, CaseIterable, Sendable {
  case takeoverByLostSession, takeoverByOldHeartbeat, takeoverRefusedAfterRestart
  case deadWorkerCameBack, deadPlannerRefused, planWasBusy, planTookTooLong, planSkippedChangedLease
  case unknownOutcomeWasDone, unknownOutcomeWasNotDone, repeatedWriteRecognised
  case staleWriteRefused, checkpointBackRefused
  case handedOff, givenUpToNobody, handoffDeadlinePassed, handoffToDeadCleared
  case childWaitedForSecondParent, childAtParentsOwner, endedLeaseDeleted, oldShardAddedLate
  case recordsBeyondLostLease, outageOutlasted
  case recordRetried, recordDeadLettered, shardStopped, shardReset, trimmedSkipped
  case latestPlaceKept, pendingCheckpointInherited, drainTookTooLong, capHeldLeaseBack
  case snapshotCompleted, streamTailLost
  case commitStoredAlone, appendRefused, disablingCutShort
  case stalledLeaseGivenAway, unownedShardRefused
  case streamsServedAnew, streamLetGo, streamUnserved
  case wokenUp, wokenUpAgain, wokenUpBeforeDeadLetters
  case tailLost, tailLostTwice, recordsLost, lossReported
}
