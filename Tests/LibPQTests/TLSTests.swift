import LibPQ
import LocalPostgres
import TestSupport
import Testing

@Suite("Connections over TLS", .sharesMachine)
struct TLSTests {
  @Test("large values, many rows, pipelines, COPY and notifications come whole")
  func everything() async throws {
    try await withTLS { configuration in
      let connection = try await connect(configuration)
      #expect(try await connection.value("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"))

      // What TLS holds back makes no socket readable, so sizes around those of its records matter.
      for size in [1, 8_191, 8_192, 16_383, 16_384, 16_385, 3_000_000] {
        let bytes = [UInt8](repeating: 7, count: size)
        #expect(try await connection.value("SELECT \(bytes)") == bytes)
      }
      #expect(
        try await connection.query("SELECT repeat('x', n) FROM generate_series(1, 5000) n").count == 5000
      )
      let results = try await connection.pipeline((0..<200).map { "SELECT repeat('x', 10000), \($0)" })
      #expect(try results.map { try $0[0].decode((String, Int).self).1 } == Array(0..<200))

      var copied = 0
      try await connection.copyOut("COPY (SELECT repeat('x', 1000) FROM generate_series(1, 2000)) TO STDOUT")
      {
        copied += $0.count
      }
      #expect(copied == 2000 * 1001)

      var notifications = try await connection.listen(to: "channel").makeAsyncIterator()
      let other = try await connect(configuration)
      for payload in ["a", "b"] {
        try await other.execute("SELECT pg_notify('channel', \(payload))")
        #expect(await notifications.next()?.payload == payload)
      }
    }
  }

  @Test("a certificate that nobody vouches for is refused where one must")
  func unverifiable() async throws {
    try await withTLS { url in
      let error = try await postgresError {
        _ = try await connect(url.replacing("require", with: "verify-full") + "&sslrootcert=/dev/null")
      }
      #expect(error.code == .connectionFailed)
    }
  }

  private func connect(_ url: String) async throws -> PQConnection {
    try await TestSupport.connect(try PQConfiguration(url: url))
  }

  /// - Parameter body: is given the URL of a server that has a certificate which nobody vouches for.
  private func withTLS(_ body: (String) async throws -> Void) async throws {
    var local = LocalPostgresConfiguration()
    local.listensOnTCP = true
    try await withLocalPostgres(local) { server in
      let connection = try await connect(server.url())
      // As the server's user, to whom alone the key may belong, in the directory of its data.
      try await connection.execute(
        """
        COPY (SELECT 1) TO PROGRAM
          'openssl req -new -x509 -days 2 -nodes -subj /CN=localhost -out server.crt -keyout server.key'
        """
      )
      try await connection.execute("ALTER SYSTEM SET ssl = on")
      try await connection.execute("SELECT pg_reload_conf()")
      let url = server.url() + "?sslmode=require"
      try await eventually("the server takes TLS connections") {
        (try? await connect(url)) != nil
      }
      try await body(url)
    }
  }
}
