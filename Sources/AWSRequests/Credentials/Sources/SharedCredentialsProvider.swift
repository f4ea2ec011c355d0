#if AWS
/// The access key in the shared credentials file.
struct SharedCredentialsProvider: AWSCredentialsProvider {
  var sources: CredentialsSources
  var profile: String?
  var name: String { "shared credentials file" }

  func credentials() async throws -> AWSCredentials? {
    let profiles = try sources.profiles(profile)
    return try profiles.sharedCredentials(of: profiles.name)
  }
}
#endif
