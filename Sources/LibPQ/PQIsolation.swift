/// The isolation level of a transaction: https://www.postgresql.org/docs/current/transaction-iso.html
public enum PQIsolation: String, Sendable {
  case readCommitted = "READ COMMITTED"
  case repeatableRead = "REPEATABLE READ"
  /// A transaction may fail with SQLSTATE 40001 and must then be repeated as a whole.
  case serializable = "SERIALIZABLE"
}
