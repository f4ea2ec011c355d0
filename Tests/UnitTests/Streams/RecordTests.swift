import Testing
import Tidemark

@Suite("Records")
struct RecordTests {
  private static let change = Change(
    eventName: .remove,
    keys: Image(#"{"id":1}"#),
    oldImage: Image(#"{"id":1,"a":2}"#),
    viewType: .newAndOldImages,
    userIdentity: .expiry,
    isSnapshot: true
  )

  private func record(_ body: Record.Body, eventID: String? = nil) -> Record {
    Record(
      sequenceNumber: 255,
      subSequenceNumber: 2,
      partitionKey: "key",
      approximateCreationTime: Timestamp(millisecondsSinceEpoch: 5),
      eventID: eventID,
      body: body
    )
  }

  @Test("A record that is made of a change has all that the change has")
  func change() throws {
    let record = record(.change(Self.change))
    let change = try #require(record.change)
    #expect(change.eventName == .remove)
    #expect(change.keys.description == #"{"id":1}"# && change.newImage == nil)
    #expect(change.oldImage?.description == #"{"id":1,"a":2}"#)
    #expect(change.viewType == .newAndOldImages && change.isSnapshot)
    #expect(change.userIdentity == UserIdentity(type: "Service", principalID: "tidemark.expiry"))
    #expect(change.sizeInBytes == 22 && record.sizeInBytes == 22)
    #expect(record.data == nil)
    #expect(record.checkpoint == .record(255, subSequenceNumber: 2))
  }

  @Test("An image that the stream has left out is not there, and to decode it is an error")
  func omitted() throws {
    let change = Change(eventName: .modify, keys: Image(#"{"id":1}"#), omitting: [.newImage])
    let record = record(.change(change))
    for change in [change, try #require(record.change)] {
      #expect(change.omits(.newImage) && !change.omits(.oldImage) && !change.omits(.keys))
      #expect(change.newImage == nil)
      #expect(try change.oldImage(as: [String: Int].self) == nil)
      let error = #expect(throws: TidemarkError.self) { try change.newImage(as: [String: Int].self) }
      #expect(error?.code == .imageOmitted && error?.message.contains(#"{"id":1}"#) == true)
    }
  }

  @Test("A record that is made of bytes has these, and is no change")
  func data() {
    let record = record(.data([1, 2, 3]))
    #expect(record.change == nil && record.sizeInBytes == 3)
    #expect(record.data.map(Array.init) == [1, 2, 3])
    if case .change = record.body { Issue.record("The body is a change.") }
  }

  @Test("An event id is 32 lower-case hex digits unless another is given")
  func eventIDs() {
    #expect(record(.data([])).eventID == "000000000000000200000000000000ff")
    #expect(record(.data([]), eventID: "given").eventID == "given")
    let greatest = Record.eventID(stream: .max, sequenceNumber: 0x0123_4567_89ab_cdef)
    #expect(greatest == "ffffffffffffffff0123456789abcdef")
  }

  @Test("Bytes stay while something is left of them, and compare by what they are")
  func bytes() {
    var bytes = RecordBytes([1, 2, 3, 4])
    let slice = bytes.dropFirst()
    bytes = []
    #expect(Array(slice) == [2, 3, 4])
    #expect(bytes.isEmpty && RecordBytes([1]) == [1] && RecordBytes([1]) != [2])
    #expect(Set([RecordBytes([1, 2]), [1, 2]]).count == 1)
    #expect(RecordBytes("é".utf8).withUnsafeBytes { String(decoding: $0, as: UTF8.self) } == "é")
  }
}
