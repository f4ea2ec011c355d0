/// One record whose values were given one by one.
final class ValueStorage: RecordStorage {
  struct Values: Sendable {
    var sequenceNumber: SequenceNumber = 0
    var subSequenceNumber: UInt64 = 0
    var partitionKey = ""
    var approximateCreationTime = Timestamp(microsecondsSinceEpoch: 0)
    var eventID = ""
    var data: RecordBytes?
    var eventName: Change.EventName?
    var images: [Change.Part: Image] = [:]
    var omitted: Set<Change.Part> = []
    var viewType: StreamViewType?
    var userIdentity: UserIdentity?
    var isSnapshot = false

    mutating func set(_ body: Record.Body) {
      switch body {
      case .data(let bytes): data = bytes
      case .change(let change):
        eventName = change.eventName
        for part in Change.Part.allCases { images[part] = change.image(part) }
        omitted = Set(Change.Part.allCases.filter(change.omits))
        (viewType, userIdentity, isSnapshot) = (change.viewType, change.userIdentity, change.isSnapshot)
      }
    }
  }

  private let values: Values

  init(_ values: Values) { self.values = values }

  func sequenceNumber(at index: Int) -> SequenceNumber { values.sequenceNumber }
  func subSequenceNumber(at index: Int) -> UInt64 { values.subSequenceNumber }
  func partitionKey(at index: Int) -> String { values.partitionKey }
  func approximateCreationTime(at index: Int) -> Timestamp { values.approximateCreationTime }
  func eventID(at index: Int) -> String { values.eventID }
  func data(at index: Int) -> RecordBytes? { values.data }
  func eventName(at index: Int) -> Change.EventName? { values.eventName }
  func image(_ part: Change.Part, at index: Int) -> Image? { values.images[part] }
  func omits(_ part: Change.Part, at index: Int) -> Bool { values.omitted.contains(part) }
  func viewType(at index: Int) -> StreamViewType? { values.viewType }
  func userIdentity(at index: Int) -> UserIdentity? { values.userIdentity }
  func isSnapshot(at index: Int) -> Bool { values.isSnapshot }
}
