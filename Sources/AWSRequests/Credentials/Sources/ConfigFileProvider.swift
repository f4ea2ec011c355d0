#if AWS
/// The access key in the config file.
struct ConfigFileProvider: AWSCredentialsProvider {
  var sources: CredentialsSources
  var profile: String?
  var name: String { "config file" }

  func credentials() async throws -> AWSCredentials? {
    let profiles = try sources.profiles(profile)
    return try profiles.configCredentials(of: profiles.name)
  }
}
#endif
