/// One registration of one worker. A worker that was declared dead and comes back registers again, under a new
/// number; the old one never lives again.
public struct WorkerIncarnation: Sendable, Hashable, Comparable, CustomStringConvertible {
  public var number: Int64

  public init(_ number: Int64) {
    self.number = number
  }

  public static func < (left: Self, right: Self) -> Bool { left.number < right.number }

  public var description: String { String(number) }
}
