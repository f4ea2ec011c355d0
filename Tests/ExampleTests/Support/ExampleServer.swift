import LocalPostgres

/// Runs the body with the URL of a database of its own.
func withExampleServer(_ body: (String) async throws -> Void) async throws {
  var configuration = LocalPostgresConfiguration()
  // Nothing here outlives the process, so nothing needs to outlive a power cut.
  configuration.settings = ["fsync": "off", "full_page_writes": "off"]
  try await withLocalPostgres(configuration) { try await body($0.url()) }
}
