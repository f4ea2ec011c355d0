#if AWS
/// A service with a JSON protocol.
struct AWSService: Sendable, Hashable {
  /// The first part of its host's name.
  var endpointPrefix: String
  /// What signatures name it.
  var signingName: String
  /// What stands before the operation in `X-Amz-Target`.
  var targetPrefix: String
  /// As in `application/x-amz-json-1.0`.
  var jsonVersion: String
  /// As in `AWS_ENDPOINT_URL_DYNAMODB_STREAMS`; in lower case the key of a profile's `services` section.
  var identifier: String

  static let dynamoDBStreams = AWSService(
    endpointPrefix: "streams.dynamodb",
    signingName: "dynamodb",
    targetPrefix: "DynamoDBStreams_20120810",
    jsonVersion: "1.0",
    identifier: "DYNAMODB_STREAMS"
  )
  static let dynamoDB = AWSService(
    endpointPrefix: "dynamodb",
    signingName: "dynamodb",
    targetPrefix: "DynamoDB_20120810",
    jsonVersion: "1.0",
    identifier: "DYNAMODB"
  )
  static let kinesis = AWSService(
    endpointPrefix: "kinesis",
    signingName: "kinesis",
    targetPrefix: "Kinesis_20131202",
    jsonVersion: "1.1",
    identifier: "KINESIS"
  )
  /// It speaks the query protocol; only where it is found is as with the others.
  static let sts = AWSService(
    endpointPrefix: "sts",
    signingName: "sts",
    targetPrefix: "",
    jsonVersion: "",
    identifier: "STS"
  )
  /// It speaks REST; only where it is found is as with the others.
  static let sso = AWSService(
    endpointPrefix: "portal.sso",
    signingName: "awsssoportal",
    targetPrefix: "",
    jsonVersion: "",
    identifier: "SSO"
  )
}
#endif
