#if AWS
import Tidemark

/// Which stream was found under a name. One that is deleted and created again has the same name, the same shard ids, and
/// none of the records that checkpoints are about.
struct StreamIdentity: Sendable {
  private var first: String?
  private var other: String?

  /// What was found first; `nil` until then.
  ///
  /// - Throws: `TidemarkError` (`streamNotFound`) if something else was found since.
  func known() throws -> String? {
    guard let first, let other else { return first }
    throw TidemarkError(
      .streamNotFound,
      "The stream \(first) is gone; there is another one of its name, \(other).",
      advice: "Start the workers again: they read the new stream from their initial position."
    )
  }

  /// - Parameter name: of the stream that there is now.
  /// - Throws: as ``known()``.
  mutating func found(_ name: String) throws {
    if first == nil { first = name }
    if first != name { other = name }
    _ = try known()
  }
}
#endif
