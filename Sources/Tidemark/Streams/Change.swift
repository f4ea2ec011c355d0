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
    isSnapshot: Bool = false,
    omitting omitted: Set<Part> = []
  ) {
    var values = ValueStorage.Values()
    values.eventName = eventName
    values.images = [.keys: keys]
    values.images[.newImage] = newImage
    values.images[.oldImage] = oldImage
    (values.viewType, values.userIdentity, values.isSnapshot) = (viewType, userIdentity, isSnapshot)
    values.omitted = omitted
    self.init(in: ValueStorage(values), at: 0, eventName: eventName)
  }

  /// The item's primary key. Always present.
  public var keys: Image { image(.keys) ?? Image("{}") }

  /// The item after the change; absent for `REMOVE`, where the view type leaves it out, and where it is too large (``omits(_:)``).
  public var newImage: Image? { image(.newImage) }

  /// The item before the change; absent for `INSERT`, where the view type leaves it out, and where it is too large.
  public var oldImage: Image? { image(.oldImage) }

  public func image(_ part: Part) -> Image? { storage.image(part, at: index) }

  /// Whether there is such an image and the stream has left it out, because it is larger than the stream takes. What the item
  /// is now can be looked up by its ``keys``.
  public func omits(_ part: Part) -> Bool { storage.omits(part, at: index) }

  /// What the stream's records carry, where the source tells.
  public var viewType: StreamViewType? { storage.viewType(at: index) }

  /// What made the change, if no writer did: ``UserIdentity/expiry`` for an item that was deleted because it had
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

  /// The item after the change; `nil` where there is none, or the view type leaves it out.
  ///
  /// - Throws: also `imageOmitted`, where ``omits(_:)`` says so.
  public func newImage<Value: Decodable>(as type: Value.Type = Value.self) throws -> Value? {
    try decode(.newImage)
  }

  /// The item before the change; `nil` where there was none, or the view type leaves it out.
  ///
  /// - Throws: also `imageOmitted`, where ``omits(_:)`` says so.
  public func oldImage<Value: Decodable>(as type: Value.Type = Value.self) throws -> Value? {
    try decode(.oldImage)
  }

  private func decode<Value: Decodable>(_ part: Part) throws -> Value? {
    if omits(part) {
      throw TidemarkError(
        .imageOmitted,
        "The \(part == .oldImage ? "old" : "new") image of \(keys) is larger than its stream takes, and was left out.",
        advice: "Ask omits(_:) first and look the item up by its keys, or let the stream take larger images."
      )
    }
    return try image(part)?.decode()
  }
}
