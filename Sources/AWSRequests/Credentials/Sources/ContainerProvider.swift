#if AWS
import Foundation
import Logging
import NIOHTTP1
import Tidemark

/// The endpoint that ECS and EKS Pod Identity give a container.
struct ContainerProvider: AWSCredentialsProvider {
  var environment: AWSEnvironment
  var logger: Logger
  var name: String { "container endpoint" }

  /// Where credentials may be fetched without TLS: this host, ECS and EKS.
  private static let plainHosts: Set<String> = [
    "localhost", "169.254.170.2", "169.254.170.23", "fd00:ec2::23", "::1",
  ]

  func credentials() async throws -> AWSCredentials? {
    guard let url = try url() else { return nil }
    var call = HTTPCall(url: url)
    call.headers.add(name: "Accept", value: "application/json")
    if let token = try token() { call.headers.add(name: "Authorization", value: token) }
    let fetch = MetadataFetch(
      environment: environment,
      what: name,
      timeout: .seconds(2),
      attempts: 3,
      logger: logger
    )
    let answer = try await fetch.answer(to: call)
    guard answer.isSuccess, let credentials = CredentialsDocument(answer.text)?.credentials else {
      throw TidemarkError(
        .accessDenied,
        "The container endpoint \(call.origin) answered with status \(answer.status) and no credentials.",
        advice: "Check that the task or the pod has a role."
      )
    }
    return credentials
  }

  /// - Returns: `nil` outside such a container.
  func url() throws -> String? {
    if let path = environment.variable("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") {
      return "http://169.254.170.2\(path.hasPrefix("/") ? "" : "/")\(path)"
    }
    guard let url = environment.variable("AWS_CONTAINER_CREDENTIALS_FULL_URI") else { return nil }
    let parts = URLComponents(string: url)
    let host = parts?.host?.trimmingCharacters(in: CharacterSet(charactersIn: "[]")).lowercased() ?? ""
    if parts?.scheme == "https", !host.isEmpty { return url }
    if parts?.scheme == "http", Self.plainHosts.contains(host) || Self.isLoopback(host) { return url }
    throw TidemarkError(
      .invalidConfiguration,
      "AWS_CONTAINER_CREDENTIALS_FULL_URI is neither an https URL nor an http one of this host, ECS or EKS."
    )
  }

  private static func isLoopback(_ host: String) -> Bool {
    host.wholeMatch(of: /127\.\d{1,3}\.\d{1,3}\.\d{1,3}/) != nil
  }

  /// The file is read each time, because EKS writes a new token into it now and then.
  private func token() throws -> String? {
    var token = environment.variable("AWS_CONTAINER_AUTHORIZATION_TOKEN")
    if let path = environment.variable("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE") {
      token = try environment.readFile(environment.path(path))
      if token == nil {
        throw TidemarkError(
          .invalidConfiguration,
          "There is no file \(path), which AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE names."
        )
      }
    }
    // Bytes, because a carriage return and a line feed are one character.
    if let token, token.utf8.contains(where: { $0 == 10 || $0 == 13 }) {
      throw TidemarkError(
        .invalidConfiguration,
        "The container's authorization token holds a line break and can be no header."
      )
    }
    return token
  }
}
#endif
