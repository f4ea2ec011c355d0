import PostgresClient
import TestSupport
import Testing

@testable import TidemarkPostgres

@Suite("The hash of a partition key", .sharesMachine)
struct PartitionHashTests {
  @Test("It is the server's for keys of every length, and beyond ASCII")
  func sameAsServer() async throws {
    let database = try await StreamDatabase.make()
    let keys = (0...200).map { String(repeating: "k", count: $0) } + [#"{"name":"Zoë 🌊","id":12}"#]
    let expected = try await database.pool.query(
      """
      SELECT ('x' || left(md5(k.key), 8))::bit(32)::bigint FROM unnest(\(keys)) WITH ORDINALITY AS k (key, number)
      ORDER BY k.number
      """
    ).map { try $0.decode(Int64.self) }
    let hashes = keys.map { key in Array(key.utf8).withUnsafeBytes { Int64(PartitionHash.of($0)) } }
    #expect(hashes == expected)
  }
}
