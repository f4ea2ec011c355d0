#if AWS
/// Where credentials come from.
///
/// It is asked again before its credentials expire, and when a service says that they have; it caches nothing itself.
public protocol AWSCredentialsProvider: Sendable {
  /// What the log calls it.
  var name: String { get }

  /// - Returns: `nil` if nothing of the kind is configured here, so that the next of a chain is asked.
  /// - Throws: `TidemarkError` if it is configured and does not work. Its text holds no secret.
  func credentials() async throws -> AWSCredentials?
}
#endif
