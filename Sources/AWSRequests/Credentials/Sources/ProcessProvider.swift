#if AWS
import Tidemark

/// `credential_process`: a program that writes credentials. It is run without a shell.
struct ProcessProvider: AWSCredentialsProvider {
  var sources: CredentialsSources
  var profile: String?
  var name: String { "credential_process" }

  func credentials() async throws -> AWSCredentials? {
    let profiles = try sources.profiles(profile)
    guard let line = profiles.current?["credential_process"] else { return nil }
    guard let words = ShellWords.split(line), let program = words.first else {
      throw failure("has a quote without an end", profiles.name)
    }
    let result: AWSEnvironment.CommandResult
    do {
      result = try await sources.environment.runCommand(words)
    } catch {
      throw failure("cannot be run (\(program))", profiles.name, error)
    }
    if result.exitCode != 0 {
      throw failure("ended with code \(result.exitCode) (\(program))", profiles.name)
    }
    guard let document = CredentialsDocument(result.output), document.Version == 1,
      let credentials = document.credentials
    else { throw failure("wrote something else than credentials of version 1", profiles.name) }
    return credentials
  }

  private func failure(_ what: String, _ profile: String, _ error: (any Error)? = nil) -> TidemarkError {
    TidemarkError(
      .accessDenied,
      "The credential_process of profile \(profile) \(what).",
      advice: "Run it by hand; what it says to its standard error is in this process's.",
      underlying: error
    )
  }
}
#endif
