#if AWS
import Crypto
import Foundation
import NIOCore
import NIOHTTP1
import Tidemark

/// Signature Version 4: signs requests for one service in one region.
struct RequestSigner: Sendable {
  var region: String
  /// The name that the service signs with, as `dynamodb` for its streams.
  var service: String

  private static let algorithm = "AWS4-HMAC-SHA256"
  /// What proxies and HTTP clients change on the way.
  private static let unsigned: Set<String> = [
    "authorization", "connection", "expect", "transfer-encoding", "user-agent", "x-amzn-trace-id",
  ]

  /// Adds the date, the session token and the signature.
  func sign(_ call: HTTPCall, as credentials: AWSCredentials, at time: Timestamp) -> HTTPCall {
    var call = call
    call.headers.replaceOrAdd(name: "Host", value: call.host)
    call.headers.replaceOrAdd(name: "X-Amz-Date", value: time.basicISO8601)
    if let token = credentials.sessionToken {
      call.headers.replaceOrAdd(name: "X-Amz-Security-Token", value: token)
    }
    let signature = signature(of: stringToSign(call, at: time), as: credentials, at: time)
    call.headers.replaceOrAdd(
      name: "Authorization",
      value: "\(Self.algorithm) Credential=\(credentials.accessKeyID)/\(scope(at: time)), "
        + "SignedHeaders=\(Self.signedHeaders(call).map(\.name).joined(separator: ";")), Signature=\(signature)"
    )
    return call
  }

  func stringToSign(_ call: HTTPCall, at time: Timestamp) -> String {
    let hash = SHA256.hash(data: Data(Self.canonicalRequest(call).utf8)).hex
    return "\(Self.algorithm)\n\(time.basicISO8601)\n\(scope(at: time))\n\(hash)"
  }

  static func canonicalRequest(_ call: HTTPCall) -> String {
    let headers = signedHeaders(call)
    return [
      call.method.rawValue, CanonicalURI.path(call.path), CanonicalURI.query(call.query),
      headers.map { "\($0.name):\($0.value)\n" }.joined(),
      headers.map(\.name).joined(separator: ";"),
      SHA256.hash(data: Data(call.body.readableBytesView)).hex,
    ].joined(separator: "\n")
  }

  private func signature(of text: String, as credentials: AWSCredentials, at time: Timestamp) -> String {
    var key = SymmetricKey(data: Data("AWS4\(credentials.secretAccessKey)".utf8))
    for part in [String(time.basicISO8601.prefix(8)), region, service, "aws4_request"] {
      key = SymmetricKey(data: HMAC<SHA256>.authenticationCode(for: Data(part.utf8), using: key))
    }
    return HMAC<SHA256>.authenticationCode(for: Data(text.utf8), using: key).hex
  }

  private func scope(at time: Timestamp) -> String {
    "\(time.basicISO8601.prefix(8))/\(region)/\(service)/aws4_request"
  }

  /// In the order of their names, each name once.
  private static func signedHeaders(_ call: HTTPCall) -> [(name: String, value: String)] {
    var values: [String: [String]] = [:]
    for (name, value) in call.headers where !unsigned.contains(name.lowercased()) {
      values[name.lowercased(), default: []].append(trimmed(value))
    }
    return values.sorted { $0.key < $1.key }.map { ($0.key, $0.value.joined(separator: ",")) }
  }

  /// Each run of blanks is one, in quotes too.
  private static func trimmed(_ value: String) -> String {
    value.split { $0 == " " || $0 == "\t" }.joined(separator: " ")
  }
}

extension Sequence<UInt8> {
  var hex: String {
    let digits = Array("0123456789abcdef".utf8)
    var text: [UInt8] = []
    for byte in self {
      text.append(digits[Int(byte >> 4)])
      text.append(digits[Int(byte & 15)])
    }
    return String(decoding: text, as: UTF8.self)
  }
}
#endif
