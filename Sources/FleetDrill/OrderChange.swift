import Tidemark

/// A change of the table `orders`: which order, what happened to it, and the version that it had then.
package struct OrderChange: Codable, Sendable, Hashable {
  package var order: Int64
  package var event: Change.EventName
  /// The version after an INSERT or MODIFY, before a REMOVE.
  package var version: Int64

  package init(order: Int64, event: Change.EventName, version: Int64) {
    self.order = order
    self.event = event
    self.version = version
  }

  /// - Throws: if the table has no columns `id` and `version`, or an image is missing.
  package init(_ change: Change) throws {
    struct Keys: Decodable { var id: Int64 }
    struct Image: Decodable { var version: Int64 }
    let image = change.eventName == .remove ? change.oldImage : change.newImage
    guard let image else {
      throw TidemarkError(
        .unsupported,
        "A drill needs both images of a change.",
        advice: "Enable the stream with the view type NEW_AND_OLD_IMAGES."
      )
    }
    order = try change.keys.decode(as: Keys.self).id
    event = change.eventName
    version = try image.decode(as: Image.self).version
  }
}
