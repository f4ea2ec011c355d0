/// An item-level change of a table, as DynamoDB Streams describes one: a view, like ``Record``.
public struct Change: Sendable {
  public enum EventName: String, Sendable, Codable {
    case insert = "INSERT"
    case modify = "MODIFY"
    case remove = "REMOVE"
  }

  /// What a change tells of the item.
  public enum Part: Sendable, Hashable, CaseIterable {
    case keys, newImage, oldImage
  }

  private let storage: any RecordStorage
  private let index: Int
  public let eventName: EventName

  init(in storage: any RecordStorage, at index: Int, eventName: EventName) {
    self.storage = storage
    self.index = index
    self.eventName = eventName
  }

  public init(
    eventName: EventName,
    keys: Image,
    newImage: Image? = nil,
    oldImage: Image? = nil,
    viewType: StreamViewType? = nil,
    userIdentity: UserIdentity? = nil,
    isSnapshot: Bool = false
  ) {
    var values = ValueStorage.Values()
    values.eventName = eventName
    values.images = [.keys: keys]
    values.images[.newImage] = newImage
    values.images[.oldImage] = oldImage
    (values.viewType, values.userIdentity, values.isSnapshot) = (viewType, userIdentity, isSnapshot)
    self.init(in: ValueStorage(values), at: 0, eventName: eventName)
  }

  /// The item's primary key. Always present.
  public var keys: Image { image(.keys) ?? Image("{}") }

  /// The item after the change; absent for `REMOVE` and where the view type leaves it out.
  public var newImage: Image? { image(.newImage) }

  /// The item before the change; absent for `INSERT` and where the view type leaves it out.
  public var oldImage: Image? { image(.oldImage) }

  public func image(_ part: Part) -> Image? { storage.image(part, at: index) }

  /// What the stream's records carry, where the source tells.
  public var viewType: StreamViewType? { storage.viewType(at: index) }

  /// Who made the change, if that was no writer: ``UserIdentity/expiry`` for an item that was deleted because it had
  /// expired.
  public var userIdentity: UserIdentity? { storage.userIdentity(at: index) }

  /// Whether this is no change but an item that was there already when a snapshot of the table was taken.
  public var isSnapshot: Bool { storage.isSnapshot(at: index) }

  /// Keys and images together, in bytes.
  public var sizeInBytes: Int { storage.sizeInBytes(at: index) }
}

extension Change {
  /// The item's primary key as a value of the application's. See ``Image/decode(as:)``.
  public func keys<Value: Decodable>(as type: Value.Type = Value.self) throws -> Value {
    try keys.decode(as: type)
  }

  /// The item after the change; `nil` where ``newImage`` is absent.
  public func newImage<Value: Decodable>(as type: Value.Type = Value.self) throws -> Value? {
    try newImage?.decode(as: type)
  }

  /// The item before the change; `nil` where ``oldImage`` is absent.
  public func oldImage<Value: Decodable>(as type: Value.Type = Value.self) throws -> Value? {
    try oldImage?.decode(as: type)
  }
}
