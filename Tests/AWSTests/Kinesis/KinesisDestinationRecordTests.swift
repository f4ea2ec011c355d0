#if AWS
import TestSupport
import Testing
import Tidemark

@testable import AWSRequests
@testable import TidemarkAWS

@Suite("A change that DynamoDB has put into Kinesis", .sharesMachine)
struct KinesisDestinationRecordTests {
  private struct Order: Decodable, Equatable {
    var id: Int
    var note: String?
  }

  private func data(
    _ name: String = "MODIFY",
    time: String = "1700000000123",
    userIdentity: String = "null",
    more: String = ""
  ) -> RecordBytes {
    RecordBytes(
      #"""
      {"awsRegion":"eu-central-1","eventID":"b2e7e1a0-5b6a-4f0e-9d3c-1f6f3e3f0c11","eventName":"\#(name)",
       "userIdentity":\#(userIdentity),"recordFormat":"application/json","tableName":"orders","dynamodb":
       {"ApproximateCreationDateTime":\#(time),"Keys":{"id":{"N":"7"}},
        "NewImage":{"id":{"N":"7"},"note":{"S":"gr\u00fcn"}},"OldImage":{"id":{"N":"7"}},"SizeBytes":21\#(more)},
       "eventSource":"aws:dynamodb"}
      """#.utf8
    )
  }

  @Test("a change from DynamoDB has keys and images that decode like those of the table's own stream")
  func change() throws {
    let record = try KinesisDestinationRecord(data())
    #expect(record.eventID == "b2e7e1a0-5b6a-4f0e-9d3c-1f6f3e3f0c11")
    #expect(record.tableName == "orders" && record.awsRegion == "eu-central-1")
    #expect(record.change.eventName == .modify && record.change.viewType == .newAndOldImages)
    #expect(try record.change.keys(as: Order.self) == Order(id: 7))
    #expect(try record.change.newImage(as: Order.self) == Order(id: 7, note: "grün"))
    #expect(try record.change.oldImage(as: Order.self) == Order(id: 7))
    #expect(record.change.userIdentity == nil)
    let values = try record.change.newImage?.attributeValues()
    #expect(values == ["id": .n("7"), "note": .s("grün")])
  }

  @Test("a change from DynamoDB has no image where DynamoDB has none, whether it says null or nothing")
  func noImage() throws {
    let text =
      #"{"eventName":"REMOVE","dynamodb":{"ApproximateCreationDateTime":1,"Keys":{},"NewImage":null}}"#
    let change = try KinesisDestinationRecord(RecordBytes(text.utf8)).change
    #expect(change.eventName == .remove && change.newImage == nil && change.oldImage == nil)
  }

  @Test(
    "a change from DynamoDB has a time in milliseconds or microseconds, as it says or else as its size tells",
    arguments: [
      ("1700000000123", "", 1_700_000_000_123_000), ("1700000000123456", "", 1_700_000_000_123_456),
      ("1700000000123", "MILLISECOND", 1_700_000_000_123_000),
      ("1700000000123456", "MICROSECOND", 1_700_000_000_123_456),
      ("5000000", "MICROSECOND", 5_000_000),
    ] as [(String, String, Int64)]
  )
  func precision(time: String, precision: String, expected: Int64) throws {
    let more = precision.isEmpty ? "" : #","ApproximateCreationDateTimePrecision":"\#(precision)""#
    let record = try KinesisDestinationRecord(data(time: time, more: more))
    #expect(record.approximateCreationTime == Timestamp(microsecondsSinceEpoch: expected))
  }

  @Test(
    "a change from DynamoDB says who made the change if that was no writer",
    arguments: [
      #"{"type":"Service","principalId":"dynamodb.amazonaws.com"}"#,
      #"{"PrincipalId":"dynamodb.amazonaws.com","Type":"Service","more":[1]}"#,
    ]
  )
  func expiry(identity: String) throws {
    let record = try KinesisDestinationRecord(data("REMOVE", userIdentity: identity))
    #expect(
      record.change.userIdentity == UserIdentity(type: "Service", principalID: "dynamodb.amazonaws.com")
    )
  }

  @Test(
    "a change from DynamoDB is not what a producer has put",
    arguments: [
      "", "hello", "[]", "{}", #"{"eventName":"MODIFY"}"#, #"{"eventName":"MODIFY","dynamodb":{}}"#,
      #"{"eventName":"UPSERT","dynamodb":{"ApproximateCreationDateTime":1,"Keys":{}}}"#,
      #"{"eventName":"MODIFY","dynamodb":{"ApproximateCreationDateTime":1,"Keys":"id"}}"#,
      #"{"eventName":"MODIFY","dynamodb":{"ApproximateCreationDateTime":"now","Keys":{}}}"#,
      #"{"eventName":"MODIFY","dynamodb":{"ApproximateCreationDateTime":1,"Keys":{}"#,
    ]
  )
  func others(text: String) throws {
    let error = try #require(throws: TidemarkError.self) {
      try KinesisDestinationRecord(RecordBytes(text.utf8))
    }
    #expect(error.code == .unsupported && error.advice != nil)
  }
}
#endif
