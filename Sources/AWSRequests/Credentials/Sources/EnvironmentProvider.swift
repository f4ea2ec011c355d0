#if AWS
import Tidemark

/// `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`.
struct EnvironmentProvider: AWSCredentialsProvider {
  var environment: AWSEnvironment
  var name: String { "environment variables" }

  func credentials() async throws -> AWSCredentials? {
    guard let id = environment.variable("AWS_ACCESS_KEY_ID") else { return nil }
    guard let secret = environment.variable("AWS_SECRET_ACCESS_KEY") else {
      throw TidemarkError(.invalidConfiguration, "AWS_ACCESS_KEY_ID is set without AWS_SECRET_ACCESS_KEY.")
    }
    let token = environment.variable("AWS_SESSION_TOKEN") ?? environment.variable("AWS_SECURITY_TOKEN")
    let expiration = environment.variable("AWS_CREDENTIAL_EXPIRATION").flatMap(Timestamp.init(iso8601:))
    return AWSCredentials(
      accessKeyID: id,
      secretAccessKey: secret,
      sessionToken: token,
      expiration: expiration
    )
  }
}
#endif
