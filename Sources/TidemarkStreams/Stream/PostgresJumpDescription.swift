import LibPQ
import Tidemark

/// A jump of a stream's sequence numbers: the server was started again, is another one than before, or its database is a
/// copy. Whatever had a number between the two ends was lost; most often nothing was.
public struct PostgresJumpDescription: Sendable, Hashable {
  public var at: Timestamp
  /// The last number that the database had given out, as far as it knew.
  public var after: SequenceNumber
  /// The next number is greater.
  public var to: SequenceNumber
  /// The last lost number that a reader is known to have seen; `nil` if no reader has noticed a loss.
  public var lostThrough: SequenceNumber?
}

extension PostgresJumpDescription {
  /// Oldest first.
  static func list(of stream: Int32, on database: some PQQueryable) async throws -> [Self] {
    try await database.query(
      """
      SELECT (date_part('epoch', j.jumped_at) * 1000000)::bigint, j.from_head, j.to_head, j.lost_through
      FROM tidemark.jump j WHERE j.stream_id = \(stream) ORDER BY j.to_head
      """
    ).map { row in
      let (at, from, to, lost) = try row.decode((Int64, Int64, Int64, Int64?).self)
      return PostgresJumpDescription(
        at: Timestamp(microsecondsSinceEpoch: at),
        after: SequenceNumber(UInt64(from)),
        to: SequenceNumber(UInt64(to)),
        lostThrough: lost.map { SequenceNumber(UInt64($0)) }
      )
    }
  }
}
