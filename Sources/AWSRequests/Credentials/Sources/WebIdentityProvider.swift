#if AWS
import Tidemark

/// A role that is assumed with a token that somebody else signed, as EKS does for service accounts. The token's file is
/// read at each refresh.
struct WebIdentityProvider: AWSCredentialsProvider {
  var sources: CredentialsSources
  var profile: String?
  /// Whether the environment's variables go before the profile's.
  var usesEnvironment: Bool
  var name: String { "web identity" }

  func credentials() async throws -> AWSCredentials? {
    let profile = try sources.profiles(profile).current
    func setting(_ variable: String, _ key: String) -> String? {
      (usesEnvironment ? sources.environment.variable(variable) : nil) ?? profile?[key]
    }
    guard let path = setting("AWS_WEB_IDENTITY_TOKEN_FILE", "web_identity_token_file") else { return nil }
    guard let role = setting("AWS_ROLE_ARN", "role_arn") else {
      throw TidemarkError(
        .invalidConfiguration,
        "There is a web identity token file (\(path)) but no role to assume with it.",
        advice: "Set AWS_ROLE_ARN, or role_arn in the profile."
      )
    }
    guard let token = try sources.environment.readFile(sources.environment.path(path)) else {
      throw TidemarkError(.invalidConfiguration, "There is no web identity token file \(path).")
    }
    return try await sources.sts.credentials(
      by: "AssumeRoleWithWebIdentity",
      [
        "RoleArn": role,
        "RoleSessionName": setting("AWS_ROLE_SESSION_NAME", "role_session_name") ?? sources.sessionName,
        "WebIdentityToken": token,
      ]
    )
  }
}
#endif
