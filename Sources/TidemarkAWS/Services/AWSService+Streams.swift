#if AWS
import AWSRequests

extension AWSService {
  static let dynamoDBStreams = AWSService(
    endpointPrefix: "streams.dynamodb",
    signingName: "dynamodb",
    targetPrefix: "DynamoDBStreams_20120810",
    jsonVersion: "1.0",
    identifier: "DYNAMODB_STREAMS",
    meaning: AWSErrorMeaning.ofStreams
  )
  static let dynamoDB = AWSService(
    endpointPrefix: "dynamodb",
    signingName: "dynamodb",
    targetPrefix: "DynamoDB_20120810",
    jsonVersion: "1.0",
    identifier: "DYNAMODB",
    meaning: AWSErrorMeaning.ofStreams
  )
  static let kinesis = AWSService(
    endpointPrefix: "kinesis",
    signingName: "kinesis",
    targetPrefix: "Kinesis_20131202",
    jsonVersion: "1.1",
    identifier: "KINESIS",
    meaning: AWSErrorMeaning.ofStreams
  )
}
#endif
