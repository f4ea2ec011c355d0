/// How the changes of a stream's table are captured.
public enum StreamCapture: String, Sendable, Hashable, CaseIterable {
  /// By a trigger, in the writer's own transaction. Works for every table and role, and costs the writer.
  case trigger = "TRIGGER"
  /// By decoding the server's write-ahead log from a replication slot. Costs the writer next to nothing; needs
  /// `wal_level = logical`, a role that may replicate, and somebody who runs ``PostgresStream/run()``: until then the
  /// server keeps its log.
  case logical = "LOGICAL"
}
