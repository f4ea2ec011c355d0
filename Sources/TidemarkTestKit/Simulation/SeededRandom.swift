/// A random number generator whose numbers are decided by a seed: SplitMix64.
package struct SeededRandom: RandomNumberGenerator, Sendable {
  private var state: UInt64

  package init(seed: UInt64) {
    state = seed
  }

  package mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var mixed = state
    mixed = (mixed ^ mixed >> 30) &* 0xbf58_476d_1ce4_e5b9
    mixed = (mixed ^ mixed >> 27) &* 0x94d0_49bb_1331_11eb
    return mixed ^ mixed >> 31
  }

  /// Another generator, whose numbers have nothing to do with those that this one goes on to make.
  package mutating func fork() -> SeededRandom {
    SeededRandom(seed: next())
  }

  /// Whether something happens that has this chance, 0 … 1.
  package mutating func happens(_ chance: Double) -> Bool {
    Double(next() >> 11) * 0x1p-53 < chance
  }

  /// A duration between two others, to the microsecond.
  package mutating func duration(in range: ClosedRange<Duration>) -> Duration {
    let width = (range.upperBound - range.lowerBound) / .microseconds(1)
    return range.lowerBound + .microseconds(Int64.random(in: 0...max(Int64(width), 0), using: &self))
  }
}
