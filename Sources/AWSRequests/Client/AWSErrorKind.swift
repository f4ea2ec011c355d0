#if AWS
/// What an error asks of the caller that made the request.
package enum AWSErrorKind: Sendable, Equatable {
  /// Call less often.
  case throttle
  /// The same request may succeed.
  case transient
  /// The credentials are over; others may work.
  case expired
  /// The clock of this machine is wrong.
  case skew
  /// These credentials will not do, now or later.
  case denied
  /// The request itself is refused.
  case fatal

  private static let throttles: Set<String> = [
    "BandwidthLimitExceeded", "EC2ThrottledException", "KMSThrottlingException", "LimitExceededException",
    "PriorRequestNotComplete", "ProvisionedThroughputExceededException", "RequestLimitExceeded",
    "RequestThrottled", "RequestThrottledException", "SlowDown", "ThrottledException", "Throttling",
    "ThrottlingException", "TooManyRequestsException", "TransactionInProgressException",
  ]
  private static let transients: Set<String> = [
    "IDPCommunicationError", "InternalError", "InternalFailure", "InternalFailureException",
    "InternalServerError", "InternalServerException", "RequestTimeout", "RequestTimeoutException",
    "ResourceInUseException",
    "ServiceUnavailable", "ServiceUnavailableException",
  ]
  private static let expirations: Set<String> = [
    "ExpiredToken", "ExpiredTokenException", "RequestExpired",
  ]
  private static let skews: Set<String> = ["RequestTimeTooSkewed", "RequestInTheFuture"]
  private static let denials: Set<String> = [
    "AccessDenied", "AccessDeniedException", "AuthFailure", "IncompleteSignature", "InvalidAccessKeyId",
    "InvalidClientTokenId", "InvalidIdentityToken", "InvalidSignatureException", "KMSAccessDeniedException",
    "KMSDisabledException", "KMSInvalidStateException", "KMSNotFoundException", "KMSOptInRequired",
    "MissingAuthenticationToken", "MissingAuthenticationTokenException", "OptInRequired",
    "SignatureDoesNotMatch", "UnrecognizedClientException",
  ]
  /// What services say of a signature whose time is off, and of one that is wrong.
  private static let signatures: Set<String> = [
    "InvalidSignatureException", "RequestExpired", "SignatureDoesNotMatch",
  ]

  /// - Parameter skew: how far this machine's clock is behind, if the answer says so.
  package init(code: String, status: Int, skew: Duration?) {
    let isOff = skew.map { abs($0) > .seconds(240) } ?? false
    if Self.skews.contains(code) || isOff && Self.signatures.contains(code) {
      self = skew == nil ? .denied : .skew
    } else if Self.throttles.contains(code) || status == 429 {
      self = .throttle
    } else if Self.expirations.contains(code) {
      self = .expired
    } else if Self.denials.contains(code) || status == 401 || status == 403 {
      self = .denied
    } else if Self.transients.contains(code) || status >= 500 {
      self = .transient
    } else {
      self = .fatal
    }
  }
}

private func abs(_ duration: Duration) -> Duration { duration < .zero ? .zero - duration : duration }
#endif
