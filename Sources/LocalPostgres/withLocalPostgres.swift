/// Runs the body with a private server, which is stopped when the body returns, throws or is cancelled.
public func withLocalPostgres<Result>(
  _ configuration: LocalPostgresConfiguration = .init(),
  isolation: isolated (any Actor)? = #isolation,
  _ body: (LocalPostgres) async throws -> Result
) async throws -> Result {
  let server = try await LocalPostgres.start(configuration)
  do {
    let result = try await body(server)
    await server.stop()
    return result
  } catch {
    await server.stop()
    throw error
  }
}
