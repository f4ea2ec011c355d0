/// Something that a drill waited for did not happen in time.
package struct DrillTimeout: Error, CustomStringConvertible {
  package var what: String
  package var limit: Duration

  package var description: String { "Not within \(limit): \(what)." }
}
