/// Something that a drill waited for did not happen in time.
public struct DrillTimeout: Error, CustomStringConvertible {
  public var what: String
  public var limit: Duration

  public var description: String { "Not within \(limit): \(what)." }
}
