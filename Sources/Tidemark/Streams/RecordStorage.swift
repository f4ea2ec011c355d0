/// What a source received at once, usually a page, as the records that read from it ask for it.
///
/// A source conforms a class of its own that keeps the bytes as they came and finds a value in them when asked, so that a
/// record that nobody looks at costs nothing. The same question always has the same answer, from any thread.
public protocol RecordStorage: AnyObject, Sendable {
  func sequenceNumber(at index: Int) -> SequenceNumber
  /// 0 if this is left out.
  func subSequenceNumber(at index: Int) -> UInt64
  func partitionKey(at index: Int) -> String
  func approximateCreationTime(at index: Int) -> Timestamp
  /// See ``Record/eventID``.
  func eventID(at index: Int) -> String
  /// The payload's size in bytes: keys and images, or data. Counted by asking for these if this is left out.
  func sizeInBytes(at index: Int) -> Int

  /// What happened to the item; `nil` for bytes that a producer put.
  func eventName(at index: Int) -> Change.EventName?
  /// The bytes that a producer put; `nil` for a change.
  func data(at index: Int) -> RecordBytes?
  func image(_ part: Change.Part, at index: Int) -> Image?
  /// See ``Change/omits(_:)``; `false` if this is left out.
  func omits(_ part: Change.Part, at index: Int) -> Bool
  /// `nil` if this is left out.
  func viewType(at index: Int) -> StreamViewType?
  /// `nil` if this is left out.
  func userIdentity(at index: Int) -> UserIdentity?
  /// `false` if this is left out.
  func isSnapshot(at index: Int) -> Bool
}

extension RecordStorage {
  public func subSequenceNumber(at index: Int) -> UInt64 { 0 }
  public func viewType(at index: Int) -> StreamViewType? { nil }
  public func userIdentity(at index: Int) -> UserIdentity? { nil }
  public func isSnapshot(at index: Int) -> Bool { false }
  public func omits(_ part: Change.Part, at index: Int) -> Bool { false }

  public func sizeInBytes(at index: Int) -> Int {
    if let data = data(at: index) { return data.count }
    return Change.Part.allCases.reduce(0) { $0 + (image($1, at: index)?.bytes.count ?? 0) }
  }
}
