import Synchronization

/// A random number generator that many tasks draw from. Its source is passed in, so that a seed decides
/// everything that is random in a worker.
public struct SharedRandom: RandomNumberGenerator, Sendable {
  private final class Box: Sendable {
    let generator: Mutex<any RandomNumberGenerator & Sendable>

    init(_ generator: any RandomNumberGenerator & Sendable) {
      self.generator = Mutex(generator)
    }
  }

  private let box: Box

  public init(_ generator: any RandomNumberGenerator & Sendable = SystemRandomNumberGenerator()) {
    box = Box(generator)
  }

  public func next() -> UInt64 {
    box.generator.withLock { $0.next() }
  }
}
