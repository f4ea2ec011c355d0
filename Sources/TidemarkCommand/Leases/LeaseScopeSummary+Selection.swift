import Tidemark
import TidemarkPostgres

/// Whether a stream is meant by a name: its full name, or the short one of a PostgreSQL stream, which means all of that
/// name.
func isStream(_ stream: String, named name: String?) -> Bool {
  guard let name else { return true }
  return stream == name || stream.hasPrefix("\(name)/")
}

extension Database {
  /// What applications have on streams, of this application and stream where they are given.
  func scopes(application: String?, stream: String?) async throws -> [LeaseScopeSummary] {
    try await leases.scopes().filter {
      $0.application == application ?? $0.application && isStream($0.stream, named: stream)
    }
  }
}
