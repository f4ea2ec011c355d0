/// What can go wrong in a simulation. Each seed draws which of these may happen at all, so that some runs are
/// thick with one kind and free of another.
enum FaultKind: String, CaseIterable, Sendable {
  // Processes
  case crash, vanish, pause, clockDrift, bulkJoin, bulkLeave, mixedConfigurations
  // The lease store
  case requestLost, replyLost, replyDoubled, callRefused, callSlow, planPaused
  case connectionCut, storeOutage, storeRestart, storePromotion, storeLosesTail
  case hintLost, hintDoubled, hintLate
  // The stream
  case shardsStale, shardsReordered, shardsIncomplete, split, merge, rotate, trim, removal, streamLosesTail
  case streamVanishes, streamDisabled, catalogShort, catalogFails, mixedStreams
  case iteratorExpired, throttled, sourceUnavailable, pageEmpty, pageShort
  // Processors and operators
  case processorThrows, processorHangs, processorIgnoresCancellation, processorSlow, poison, reset
}
