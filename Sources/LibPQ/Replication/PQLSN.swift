/// A place in the server's write-ahead log (`pg_lsn`).
public struct PQLSN: Sendable, Hashable, Comparable, RawRepresentable, CustomStringConvertible {
  public var rawValue: UInt64

  public init(rawValue: UInt64) {
    self.rawValue = rawValue
  }

  /// Reads the server's spelling, `16/B374D848`; nil for anything else.
  public init?(_ text: String) {
    let halves = text.split(separator: "/", omittingEmptySubsequences: false)
    guard halves.count == 2, let high = UInt32(halves[0], radix: 16), let low = UInt32(halves[1], radix: 16)
    else { return nil }
    rawValue = UInt64(high) << 32 | UInt64(low)
  }

  public static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }

  public var description: String {
    "\(String(rawValue >> 32, radix: 16, uppercase: true))/"
      + String(rawValue & 0xffff_ffff, radix: 16, uppercase: true)
  }
}
