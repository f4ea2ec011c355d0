#if AWS
import Logging
import Tidemark

/// Makes the providers of the SDKs' chain.
struct CredentialsSources: Sendable {
  var environment: AWSEnvironment
  /// The profile that was named in code; `nil` for what the environment says.
  var profile: String?
  /// Where STS is asked.
  var region: String
  var logger: Logger

  init(_ configuration: AWSConfiguration, region: String, environment: AWSEnvironment, logger: Logger) {
    self.environment = environment
    self.profile = configuration.credentials.profile
    self.region = region
    self.logger = logger
  }

  /// All of them, in the order of the SDKs. A profile that was named in code goes before the environment's access key.
  var chain: CredentialsChain {
    let first: [any AWSCredentialsProvider] =
      profile == nil ? [EnvironmentProvider(environment: environment)] : []
    return CredentialsChain(
      first + [ProfileRoleProvider(sources: self, profile: profile)]
        + providers(of: profile, usesEnvironment: profile == nil)
        + [containerProvider, instanceProvider]
    )
  }

  /// Those of one profile but for the role that it assumes; a source profile has the same.
  func providers(of profile: String?, usesEnvironment: Bool) -> [any AWSCredentialsProvider] {
    [
      WebIdentityProvider(sources: self, profile: profile, usesEnvironment: usesEnvironment),
      SSOProvider(sources: self, profile: profile),
      SharedCredentialsProvider(sources: self, profile: profile),
      ProcessProvider(sources: self, profile: profile),
      ConfigFileProvider(sources: self, profile: profile),
    ]
  }

  var containerProvider: ContainerProvider { ContainerProvider(environment: environment, logger: logger) }
  var instanceProvider: InstanceMetadataProvider {
    InstanceMetadataProvider(environment: environment, profile: profile, logger: logger)
  }
  var sts: SecurityTokenService { SecurityTokenService(sources: self) }

  /// The files are read at each refresh: others write them.
  ///
  /// - Throws: `TidemarkError` if a profile was asked for that is not there.
  func profiles(_ name: String?) throws -> AWSProfiles {
    let profiles = try AWSProfiles(name ?? profile, environment)
    if profiles.isNamed, profiles.current == nil {
      throw TidemarkError(
        .invalidConfiguration,
        "There is no AWS profile \(profiles.name).",
        advice: "Look into ~/.aws/config and ~/.aws/credentials, or at AWS_PROFILE."
      )
    }
    return profiles
  }
}
#endif
