#if AWS
/// A service with a JSON protocol.
package struct AWSService: Sendable {
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
  /// What its own errors mean, before what they mean everywhere.
  var meaning: AWSErrorMeaning.Finder

  package init(
    endpointPrefix: String,
    signingName: String,
    targetPrefix: String,
    jsonVersion: String,
    identifier: String,
    meaning: @escaping AWSErrorMeaning.Finder = { _, _ in nil }
  ) {
    self.endpointPrefix = endpointPrefix
    self.signingName = signingName
    self.targetPrefix = targetPrefix
    self.jsonVersion = jsonVersion
    self.identifier = identifier
    self.meaning = meaning
  }

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
