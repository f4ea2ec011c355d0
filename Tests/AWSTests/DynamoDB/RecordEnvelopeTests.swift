#if AWS
import NIOCore
import Testing
import Tidemark

@testable import AWSRequests
@testable import TidemarkAWS

@Suite("Records of DynamoDB Streams")
struct RecordEnvelopeTests {
  /// - Parameters:
  ///   - change: members of `dynamodb` beside the keys and the sequence number.
  ///   - other: members beside `dynamodb`.
  private func record(
    keys: String = #"{"id":{"S":"a"}}"#,
    _ change: String = "",
    _ other: String = ""
  ) throws -> Record {
    let body = """
      {"Records":[{"eventID":"e1","eventName":"MODIFY"\(other),
      "dynamodb":{"Keys":\(keys),"SequenceNumber":"000123"\(change)}}]}
      """
    return try #require(try StreamRecordPage(ByteBuffer(string: body)).records.first)
  }

  @Test("records need no more than their names, keys and number")
  func least() throws {
    let record = try record()
    let change = try #require(record.change)
    #expect(
      record.eventID == "e1" && record.sequenceNumber.description == "000123" && record.sizeInBytes == 0
    )
    #expect(record.approximateCreationTime == Timestamp(microsecondsSinceEpoch: 0))
    #expect(change.eventName == .modify && change.viewType == nil && change.userIdentity == nil)
    #expect(change.newImage == nil && change.oldImage == nil && record.data == nil)
  }

  @Test("records may have null for what they do not have, and what nobody knows yet")
  func nulls() throws {
    let record = try record(
      #","NewImage":null,"OldImage":null,"ApproximateCreationDateTime":null,"SizeBytes":null,"StreamViewType":null"#,
      #","userIdentity":null,"eventVersion":null,"awsRegion":"x","new":{"a":[1,{"b":null}]}"#
    )
    #expect(record.change?.newImage == nil && record.change?.oldImage == nil)
    #expect(record.change?.userIdentity == nil && record.change?.viewType == nil && record.sizeInBytes == 0)
  }

  @Test(
    "records have a time in seconds, with or without a fraction, or as text",
    arguments: [
      ("1464806460", "2016-06-01T18:41:00Z"), ("1464806460.25", "2016-06-01T18:41:00.25Z"),
      ("1.46480646E9", "2016-06-01T18:41:00Z"), (#""2016-06-01T18:41:00Z""#, "2016-06-01T18:41:00Z"),
      (#""2016-06-01T20:41:00+02:00""#, "2016-06-01T18:41:00Z"),
    ]
  )
  func time(json: String, time: String) throws {
    let record = try record(#","ApproximateCreationDateTime":\#(json)"#)
    #expect(record.approximateCreationTime == Timestamp(iso8601: time))
  }

  @Test(
    "records tell who made the change, in the service's letters and in those of its documentation",
    arguments: [
      (#"{"PrincipalId":"dynamodb.amazonaws.com","Type":"Service"}"#, "Service", "dynamodb.amazonaws.com"),
      (
        #"{"principalId":"dynamodb.amazonaws.com","type":"Service","x":[]}"#, "Service",
        "dynamodb.amazonaws.com"
      ),
      (#"{"Type":"Service","PrincipalId":null}"#, "Service", ""), ("{}", "", ""),
    ]
  )
  func identity(json: String, type: String, principal: String) throws {
    let identity = try record("", #","userIdentity":\#(json)"#).change?.userIdentity
    #expect(identity == UserIdentity(type: type, principalID: principal))
  }

  @Test("records have the images and the view type that they say, one that is unknown as none")
  func images() throws {
    let images = #","NewImage":{"id":{"S":"a"},"n":{"N":"1"}},"OldImage":{"id":{"S":"a"}},"SizeBytes":9"#
    let change = try record(images + #","StreamViewType":"NEW_AND_OLD_IMAGES""#).change
    #expect(try change?.newImage?.attributeValues() == ["id": .s("a"), "n": .n("1")])
    #expect(try change?.oldImage?.attributeValues() == ["id": .s("a")])
    #expect(change?.viewType == .newAndOldImages)
    #expect(try record(images + #","StreamViewType":"ALL""#).change?.viewType == nil)
  }

  @Test(
    "records are of the same item, whatever the order of its key's attributes",
    arguments: [
      #"{"id":{"S":"a"},"sort":{"N":"1"}}"#, #"{"sort":{"N":"1"},"id":{"S":"a"}}"#,
      #"{"id":{"S":"a"}, "sort":{"N":"1"}}"#, #"{ "sort":{"N":"1"} , "id":{"S":"a"} }"#,
    ]
  )
  func compositeKeys(keys: String) throws {
    let record = try record(keys: keys)
    #expect(record.partitionKey == #"{"id":{"S":"a"},"sort":{"N":"1"}}"#)
    #expect(try record.change?.keys.attributeValues() == ["id": .s("a"), "sort": .n("1")])
  }

  @Test("records have a key of one attribute as it came, with its quotes and brackets")
  func simpleKey() throws {
    let keys = #"{"id":{"S":"a\"},{\u00e9"}}"#
    #expect(try record(keys: keys).partitionKey == keys)
  }

  @Test("a page ends its shard without an iterator, which an empty or a null one is too")
  func end() throws {
    func next(_ json: String) throws -> String? {
      try StreamRecordPage(ByteBuffer(string: #"{"Records":[]\#(json)}"#)).nextIterator
    }
    #expect(try next("") == nil)
    #expect(try next(#","NextShardIterator":null"#) == nil)
    #expect(try next(#","NextShardIterator":"""#) == nil)
    #expect(try next(#","NextShardIterator":"arn|1|x""#) == "arn|1|x")
  }
}
#endif
