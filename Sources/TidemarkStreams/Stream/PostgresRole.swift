/// What a role of the database may be allowed to do with streams, apart from the schema's owner, who may do all.
///
/// A role that only writes to a table with a stream needs none of these: the capture has rights of its own.
public enum PostgresRole: String, Sendable, Hashable, CaseIterable {
  /// Reads streams, for its applications, and does the maintenance that streams need. What a worker is. Its leases are
  /// another right: `PostgresLeaseStore.grant(_:to:application:stream:)`.
  case consumer
  /// Creates, enables, alters, splits, merges and disables streams. What touches a table, as enabling does, its owner
  /// alone may do: the role has to belong to that one. It cannot read records.
  case administrator
  /// Captures tables by logical decoding, for which the role needs `REPLICATION`. Workers of a role that is a consumer
  /// and a capturer do it by themselves.
  case capturer
  /// Puts records.
  case producer
  /// Deletes expired rows, for which the role needs `SELECT`, `DELETE` and `UPDATE` of the expiry column on the table.
  /// Workers of a role that is a consumer and has these do it by themselves.
  case expirer
  /// Sees streams, shards, lag and problems, but no records.
  case monitor
}
