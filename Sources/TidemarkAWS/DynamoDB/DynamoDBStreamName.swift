#if AWS
import AWSRequests
import Tidemark

/// What a stream is asked for by.
enum DynamoDBStreamName: Sendable, Hashable {
  /// The table's name alone, of the account and region that the credentials have.
  case tableName(String)
  case table(arn: String)
  case stream(arn: String)

  /// - Throws: `TidemarkError` (`invalidConfiguration`).
  init(_ text: String) throws {
    if text.wholeMatch(of: /[a-zA-Z0-9_.-]{3,255}/) != nil {
      self = .tableName(text)
      return
    }
    let name = AWSResourceName(text)
    let parts = name.map { $0.resource.split(separator: "/", maxSplits: 3) } ?? []
    switch (name?.service, parts.first, parts.count) {
    case ("dynamodb", "table", 2): self = .table(arn: text)
    case ("dynamodb", "table", 4) where parts[2] == "stream": self = .stream(arn: text)
    default:
      throw TidemarkError(
        .invalidConfiguration,
        "\(text) is neither a table's name nor the ARN of a table or a stream.",
        advice: "An ARN is arn:aws:dynamodb:REGION:ACCOUNT:table/TABLE, with /stream/LABEL for a stream."
      )
    }
  }

  var text: String {
    switch self {
    case .tableName(let text), .table(let text), .stream(let text): text
    }
  }

  var arn: String? {
    if case .tableName = self { nil } else { text }
  }

  var isTable: Bool {
    if case .stream = self { false } else { true }
  }

  var region: String? { arn.flatMap(AWSResourceName.init).map(\.region) }

  var tableName: String {
    guard let resource = arn.flatMap(AWSResourceName.init)?.resource else { return text }
    return String(resource.split(separator: "/")[1])
  }

  /// `arn:…:table/orders/stream/2026-…` → `arn:…:table/orders`
  static func table(ofStream arn: String) -> String {
    arn.firstRange(of: "/stream/").map { String(arn[..<$0.lowerBound]) } ?? arn
  }
}
#endif
