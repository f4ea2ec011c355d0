/// A call to the store of which one is under way at most; what is asked for meanwhile happens after it.
struct PendingCall {
  private(set) var isUnderWay = false
  private var isWanted = false

  /// Whether to make the call now.
  mutating func want() -> Bool {
    isWanted = isUnderWay
    defer { isUnderWay = true }
    return !isUnderWay
  }

  /// Whether to make it again at once.
  mutating func end(isWantedStill: Bool) -> Bool {
    isUnderWay = false
    defer { isWanted = false }
    return isWanted && isWantedStill && want()
  }

  /// Ends it, and forgets what was asked for meanwhile.
  mutating func abandon() {
    isUnderWay = false
    isWanted = false
  }
}
