#if AWS
import Tidemark

/// How the services are reached. Nothing has to be set where the SDKs of AWS need nothing either.
public struct AWSConfiguration: Sendable {
  /// The identity of the caller.
  public struct Credentials: Sendable {
    /// Where the credentials come from. `nil`, the default, for the SDKs' chain: environment, profile with a role, web
    /// identity, SSO, shared credentials file, `credential_process`, config file, container, instance metadata.
    public var provider: (any AWSCredentialsProvider)?
    /// The profile of the shared files. `nil`, the default, for `AWS_PROFILE` or else `default`. With a profile named
    /// here, the environment's access key is not used.
    public var profile: String?

    public init() {}
  }

  /// The address of the service.
  public struct Endpoint: Sendable, Hashable {
    /// `nil`, the default, for the region of the stream's ARN, `AWS_REGION`, `AWS_DEFAULT_REGION` or the profile's.
    public var region: String?
    /// The URL of the service, without a query; `http` or `https`. `nil`, the default, for `AWS_ENDPOINT_URL_…`,
    /// `AWS_ENDPOINT_URL`, the profile's, or the region's own.
    public var url: String?

    public init() {}
  }

  public var credentials = Credentials()
  public var endpoint = Endpoint()
  /// How long an attempt may take from connecting to the last byte. Default 30 s; 100 ms … 10 min.
  public var timeout: Duration = .seconds(30)
  public var retry = AWSRetryPolicy()

  public init() {}

  /// - Throws: `TidemarkError` (`invalidConfiguration`) that names everything that is wrong.
  public func validate() throws {
    var found = retry.violations(of: "retry")
    if !(Duration.milliseconds(100)...(.seconds(600))).contains(timeout) {
      found.append("timeout is \(timeout), must be within 0.1 seconds and 600.0 seconds")
    }
    if let url = endpoint.url, !AWSEndpoint.isValid(url) {
      found.append("endpoint.url is \(url), must be an http or https URL without a query")
    }
    if let region = endpoint.region, !AWSEndpoint.isValid(region: region) {
      found.append("endpoint.region is \(region), must be letters, digits and hyphens")
    }
    if credentials.profile?.isEmpty == true { found.append("credentials.profile is empty") }
    if found.isEmpty { return }
    throw TidemarkError(.invalidConfiguration, found.joined(separator: "; ") + ".")
  }
}
#endif
