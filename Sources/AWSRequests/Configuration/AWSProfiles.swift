#if AWS
import Tidemark

/// The shared files: `~/.aws/config` and `~/.aws/credentials`, or those that `AWS_CONFIG_FILE` and
/// `AWS_SHARED_CREDENTIALS_FILE` name.
struct AWSProfiles: Sendable {
  struct Profile: Sendable {
    var name: String
    var values: [String: String] = [:]
    /// What its `services` section says, by service.
    var services: [String: [String: String]] = [:]

    subscript(key: String) -> String? {
      guard let value = values[key], !value.isEmpty else { return nil }
      return value
    }
  }

  /// The name of the profile in use.
  let name: String
  /// Whether somebody asked for it, so that it has to exist.
  let isNamed: Bool
  private let config: INIFile
  private let credentials: INIFile

  init(_ name: String? = nil, _ environment: AWSEnvironment) throws {
    let named = name ?? environment.variable("AWS_PROFILE") ?? environment.variable("AWS_DEFAULT_PROFILE")
    self.name = named ?? "default"
    isNamed = named != nil
    config = try Self.file(environment.variable("AWS_CONFIG_FILE") ?? "~/.aws/config", environment)
    let path = environment.variable("AWS_SHARED_CREDENTIALS_FILE") ?? "~/.aws/credentials"
    credentials = try Self.file(path, environment)
  }

  private static func file(_ path: String, _ environment: AWSEnvironment) throws -> INIFile {
    let path = environment.path(path)
    do {
      return try environment.readFile(path).map { try INIFile($0, name: path) } ?? INIFile()
    } catch let error as TidemarkError {
      throw error
    } catch {
      throw TidemarkError(.invalidConfiguration, "Cannot read \(path).", underlying: error)
    }
  }

  /// The profile in use; `nil` if no file has it.
  var current: Profile? { profile(name) }

  /// What both files say of a profile; the credentials file has the last word.
  func profile(_ name: String) -> Profile? {
    let parts = [configSection(of: name), credentials.sections[name]].compactMap { $0 }
    if parts.isEmpty { return nil }
    var profile = Profile(name: name)
    for part in parts { profile.values.merge(part.mapValues(\.text)) { $1 } }
    if let services = profile["services"], let section = config.sections["services \(services)"] {
      profile.services = section.mapValues(\.nested)
    }
    return profile
  }

  /// The access key that the credentials file holds.
  func sharedCredentials(of name: String) throws -> AWSCredentials? {
    try Self.accessKey(in: credentials.sections[name], "profile \(name) of the shared credentials file")
  }

  /// The access key that the config file holds.
  func configCredentials(of name: String) throws -> AWSCredentials? {
    try Self.accessKey(in: configSection(of: name), "profile \(name) of the config file")
  }

  func ssoSession(_ name: String) -> [String: String]? {
    config.sections["sso-session \(name)"]?.mapValues(\.text)
  }

  /// - Parameter explicit: what goes before everything else.
  func region(_ explicit: String?, _ environment: AWSEnvironment) throws -> String {
    let region =
      explicit ?? environment.variable("AWS_REGION") ?? environment.variable("AWS_DEFAULT_REGION")
      ?? current?["region"]
    guard let region, AWSEndpoint.isValid(region: region) else {
      throw TidemarkError(
        .invalidConfiguration,
        region.map { "\($0) is no region." } ?? "No AWS region is known.",
        advice: "Name the stream by its ARN, or set AWS_REGION or the profile's region."
      )
    }
    return region
  }

  private func configSection(of name: String) -> [String: INIFile.Value]? {
    config.sections["profile \(name)"] ?? (name == "default" ? config.sections["default"] : nil)
  }

  private static func accessKey(in section: [String: INIFile.Value]?, _ place: String) throws
    -> AWSCredentials?
  {
    func value(_ key: String) -> String? {
      guard let text = section?[key]?.text, !text.isEmpty else { return nil }
      return text
    }
    guard let id = value("aws_access_key_id") else { return nil }
    guard let secret = value("aws_secret_access_key") else {
      throw TidemarkError(
        .invalidConfiguration,
        "The \(place) has an aws_access_key_id without an aws_secret_access_key."
      )
    }
    let token = value("aws_session_token") ?? value("aws_security_token")
    return AWSCredentials(accessKeyID: id, secretAccessKey: secret, sessionToken: token)
  }
}
#endif
