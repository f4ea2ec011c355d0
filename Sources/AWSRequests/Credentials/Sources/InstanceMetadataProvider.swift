#if AWS
import Logging
import NIOHTTP1
import Tidemark

/// The role of an EC2 instance, by its metadata service: version 2, or 1 where that is all there is.
struct InstanceMetadataProvider: AWSCredentialsProvider {
  var environment: AWSEnvironment
  var profile: String?
  var logger: Logger
  var name: String { "EC2 instance metadata" }

  private static let path = "/latest/meta-data/iam/security-credentials/"

  /// - Returns: `nil` where there is no such service, and on an instance without a role.
  func credentials() async throws -> AWSCredentials? {
    if environment.isTrue("AWS_EC2_METADATA_DISABLED") { return nil }
    let settings = try AWSProfiles(profile, environment).current
    let origin = origin(settings)
    do {
      let token = try await token(origin)
      if token == nil, isVersion1Disabled(settings) {
        throw TidemarkError(
          .accessDenied,
          "The instance metadata service gives no token, and its version 1 is disabled.",
          advice: "In a container the hop limit of the instance's metadata options must be at least 2."
        )
      }
      guard let role = try await get(Self.path, origin, token)?.split(whereSeparator: \.isNewline).first
      else { return nil }
      let text = try await get(Self.path + CanonicalURI.encoded(role), origin, token)
      return try credentials(in: text ?? "", of: role)
    } catch let error as TidemarkError where error.code == .sourceUnavailable {
      logger.debug("There is no instance metadata service", metadata: ["error": "\(error)"])
      return nil
    }
  }

  private func credentials(in text: String, of role: Substring) throws -> AWSCredentials {
    let document = CredentialsDocument(text)
    if let credentials = document?.credentials, document?.Code ?? "Success" == "Success" {
      return credentials
    }
    throw TidemarkError(
      .accessDenied,
      "The instance metadata service has no credentials of role \(role) (\(document?.Code ?? "no code")).",
      advice: "Check that the role trusts ec2.amazonaws.com."
    )
  }

  /// - Returns: `nil` if only version 1 can be spoken: the service knows no tokens, or the answer is lost because the
  ///   instance's hop limit ends before a container.
  private func token(_ origin: String) async throws -> String? {
    var call = HTTPCall(.PUT, url: "\(origin)/latest/api/token")
    call.headers.add(name: "x-aws-ec2-metadata-token-ttl-seconds", value: "21600")
    do {
      let answer = try await fetch.answer(to: call)
      if answer.isSuccess { return answer.text }
      if [403, 404, 405].contains(answer.status) { return nil }
      throw TidemarkError(
        .sourceUnavailable,
        "The instance metadata service answered with status \(answer.status)."
      )
    } catch let error as TidemarkError where (error.underlying as? HTTPFailure)?.isTimeout == true {
      return nil
    }
  }

  private func get(_ path: String, _ origin: String, _ token: String?) async throws -> String? {
    var call = HTTPCall(url: origin + path)
    if let token { call.headers.add(name: "x-aws-ec2-metadata-token", value: token) }
    let answer = try await fetch.answer(to: call)
    return answer.isSuccess ? answer.text : nil
  }

  private var fetch: MetadataFetch {
    MetadataFetch(
      environment: environment,
      what: "instance metadata service",
      timeout: .seconds(environment.variable("AWS_METADATA_SERVICE_TIMEOUT").flatMap(Int.init) ?? 1),
      attempts: environment.variable("AWS_METADATA_SERVICE_NUM_ATTEMPTS").flatMap(Int.init) ?? 1,
      logger: logger
    )
  }

  private func origin(_ settings: AWSProfiles.Profile?) -> String {
    func setting(_ key: String) -> String? {
      environment.variable("AWS_\(key.uppercased())") ?? settings?[key]
    }
    if let endpoint = setting("ec2_metadata_service_endpoint") {
      return endpoint.hasSuffix("/") ? String(endpoint.dropLast()) : endpoint
    }
    let isIPv6 = setting("ec2_metadata_service_endpoint_mode")?.lowercased() == "ipv6"
    return isIPv6 ? "http://[fd00:ec2::254]" : "http://169.254.169.254"
  }

  private func isVersion1Disabled(_ settings: AWSProfiles.Profile?) -> Bool {
    environment.isTrue("AWS_EC2_METADATA_V1_DISABLED")
      || settings?["ec2_metadata_v1_disabled"]?.lowercased() == "true"
  }
}
#endif
