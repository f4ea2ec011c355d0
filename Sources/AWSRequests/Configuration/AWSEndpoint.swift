#if AWS
import Foundation
import Tidemark

/// Where a service is.
enum AWSEndpoint {
  /// What was configured for the service in particular goes before what was for all, and the environment before the
  /// profile.
  static func url(
    of service: AWSService,
    region: String,
    explicit: String?,
    environment: AWSEnvironment,
    profile: AWSProfiles.Profile?
  ) throws -> String {
    if let url = explicit ?? configured(service, environment, profile) {
      guard isValid(url) else {
        throw TidemarkError(
          .invalidConfiguration,
          "The endpoint of \(service.identifier) is \(url), which is no http or https URL without a query.",
          advice:
            "Correct AWS_ENDPOINT_URL_\(service.identifier), AWS_ENDPOINT_URL or the profile's endpoint_url."
        )
      }
      return url.hasSuffix("/") ? String(url.dropLast()) : url
    }
    return "https://\(service.endpointPrefix).\(region).\(domain(of: region))"
  }

  private static func configured(
    _ service: AWSService,
    _ environment: AWSEnvironment,
    _ profile: AWSProfiles.Profile?
  ) -> String? {
    if environment.isTrue("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS")
      || profile?["ignore_configured_endpoint_urls"]?.lowercased() == "true"
    {
      return nil
    }
    return environment.variable("AWS_ENDPOINT_URL_\(service.identifier)")
      ?? environment.variable("AWS_ENDPOINT_URL")
      ?? profile?.services[service.identifier.lowercased()]?["endpoint_url"]
      ?? profile?["endpoint_url"]
  }

  /// The domain of the region's partition.
  private static func domain(of region: String) -> String {
    region.hasPrefix("cn-") ? "amazonaws.com.cn" : "amazonaws.com"
  }

  static func isValid(_ url: String) -> Bool {
    guard let parts = URLComponents(string: url), let host = parts.host, !host.isEmpty else { return false }
    return ["http", "https"].contains(parts.scheme) && parts.query == nil && parts.fragment == nil
      && parts.user == nil && parts.password == nil
  }

  /// It becomes a part of a host's name.
  static func isValid(region: String) -> Bool {
    region.wholeMatch(of: /[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?/) != nil
  }
}
#endif
