#if AWS
import Tidemark

/// A profile with a `role_arn`, which is assumed with the credentials of its `source_profile` or `credential_source`.
struct ProfileRoleProvider: AWSCredentialsProvider {
  var sources: CredentialsSources
  var profile: String?
  var name: String { "role of the profile" }

  func credentials() async throws -> AWSCredentials? {
    // A profile that is missing is reported by the next provider in the chain, too; here it is nothing to assume.
    let profiles = try sources.profiles(profile)
    guard let current = profiles.current, Self.hasRole(current) else { return nil }
    return try await assume(current, of: profiles, visited: [current.name])
  }

  /// A web identity has its own provider.
  private static func hasRole(_ profile: AWSProfiles.Profile) -> Bool {
    profile["role_arn"] != nil && profile["web_identity_token_file"] == nil
  }

  private func assume(
    _ profile: AWSProfiles.Profile,
    of profiles: AWSProfiles,
    visited: [String]
  ) async throws -> AWSCredentials {
    if profile["mfa_serial"] != nil {
      throw problem(profile, "asks for a code of an MFA device, which nobody is there to type")
    }
    let source: AWSCredentials
    switch (profile["source_profile"], profile["credential_source"]) {
    case (let name?, nil): source = try await credentials(of: name, for: profile, profiles, visited)
    case (nil, let name?): source = try await credentials(from: name, for: profile)
    default: throw problem(profile, "needs either a source_profile or a credential_source")
    }
    var parameters = ["RoleArn": profile["role_arn"] ?? ""]
    parameters["RoleSessionName"] = profile["role_session_name"] ?? sources.sessionName
    parameters["ExternalId"] = profile["external_id"]
    parameters["DurationSeconds"] = profile["duration_seconds"]
    return try await sources.sts.credentials(by: "AssumeRole", parameters, as: source)
  }

  private func credentials(
    of name: String,
    for profile: AWSProfiles.Profile,
    _ profiles: AWSProfiles,
    _ visited: [String]
  ) async throws -> AWSCredentials {
    guard let source = profiles.profile(name) else {
      throw problem(profile, "has the source_profile \(name), which does not exist")
    }
    let hasAccessKey = source["aws_access_key_id"] != nil
    // A profile may be its own source if it has an access key.
    if visited.contains(name), name != profile.name || !hasAccessKey {
      throw problem(profile, "has a source_profile that leads back to itself (\(name))")
    }
    if Self.hasRole(source), !hasAccessKey {
      return try await assume(source, of: profiles, visited: visited + [name])
    }
    for provider in sources.providers(of: name, usesEnvironment: false) {
      if let credentials = try await provider.credentials() { return credentials }
    }
    throw problem(profile, "has the source_profile \(name), which has no credentials")
  }

  private func credentials(
    from source: String,
    for profile: AWSProfiles.Profile
  ) async throws -> AWSCredentials {
    let provider: any AWSCredentialsProvider
    switch source.lowercased() {
    case "environment": provider = EnvironmentProvider(environment: sources.environment)
    case "ecscontainer": provider = sources.containerProvider
    case "ec2instancemetadata": provider = sources.instanceProvider
    default: throw problem(profile, "has the credential_source \(source), which does not exist")
    }
    if let credentials = try await provider.credentials() { return credentials }
    throw problem(profile, "has the credential_source \(source), which has no credentials")
  }

  private func problem(_ profile: AWSProfiles.Profile, _ what: String) -> TidemarkError {
    TidemarkError(.invalidConfiguration, "The AWS profile \(profile.name) \(what).")
  }
}

extension CredentialsSources {
  /// What CloudTrail shows when nobody chose another name.
  var sessionName: String { "tidemark-\(environment.now().microsecondsSinceEpoch / 1_000_000)" }
}
#endif
