import Foundation

/// DynamoDB Streams, whose records are changes with both images, of five attributes each.
struct DynamoDBService: MeasuredService {
  let recordsPerShard: Int
  let template: RecordsTemplate
  private let shards: Int

  init(_ load: ReadingLoad) {
    (shards, recordsPerShard) = (load.shards, load.recordsPerShard)
    template = RecordsTemplate(count: MeasuredStream.pageSize, numberLength: 21) { number in
      let key = MeasuredStream.randomKey()
      return #"{"eventID":"\#(MeasuredStream.randomKey())\#(key)","eventName":"MODIFY","eventVersion":"1.1","#
        + #""eventSource":"aws:dynamodb","awsRegion":"eu-central-1","dynamodb":{"#
        + #""ApproximateCreationDateTime":1764021600,"Keys":{"id":{"S":"\#(key)"}},"#
        + #""NewImage":\#(Self.image(key, "OPEN")),"OldImage":\#(Self.image(key, "SENT")),"#
        + #""SequenceNumber":"\#(number)","SizeBytes":210,"StreamViewType":"NEW_AND_OLD_IMAGES"}}"#
    }
  }

  private static func image(_ key: String, _ status: String) -> String {
    #"{"id":{"S":"\#(key)"},"customer":{"S":"\#(MeasuredStream.randomKey())"},"status":{"S":"\#(status)"},"#
      + #""amount":{"N":"1977.25"},"note":{"S":"\#(MeasuredStream.randomKey())"}}"#
  }

  func end(isLast: Bool) -> String { "" }

  func description(for operation: String) -> String? {
    guard operation == "DescribeStream" else { return nil }
    let listed = (0..<shards).map { shard in
      #"{"ShardId":"\#(MeasuredStream.shardID(shard))","#
        + #""SequenceNumberRange":{"StartingSequenceNumber":"\#(template.number(0, of: shard))"}}"#
    }
    return #"{"StreamDescription":{"StreamArn":"\#(MeasuredStream.dynamoDBARN)","#
      + #""StreamLabel":"2025-11-24T22:00:00.000","StreamStatus":"ENABLED","#
      + #""Shards":[\#(listed.joined(separator: ","))]}}"#
  }
}
