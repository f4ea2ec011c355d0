/// An item-level change of a table, as DynamoDB Streams describes one.
///
/// Keys and images are JSON objects from column name to value, kept as the UTF-8 bytes that the source sent.
public struct Change: Sendable {
  public enum EventName: String, Sendable, Codable {
    case insert = "INSERT"
    case modify = "MODIFY"
    case remove = "REMOVE"
  }

  public var eventName: EventName
  /// The item's primary key. Always present.
  public var keys: Image
  /// The item after the change; absent for `REMOVE` and where the view type leaves it out.
  public var newImage: Image?
  /// The item before the change; absent for `INSERT` and where the view type leaves it out.
  public var oldImage: Image?

  public init(eventName: EventName, keys: Image, newImage: Image? = nil, oldImage: Image? = nil) {
    self.eventName = eventName
    self.keys = keys
    self.newImage = newImage
    self.oldImage = oldImage
  }

  /// Keys and images together, in bytes.
  public var sizeInBytes: Int {
    keys.bytes.count + (newImage?.bytes.count ?? 0) + (oldImage?.bytes.count ?? 0)
  }
}
