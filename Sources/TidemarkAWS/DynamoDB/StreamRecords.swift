import Tidemark

/// The records of one answer, which stay where it was received.
final class StreamRecords: RecordStorage {
  private let bytes: AnswerBytes
  private let envelopes: [RecordEnvelope]

  init(_ bytes: AnswerBytes, _ envelopes: [RecordEnvelope]) {
    (self.bytes, self.envelopes) = (bytes, envelopes)
  }

  func sequenceNumber(at index: Int) -> SequenceNumber {
    SequenceNumber(bytes.text(envelopes[index].sequenceNumber)) ?? 0
  }

  func partitionKey(at index: Int) -> String {
    let range = envelopes[index].keys
    return KeyText.sorted(UnsafeRawBufferPointer(rebasing: bytes.buffer[range])) ?? bytes.text(range)
  }

  func approximateCreationTime(at index: Int) -> Timestamp { envelopes[index].creationTime }
  func eventID(at index: Int) -> String { bytes.text(envelopes[index].eventID) }
  func sizeInBytes(at index: Int) -> Int { envelopes[index].sizeInBytes }
  func eventName(at index: Int) -> Change.EventName? { envelopes[index].eventName }
  func data(at index: Int) -> RecordBytes? { nil }

  func image(_ part: Change.Part, at index: Int) -> Image? {
    let range: Range<Int>? =
      switch part {
      case .keys: envelopes[index].keys
      case .newImage: envelopes[index].newImage
      case .oldImage: envelopes[index].oldImage
      }
    return range.map { Image(bytes: bytes.bytes($0), encoding: .dynamoDB) }
  }

  func viewType(at index: Int) -> StreamViewType? { envelopes[index].viewType }
  func userIdentity(at index: Int) -> UserIdentity? { envelopes[index].userIdentity }
}

/// An item's key as text that is the same in each of its records.
private enum KeyText {
  /// The two attributes of a composite key in the order of their names, which JSON does not promise, and as close together
  /// however they stand.
  /// - Returns: `nil` if there is only one.
  static func sorted(_ keys: UnsafeRawBufferPointer) -> String? {
    guard let members = try? members(keys), members.count > 1 else { return nil }
    let sorted = members.sorted { keys[$0.name].lexicographicallyPrecedes(keys[$1.name]) }
    let texts = sorted.map { String(decoding: keys[$0.whole], as: UTF8.self) }
    return "{\(texts.joined(separator: ","))}"
  }

  private static func members(
    _ keys: UnsafeRawBufferPointer
  ) throws(JSONScanner.Failure) -> [(name: Range<Int>, whole: Range<Int>)] {
    var scanner = JSONScanner(keys)
    var members: [(name: Range<Int>, whole: Range<Int>)] = []
    try scanner.enterObject()
    while let key = try scanner.nextKey() {
      let value = try scanner.skip()
      members.append((key.range, key.range.lowerBound - 1..<value.upperBound))
    }
    return members
  }
}
