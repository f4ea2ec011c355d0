import BenchmarkSupport
import CLibPQ
import Foundation

/// What a program would write that only wants the rows: libpq, blocking, one prepared statement in binary, and the
/// next page asked for when the last one is there. It reads no value and waits for nobody.
final class PlainReader {
  private let connection: OpaquePointer

  init(url: String) throws {
    connection = PQconnectdb(url)
    guard PQstatus(connection) == CONNECTION_OK else { throw failure() }
  }

  deinit { PQfinish(connection) }

  /// - Returns: how many records were read.
  func readAll(of log: FilledLog, pageSize: Int) throws -> Int {
    let name = "page_\(pageSize)"
    let sql = """
      SELECT sequence_number, event_name, partition_key, new_image, old_image, data, created_at
      FROM tidemark.log_\(log.streamID) WHERE shard_ordinal = 0 AND sequence_number > $1
      ORDER BY sequence_number LIMIT \(pageSize)
      """
    // A second preparation is refused, and the first one serves.
    PQclear(PQprepare(connection, name, sql, 1, [20]))
    var (position, count) = (Int64(0), 0)
    while true {
      let result = try page(name, after: position)
      defer { PQclear(result) }
      let rows = PQntuples(result)
      if rows == 0 { return count }
      count += Int(rows)
      position = UnsafeRawPointer(PQgetvalue(result, rows - 1, 0)).loadUnaligned(as: Int64.self).bigEndian
    }
  }

  private func page(_ name: String, after position: Int64) throws -> OpaquePointer {
    try withUnsafeBytes(of: position.bigEndian) { bytes in
      let values = [bytes.baseAddress?.assumingMemoryBound(to: CChar.self)]
      let result = PQexecPrepared(connection, name, 1, values, [8], [1], 1)
      guard let result, PQresultStatus(result) == PGRES_TUPLES_OK else {
        PQclear(result)
        throw failure()
      }
      return result
    }
  }

  private func failure() -> BenchmarkFailure {
    BenchmarkFailure(String(cString: PQerrorMessage(connection)))
  }
}
