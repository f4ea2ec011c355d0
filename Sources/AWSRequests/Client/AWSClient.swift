#if AWS
import AsyncHTTPClient
import Foundation
import Logging
import NIOCore
import NIOHTTP1
import Synchronization
import Tidemark

/// Makes signed requests to AWS's services in one region.
///
/// Its connections are the process's, so there is nothing to close. It is safe to use from many tasks.
package final class AWSClient: Sendable {
  package let region: String
  private let configuration: AWSConfiguration
  private let environment: AWSEnvironment
  private let profile: AWSProfiles.Profile?
  private let cache: CredentialsCache
  private let loop: AttemptLoop
  /// How long an attempt may take.
  package var timeout: Duration { configuration.timeout }
  /// How far this machine's clock is behind, as far as the services complained.
  private let clockOffset = Mutex(Duration.zero)

  /// - Parameter region: the region of what is asked for, if it is known.
  /// - Throws: `TidemarkError` (`invalidConfiguration`).
  package init(
    _ configuration: AWSConfiguration = AWSConfiguration(),
    region: String? = nil,
    environment: AWSEnvironment = AWSEnvironment(),
    logger: Logger = Logger(label: "tidemark.aws")
  ) throws {
    try configuration.validate()
    let profiles = try AWSProfiles(configuration.credentials.profile, environment)
    self.region = try profiles.region(configuration.endpoint.region ?? region, environment)
    self.configuration = configuration
    self.environment = environment
    profile = profiles.current
    let provider =
      configuration.credentials.provider
      ?? CredentialsSources(configuration, region: self.region, environment: environment, logger: logger)
      .chain
    cache = CredentialsCache(provider, environment: environment, logger: logger)
    loop = AttemptLoop(policy: configuration.retry, environment: environment, logger: logger)
  }

  /// Sends a request whose input is small, and is encoded with Foundation.
  package func send(
    _ operation: String,
    to service: AWSService,
    _ input: some Encodable
  ) async throws -> AWSResponse {
    try await send(operation, to: service, body: ByteBuffer(bytes: JSONEncoder().encode(input)))
  }

  /// Sends a request and reads the whole answer, again as long as the policy allows.
  ///
  /// - Parameter body: a JSON object.
  /// - Throws: `TidemarkError`, whose `underlying` is the ``AWSError`` if the service answered; `CancellationError`.
  package func send(
    _ operation: String,
    to service: AWSService,
    body: ByteBuffer = ByteBuffer(string: "{}")
  ) async throws -> AWSResponse {
    try await perform(operation, to: service, body) { call, reader in
      try reader.response(of: try await HTTPTransport.send(call, timeout: timeout))
    }
  }

  /// Sends a request whose answer is a stream, which the caller reads. Tried again only until the stream begins.
  package func open(_ operation: String, to service: AWSService, _ input: some Encodable) async throws
    -> HTTPClientResponse
  {
    let body = try ByteBuffer(bytes: JSONEncoder().encode(input))
    return try await perform(operation, to: service, body) { call, reader in
      let response = try await HTTPTransport.open(call, timeout: timeout)
      if response.status == .ok { return response }
      let status = Int(response.status.code)
      let text = try? await response.body.collect(upTo: 1 << 16)
      throw reader.failure(
        of: HTTPAnswer(status: status, headers: response.headers, body: text ?? ByteBuffer())
      )
    }
  }

  private func perform<Output: Sendable>(
    _ operation: String,
    to service: AWSService,
    _ body: ByteBuffer,
    _ exchange: (HTTPCall, AnswerReader) async throws -> Output
  ) async throws -> Output {
    let call = try call(operation, to: service, body)
    let signer = RequestSigner(region: region, service: service.signingName)
    var credentials = try await cache.credentials()
    return try await loop.run(
      renew: { credentials = try await self.cache.credentials(after: credentials) },
      correct: { offset in self.clockOffset.withLock { $0 = offset } },
      {
        let now = environment.now()
        let signedAt = now + clockOffset.withLock { $0 }
        do {
          return try await exchange(
            signer.sign(call, as: credentials, at: signedAt),
            AnswerReader(
              operation: operation,
              now: now,
              signedAt: signedAt,
              meaning: service.meaning
            )
          )
        } catch let failure as HTTPFailure {
          throw AWSFailure(failure, asking: operation, at: call.origin)
        }
      }
    )
  }

  private func call(_ operation: String, to service: AWSService, _ body: ByteBuffer) throws -> HTTPCall {
    var call = HTTPCall(
      .POST,
      url: try AWSEndpoint.url(
        of: service,
        region: region,
        explicit: configuration.endpoint.url,
        environment: environment,
        profile: profile
      )
    )
    call.headers.add(name: "Content-Type", value: "application/x-amz-json-\(service.jsonVersion)")
    call.headers.add(name: "X-Amz-Target", value: "\(service.targetPrefix).\(operation)")
    call.body = body
    return call
  }
}
#endif
