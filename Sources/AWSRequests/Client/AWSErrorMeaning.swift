#if AWS
import Tidemark

/// What an error of one service means to the caller, where it is not what it means everywhere.
package struct AWSErrorMeaning: Sendable {
  /// - Returns: `nil` for an error that means what it means everywhere.
  package typealias Finder = @Sendable (_ code: String, _ operation: String) -> AWSErrorMeaning?

  var code: TidemarkError.Code
  /// `nil`: as everywhere.
  var kind: AWSErrorKind?
  var advice: String?

  package init(_ code: TidemarkError.Code, _ kind: AWSErrorKind? = nil, advice: String? = nil) {
    self.code = code
    self.kind = kind
    self.advice = advice
  }
}
#endif
