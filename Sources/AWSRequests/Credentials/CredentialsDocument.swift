#if AWS
import Foundation
import Tidemark

/// The JSON in which programs, containers and instances hand out credentials.
struct CredentialsDocument: Decodable {
  var Version: Int?
  /// Of instances: `Success`, or what is wrong.
  var Code: String?
  var AccessKeyId: String?
  var SecretAccessKey: String?
  var SessionToken: String?
  /// What containers and instances call the session token.
  var Token: String?
  var Expiration: String?

  /// - Returns: `nil` for anything else; it does not say why, because a part of a secret could be in it.
  init?(_ text: String) {
    guard let document = try? JSONDecoder().decode(Self.self, from: Data(text.utf8)) else { return nil }
    self = document
  }

  var credentials: AWSCredentials? {
    guard let AccessKeyId, let SecretAccessKey else { return nil }
    let expiration = Expiration.flatMap(Timestamp.init(iso8601:))
    // A time that nobody can read is no reason to keep them for ever.
    if Expiration != nil, expiration == nil { return nil }
    return AWSCredentials(
      accessKeyID: AccessKeyId,
      secretAccessKey: SecretAccessKey,
      sessionToken: SessionToken ?? Token,
      expiration: expiration
    )
  }
}
#endif
