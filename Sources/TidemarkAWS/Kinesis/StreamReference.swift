#if AWS
import AWSRequests
import Tidemark

/// What the reader of a Kinesis stream calls it.
struct StreamReference: Sendable, Hashable {
  /// The parameter that requests carry it in.
  enum Parameter: Sendable, Hashable {
    case name(String)
    case arn(String)
  }

  var parameter: Parameter
  /// Of the ARN.
  var region: String?

  /// - Throws: `TidemarkError` (`invalidConfiguration`) for what is neither a name nor an ARN.
  init(_ text: String) throws {
    if let arn = AWSResourceName(text), arn.service == "kinesis", arn.resource.hasPrefix("stream/") {
      (parameter, region) = (.arn(text), arn.region)
    } else if Self.isName(text) {
      parameter = .name(text)
    } else {
      throw TidemarkError(
        .invalidConfiguration,
        "'\(text)' is neither the name of a Kinesis stream nor its ARN.",
        advice: "Name it as 'orders' or 'arn:aws:kinesis:eu-central-1:123456789012:stream/orders'."
      )
    }
  }

  /// What streams and their consumers are called.
  static func isName(_ text: String) -> Bool {
    (1...128).contains(text.utf8.count) && text.utf8.allSatisfy(isAllowed)
  }

  private static func isAllowed(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
      UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: "."), UInt8(ascii: "-"):
      true
    default: false
    }
  }
}
#endif
