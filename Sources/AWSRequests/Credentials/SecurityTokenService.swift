#if AWS
import NIOCore
import NIOHTTP1
import Tidemark

/// STS, as far as credentials need it: the query protocol, with answers in XML.
struct SecurityTokenService: Sendable {
  var sources: CredentialsSources

  /// - Parameters:
  ///   - parameters: what the action needs, without those that are empty.
  ///   - credentials: whose the request is; `nil` for an action that brings its own proof.
  func credentials(
    by action: String,
    _ parameters: [String: String],
    as credentials: AWSCredentials? = nil
  ) async throws -> AWSCredentials {
    let call = try call(action, parameters)
    var policy = AWSRetryPolicy()
    policy.maximumAttempts = 3
    let loop = AttemptLoop(policy: policy, environment: sources.environment, logger: sources.logger)
    var offset = Duration.zero
    return try await loop.run(correct: { offset = $0 }) {
      let now = sources.environment.now()
      do {
        let answer = try await HTTPTransport.send(
          credentials.map { signer.sign(call, as: $0, at: now + offset) } ?? call,
          timeout: .seconds(10)
        )
        return try Self.credentials(in: answer, of: action, now: now, offset: offset)
      } catch let failure as HTTPFailure {
        throw AWSFailure(failure, asking: action, at: call.origin)
      }
    }
  }

  private var signer: RequestSigner { RequestSigner(region: sources.region, service: "sts") }

  private func call(_ action: String, _ parameters: [String: String]) throws -> HTTPCall {
    let profiles = try AWSProfiles(sources.profile, sources.environment)
    let url = try AWSEndpoint.url(
      of: .sts,
      region: sources.region,
      explicit: nil,
      environment: sources.environment,
      profile: profiles.current
    )
    var call = HTTPCall(.POST, url: url)
    call.headers.add(name: "Content-Type", value: "application/x-www-form-urlencoded; charset=utf-8")
    let all = parameters.merging(["Action": action, "Version": "2011-06-15"]) { $1 }
    let fields = all.sorted { $0.key < $1.key }.map { "\($0.key)=\(CanonicalURI.encoded($0.value))" }
    call.body = ByteBuffer(string: fields.joined(separator: "&"))
    return call
  }

  static func credentials(
    in answer: HTTPAnswer,
    of action: String,
    now: Timestamp,
    offset: Duration
  ) throws -> AWSCredentials {
    let xml = answer.text
    func element(_ name: String) -> String? { XMLElement.text(of: name, in: xml) }
    if answer.isSuccess, let id = element("AccessKeyId"), let secret = element("SecretAccessKey"),
      let token = element("SessionToken"),
      let expiration = element("Expiration").flatMap(Timestamp.init(iso8601:))
    {
      return AWSCredentials(
        accessKeyID: id,
        secretAccessKey: secret,
        sessionToken: token,
        expiration: expiration
      )
    }
    let error = AWSError(
      code: element("Code") ?? "",
      message: element("Message") ?? (answer.isSuccess ? "an answer without credentials" : ""),
      status: answer.status,
      requestID: element("RequestId") ?? answer.headers.first(name: "x-amzn-RequestId")
    )
    let date = answer.headers.first(name: "Date").flatMap(Timestamp.init(httpDate:))
    let kind =
      answer.isSuccess
      ? .transient
      : AWSErrorKind(
        code: error.code,
        status: error.status,
        skew: date.map { $0 - (now + offset) }
      )
    throw AWSFailure(error, kind: kind, of: action, clockOffset: date.map { $0 - now })
  }
}
#endif
