/// How long something has been kept waiting, and whether it is time to say so.
package struct LongWait: Sendable {
  /// How long something may take before that is reported.
  static let patience = Duration.seconds(5)
  private static let repetition = Duration.seconds(30)

  private var due: ContinuousClock.Instant?
  private var lastLook: ContinuousClock.Instant?

  package init() {}

  /// To be called at every look. One that comes long after the last has nothing to do with it.
  ///
  /// - Parameter waits: whether it waits, and has made no progress since the last look.
  /// - Returns: whether to say so: after a while, and then from time to time.
  package mutating func isDue(waits: Bool, at now: ContinuousClock.Instant) -> Bool {
    let isNew = lastLook.map { $0.duration(to: now) > Self.patience } ?? true
    lastLook = now
    guard waits, !isNew, let due else {
      due = waits ? now.advanced(by: Self.patience) : nil
      return false
    }
    if now < due { return false }
    self.due = now.advanced(by: Self.repetition)
    return true
  }
}
