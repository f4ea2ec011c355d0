#if AWS
import Tidemark

/// What has to be done about credentials at a moment.
enum CredentialsFreshness: Sendable, Equatable {
  /// They are used as they are.
  case fresh
  /// They are used; others are fetched meanwhile.
  case advisory
  /// Requests wait for others, and use these only if they do not come.
  case mandatory
  case expired

  /// 15 minutes before the end others are fetched, 10 minutes before it requests wait for them. What lives too briefly for
  /// that, at half and at a quarter of its life: otherwise each request would fetch.
  init(of credentials: AWSCredentials, since obtained: Timestamp, at now: Timestamp) {
    guard let expiration = credentials.expiration else {
      self = .fresh
      return
    }
    let life = expiration - obtained
    switch expiration - now {
    case ...Duration.zero: self = .expired
    case ...min(.seconds(600), life / 4): self = .mandatory
    case ...min(.seconds(900), life / 2): self = .advisory
    default: self = .fresh
    }
  }
}
#endif
