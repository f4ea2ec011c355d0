#if AWS
import Crypto
import Foundation
import NIOCore
import NIOHTTP1
import Tidemark

/// A role of IAM Identity Center, by the token that `aws sso login` left in the cache.
struct SSOProvider: AWSCredentialsProvider {
  var sources: CredentialsSources
  var profile: String?
  var name: String { "SSO" }

  private struct Login {
    var profile: String
    var session: String?
    var startURL: String
    var region: String
    var account: String
    var role: String

    /// The name of the token's file comes from what one logs in to.
    var tokenFile: String {
      let hash = Insecure.SHA1.hash(data: Data((session ?? startURL).utf8)).hex
      return "~/.aws/sso/cache/\(hash).json"
    }
  }

  private struct Token: Decodable {
    var accessToken: String
    var expiresAt: String
  }

  private struct Answer: Decodable {
    struct Role: Decodable {
      var accessKeyId: String
      var secretAccessKey: String
      var sessionToken: String
      /// In milliseconds.
      var expiration: Int64
    }
    var roleCredentials: Role
  }

  func credentials() async throws -> AWSCredentials? {
    let profiles = try sources.profiles(profile)
    guard let login = try login(profiles) else { return nil }
    let call = try call(login, profiles, token: token(of: login))
    let fetch = MetadataFetch(
      environment: sources.environment,
      what: "SSO portal",
      timeout: .seconds(10),
      attempts: 3,
      logger: sources.logger
    )
    let answer = try await fetch.answer(to: call)
    guard answer.isSuccess else { throw refusal(answer, login) }
    guard let role = try? JSONDecoder().decode(Answer.self, from: Data(answer.body.readableBytesView))
    else { throw TidemarkError(.sourceUnavailable, "The SSO portal's answer holds no credentials.") }
    return AWSCredentials(
      accessKeyID: role.roleCredentials.accessKeyId,
      secretAccessKey: role.roleCredentials.secretAccessKey,
      sessionToken: role.roleCredentials.sessionToken,
      expiration: Timestamp(millisecondsSinceEpoch: role.roleCredentials.expiration)
    )
  }

  private func call(_ login: Login, _ profiles: AWSProfiles, token: String) throws -> HTTPCall {
    var call = HTTPCall(
      url: try AWSEndpoint.url(
        of: .sso,
        region: login.region,
        explicit: nil,
        environment: sources.environment,
        profile: profiles.current
      ) + "/federation/credentials"
    )
    let account = CanonicalURI.encoded(login.account)
    call.query = "role_name=\(CanonicalURI.encoded(login.role))&account_id=\(account)"
    call.headers.add(name: "x-amz-sso_bearer_token", value: token)
    return call
  }

  /// - Returns: `nil` for a profile without SSO.
  private func login(_ profiles: AWSProfiles) throws -> Login? {
    guard let profile = profiles.current,
      profile["sso_account_id"] != nil || profile["sso_role_name"] != nil
    else { return nil }
    var values = profile.values
    if let name = profile["sso_session"] {
      guard let session = profiles.ssoSession(name) else {
        throw problem(profile.name, "has the sso_session \(name), which does not exist")
      }
      for (key, value) in session {
        if let other = values[key], other != value {
          throw problem(profile.name, "and its sso-session \(name) differ in \(key)")
        }
        values[key] = value
      }
    }
    let needed = ["sso_start_url", "sso_region", "sso_account_id", "sso_role_name"]
    let found = needed.compactMap { values[$0] }
    guard found.count == needed.count else {
      let missing = needed.filter { values[$0] == nil }
      throw problem(profile.name, "uses SSO without \(missing.joined(separator: ", "))")
    }
    return Login(
      profile: profile.name,
      session: profile["sso_session"],
      startURL: found[0],
      region: found[1],
      account: found[2],
      role: found[3]
    )
  }

  private func token(of login: Login) throws -> String {
    let environment = sources.environment
    guard let text = try environment.readFile(environment.path(login.tokenFile)),
      let token = try? JSONDecoder().decode(Token.self, from: Data(text.utf8)),
      let expiration = Timestamp(iso8601: token.expiresAt)
    else { throw loggedOut(login, "There is no SSO token of profile \(login.profile).") }
    guard expiration > environment.now() else {
      throw loggedOut(login, "The SSO token of profile \(login.profile) has expired.")
    }
    return token.accessToken
  }

  private func refusal(_ answer: HTTPAnswer, _ login: Login) -> TidemarkError {
    if answer.status == 401 {
      return loggedOut(login, "The SSO portal does not accept the token of profile \(login.profile).")
    }
    return TidemarkError(
      .accessDenied,
      "The SSO portal refuses role \(login.role) of account \(login.account) with status \(answer.status).",
      advice: "Check that the role is assigned to the user who logged in."
    )
  }

  private func loggedOut(_ login: Login, _ what: String) -> TidemarkError {
    TidemarkError(.accessDenied, what, advice: "Run: aws sso login --profile \(login.profile)")
  }

  private func problem(_ profile: String, _ what: String) -> TidemarkError {
    TidemarkError(.invalidConfiguration, "The AWS profile \(profile) \(what).")
  }
}
#endif
