#if AWS
import Synchronization

/// Asks one provider after the other. The first that has credentials is the one that is asked from then on, so that a
/// worker does not change its identity halfway.
final class CredentialsChain: AWSCredentialsProvider {
  private let providers: [any AWSCredentialsProvider]
  private let chosen = Mutex<(any AWSCredentialsProvider)?>(nil)

  init(_ providers: [any AWSCredentialsProvider]) {
    self.providers = providers
  }

  var name: String { chosen.withLock { $0?.name } ?? "credential chain" }

  func credentials() async throws -> AWSCredentials? {
    if let provider = chosen.withLock({ $0 }) { return try await provider.credentials() }
    for provider in providers {
      guard let credentials = try await provider.credentials() else { continue }
      chosen.withLock { $0 = provider }
      return credentials
    }
    return nil
  }
}
#endif
