#if AWS
import Foundation
import NIOCore
import NIOHTTP1
import Tidemark

/// Makes a response or a failure of an answer of the JSON protocol.
struct AnswerReader: Sendable {
  var operation: String
  /// What this machine's clock said, and what the request was signed with.
  var now: Timestamp
  var signedAt: Timestamp
  var meaning: AWSErrorMeaning.Finder = { _, _ in nil }

  func response(of answer: HTTPAnswer) throws -> AWSResponse {
    guard answer.isSuccess else { throw failure(of: answer) }
    let response = AWSResponse(
      body: answer.body,
      requestID: answer.requestID,
      date: answer.date,
      operation: operation
    )
    if let problem = Self.problem(of: answer) { throw AWSFailure(.transient, response.malformed(problem)) }
    return response
  }

  func failure(of answer: HTTPAnswer) -> AWSFailure {
    let date = answer.date
    let error = Self.error(in: answer)
    let kind = AWSErrorKind(
      code: error.code,
      status: error.status,
      skew: date.map { $0 - signedAt }
    )
    return AWSFailure(
      error,
      kind: kind,
      of: operation,
      meaning: meaning(error.code, operation),
      clockOffset: date.map { $0 - now }
    )
  }

  /// Reads it without parsing, which is for the caller that knows what should be in it: a part of an answer, or what
  /// something else than the service said.
  private static func problem(of answer: HTTPAnswer) -> String? {
    let bytes = answer.body.readableBytesView
    if let header = answer.headers.first(name: "x-amz-crc32"), let expected = UInt32(header) {
      let actual = answer.body.withUnsafeReadableBytes { CRC32.checksum($0) }
      if actual != expected { return "its checksum is \(actual), not \(expected) as x-amz-crc32 says." }
    }
    let blanks = Set(" \t\r\n".utf8)
    guard let first = bytes.first(where: { !blanks.contains($0) }) else { return "it is empty." }
    if first != UInt8(ascii: "{") { return "it is no JSON object but begins with '\(answer.excerpt)'." }
    if bytes.last(where: { !blanks.contains($0) }) != UInt8(ascii: "}") { return "it ends in the middle." }
    return nil
  }

  /// The code is in the body, as the services send it, or in a header, as some proxies and emulators do.
  private static func error(in answer: HTTPAnswer) -> AWSError {
    struct Body: Decodable {
      var __type: String?
      var message: String?
      var Message: String?
    }
    let body = try? JSONDecoder().decode(Body.self, from: Data(answer.body.readableBytesView))
    let type = body?.__type ?? answer.headers.first(name: "x-amzn-errortype") ?? ""
    return AWSError(
      code: code(in: type),
      message: body?.message ?? body?.Message ?? answer.excerpt,
      status: answer.status,
      requestID: answer.requestID
    )
  }

  /// `com.amazonaws.dynamodb.v20120810#ResourceNotFoundException:http://…` → `ResourceNotFoundException`
  static func code(in type: String) -> String {
    let name = type.prefix { $0 != ":" }
    return name.split(separator: "#").last.map(String.init) ?? ""
  }
}

extension HTTPAnswer {
  fileprivate var requestID: String? { headers.first(name: "x-amzn-RequestId") }
  fileprivate var date: Timestamp? { headers.first(name: "Date").flatMap(Timestamp.init(httpDate:)) }
}
#endif
