/// What can happen to a fleet in a drill.
package enum DrillScenario: String, CaseIterable, Sendable {
  /// A worker is killed with SIGKILL.
  case kill
  /// A worker's host is cut off the network, without a word to anybody.
  case vanish
  /// One more worker joins a fleet at work.
  case join
  /// A worker is asked to leave with SIGTERM.
  case drain
  /// A whole fleet starts on a stream that nobody has read yet.
  case start
  /// A worker is stopped with SIGSTOP past its failover time, and goes on.
  case stale

  /// Why it cannot be played here, as half a sentence; `nil` if it can.
  package var obstacle: String? { self == .vanish ? DrillNetwork.obstacle() : nil }
}
