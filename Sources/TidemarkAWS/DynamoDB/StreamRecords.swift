#if AWS
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

  func viewType(at index: Int) -> StreamViewType? {
    envelopes[index].viewType.flatMap { StreamViewType(rawValue: bytes.text($0)) }
  }

  func userIdentity(at index: Int) -> UserIdentity? { envelopes[index].userIdentity }
}

/// An item's key as text that is the same in each of its records.
private enum KeyText {
  /// The two attributes of a composite key in the order of their names, which JSON does not promise, and as close together
  /// however they stand.
  /// - Returns: `nil` if there is only one.
  static func sorted(_ keys: UnsafeRawBufferPointer) -> String? {
    guard let (first, second) = try? pair(keys) else { return nil }
    let isSorted = keys[first.name].lexicographicallyPrecedes(keys[second.name])
    let (low, high) = isSorted ? (first, second) : (second, first)
    func text(_ range: Range<Int>) -> String { String(decoding: keys[range], as: UTF8.self) }
    return "{\(text(low.whole)),\(text(high.whole))}"
  }

  private typealias Member = (name: Range<Int>, whole: Range<Int>)

  private static func pair(
    _ keys: UnsafeRawBufferPointer
  ) throws(JSONScanner.Failure) -> (Member, Member)? {
    var scanner = JSONScanner(keys)
    try scanner.enterObject()
    guard let first = try member(&scanner), let second = try member(&scanner),
      try scanner.nextKey() == nil
    else { return nil }
    return (first, second)
  }

  private static func member(_ scanner: inout JSONScanner) throws(JSONScanner.Failure) -> Member? {
    guard let key = try scanner.nextKey() else { return nil }
    let value = try scanner.skip()
    return (key.range, key.range.lowerBound - 1..<value.upperBound)
  }
}
#endif
