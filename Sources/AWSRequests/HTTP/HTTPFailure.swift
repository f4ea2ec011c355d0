#if AWS
import AsyncHTTPClient
import NIOCore

/// No answer, or only a part of one.
package struct HTTPFailure: Error, Sendable, CustomStringConvertible {
  package var description: String
  var isTimeout = false

  static func timeout(_ timeout: Duration) -> HTTPFailure {
    HTTPFailure(description: "There was no whole answer within \(timeout).", isTimeout: true)
  }

  private init(description: String, isTimeout: Bool) {
    self.description = description
    self.isTimeout = isTimeout
  }

  /// - Throws: `CancellationError` if the error is one: a cancelled caller must not try again.
  init(_ error: any Error) throws {
    if error is CancellationError || Task.isCancelled { throw CancellationError() }
    switch error {
    case let failure as HTTPFailure: self = failure
    case is NIOTooManyBytesError: description = "The answer is larger than anything that this protocol has."
    case let error as HTTPClientError:
      description = "\(error.shortDescription)."
      isTimeout = [.connectTimeout, .deadlineExceeded, .readTimeout].contains(error)
    default: description = "\(error)"
    }
  }
}
#endif
