import Tidemark
import TidemarkPostgres

extension LeaseScope {
  /// Whether these leases are of the application and the stream, where they are given.
  ///
  /// - Parameter stream: the full name, or the short one of a PostgreSQL stream, which means all of that
  ///   name.
  func matches(application: String?, stream: String?) -> Bool {
    if let application, application != self.application { return false }
    guard let stream else { return true }
    return self.stream == stream || self.stream.hasPrefix("\(stream)/")
  }
}

extension Database {
  func scopes(application: String?, stream: String?) async throws -> [LeaseScopeSummary] {
    try await leases.scopes().filter { $0.scope.matches(application: application, stream: stream) }
  }
}
