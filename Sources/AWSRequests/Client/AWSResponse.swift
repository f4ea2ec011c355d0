#if AWS
import Foundation
import NIOCore
import Tidemark

/// What a service answered to a request that succeeded: a JSON object.
package struct AWSResponse: Sendable {
  package var body: ByteBuffer
  package var requestID: String?
  /// When the service made it, cut off to the second; `nil` if it does not say.
  package var date: Timestamp?
  /// The operation that was asked for, for errors.
  package var operation: String

  package init(body: ByteBuffer, requestID: String? = nil, date: Timestamp? = nil, operation: String) {
    self.body = body
    self.requestID = requestID
    self.date = date
    self.operation = operation
  }

  /// Decodes the answer with Foundation, which is for the answers that come now and then, not for records.
  ///
  /// - Throws: `TidemarkError` (`sourceUnavailable`).
  package func decoded<Value: Decodable>(as type: Value.Type = Value.self) throws -> Value {
    do {
      return try JSONDecoder().decode(type, from: Data(body.readableBytesView))
    } catch {
      throw malformed("\(error)")
    }
  }

  /// The error of an answer that is not what the operation is defined to answer.
  package func malformed(_ what: String) -> TidemarkError {
    TidemarkError(
      .sourceUnavailable,
      "Cannot read the answer to \(operation): \(what)",
      underlying: AWSError(code: "", message: what, status: 200, requestID: requestID)
    )
  }
}
#endif
