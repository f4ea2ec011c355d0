#if AWS
/// An ARN: `arn:partition:service:region:account:resource`.
package struct AWSResourceName: Sendable, Hashable, CustomStringConvertible {
  package var partition: String
  package var service: String
  package var region: String
  package var account: String
  /// What follows, as `table/orders/stream/2026-01-01T00:00:00.000`.
  package var resource: String

  /// - Returns: `nil` for text that is no ARN.
  package init?(_ text: String) {
    let parts = text.split(separator: ":", maxSplits: 5, omittingEmptySubsequences: false).map(String.init)
    guard parts.count == 6, parts[0] == "arn", parts[1].hasPrefix("aws"), !parts[2].isEmpty, !parts[5].isEmpty
    else { return nil }
    (partition, service, region, account, resource) = (parts[1], parts[2], parts[3], parts[4], parts[5])
  }

  package var description: String { "arn:\(partition):\(service):\(region):\(account):\(resource)" }
}
#endif
