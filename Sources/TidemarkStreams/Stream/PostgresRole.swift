/// What a role of the database may be allowed to do with streams, apart from the schema's owner, who may do all.
///
/// Who only writes to a table that has a stream needs none of these: the capture has rights of its own.
public enum PostgresRole: String, Sendable, Hashable, CaseIterable {
  /// Reads streams, keeps leases, and does the maintenance that streams need. What a worker is.
  case consumer
  /// Creates, enables, alters, splits, merges and disables streams. To enable one on a table it needs `TRIGGER` on
  /// the table, and for an expiry column `DELETE`. It cannot read records.
  case administrator
  /// Captures tables by logical decoding, for which the role needs `REPLICATION`. Workers of a role that is a consumer
  /// and a capturer do it by themselves.
  case capturer
  /// Puts records.
  case producer
}
