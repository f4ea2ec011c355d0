#if AWS
import Logging
import Tidemark

/// The credentials in use. All callers share one refresh at a time.
actor CredentialsCache {
  private struct Entry {
    var credentials: AWSCredentials
    var obtained: Timestamp
  }

  /// How long a source that failed is left alone while there are credentials that still work.
  private static let pauseAfterFailure = Duration.seconds(30)

  private let provider: any AWSCredentialsProvider
  private let environment: AWSEnvironment
  private let logger: Logger
  private var entry: Entry?
  private var refresh: Task<AWSCredentials, any Error>?
  private var lastFailure: ContinuousClock.Instant?

  init(_ provider: any AWSCredentialsProvider, environment: AWSEnvironment, logger: Logger) {
    self.provider = provider
    self.environment = environment
    self.logger = logger
  }

  /// - Throws: `TidemarkError` if there are none.
  func credentials() async throws -> AWSCredentials {
    guard let entry else { return try await refreshed() }
    switch CredentialsFreshness(of: entry.credentials, since: entry.obtained, at: environment.now()) {
    case .fresh: return entry.credentials
    case .advisory:
      if !isPausing { _ = startRefresh() }
      return entry.credentials
    case .mandatory:
      if isPausing { return entry.credentials }
      return (try? await refreshed()) ?? entry.credentials
    case .expired: return try await refreshed()
    }
  }

  /// Others than these, which a service calls expired.
  func credentials(after rejected: AWSCredentials) async throws -> AWSCredentials {
    if let entry, entry.credentials != rejected { return try await credentials() }
    return try await refreshed()
  }

  private var isPausing: Bool {
    guard let lastFailure else { return false }
    return environment.clock.now < lastFailure + Self.pauseAfterFailure
  }

  private func refreshed() async throws -> AWSCredentials {
    try await startRefresh().value
  }

  /// A task of its own, because a refresh serves all who wait for it: the one who came first may be cancelled. Its end
  /// is bounded by the timeouts of the providers.
  private func startRefresh() -> Task<AWSCredentials, any Error> {
    if let refresh { return refresh }
    let task = Task { try await self.fetch() }
    refresh = task
    return task
  }

  private func fetch() async throws -> AWSCredentials {
    defer { refresh = nil }
    do {
      guard let credentials = try await provider.credentials() else { throw TidemarkError.noCredentials }
      let now = environment.now()
      if let expiration = credentials.expiration, expiration <= now {
        throw TidemarkError.expiredCredentials(provider.name)
      }
      logger.info(
        "\(entry == nil ? "Using" : "Refreshed") AWS credentials",
        metadata: ["provider": "\(provider.name)", "accessKeyID": "\(credentials.accessKeyID)"]
      )
      entry = Entry(credentials: credentials, obtained: now)
      lastFailure = nil
      return credentials
    } catch {
      lastFailure = environment.clock.now
      logger.warning(
        "Could not get AWS credentials",
        metadata: ["provider": "\(provider.name)", "error": "\(error)"]
      )
      throw error
    }
  }
}

extension TidemarkError {
  fileprivate static let noCredentials = TidemarkError(
    .accessDenied,
    "There are no AWS credentials.",
    advice: "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or AWS_PROFILE, or run where there is a role "
      + "(ECS, EKS, EC2)."
  )

  fileprivate static func expiredCredentials(_ provider: String) -> TidemarkError {
    TidemarkError(
      .accessDenied,
      "The AWS credentials of the \(provider) have expired, and it has no newer ones.",
      advice: "Renew them where they come from, and look whether this machine's clock is right."
    )
  }
}
#endif
