import Synchronization

/// The latest history that a worker has heard of.
///
/// An answer that is late, or was never given, makes it an older one: an end that was read then is refused and is read
/// again, no more.
final class ToldHistory: Sendable {
  private let latest = Mutex<Int64>(0)

  var number: Int64 { latest.withLock { $0 } }

  func note(_ history: LeaseHistory) {
    latest.withLock { $0 = max($0, history.number) }
  }
}
