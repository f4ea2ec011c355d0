/// How a ``LocalPostgres`` is set up. The defaults give a throw-away server that only this user can reach.
public struct LocalPostgresConfiguration: Sendable {
  /// The directory for data, log and socket. It is created if missing, kept when the server stops, and
  /// continued with by the next server that is given it. It must be empty or have been used so before, belong to this
  /// user, and neither be a symbolic link nor be where others can change it.
  ///
  /// `nil` (the default): a new temporary directory, removed when the server stops.
  public var directory: String?

  /// How many clients may be connected at once. Default: 200.
  public var maxConnections = 200

  /// Server settings by name, as in `postgresql.conf`. They win over that file, `ALTER SYSTEM` and
  /// `maxConnections`, but do not decide where the server listens.
  ///
  /// The default changes none, so commits are durable (`fsync` is on). Tests may turn it off.
  public var settings: [String: String] = [:]

  /// Also listen on a free TCP port of `listenAddress`, with a random password (SCRAM). Default: `false`, a
  /// unix socket in a directory that only its user and root can enter.
  public var listensOnTCP = false

  /// An address of this machine. Clients are let in from its own network. Default: 127.0.0.1.
  public var listenAddress = "127.0.0.1"

  /// The server to begin with a copy of and to follow by streaming replication, as its hot standby, until
  /// `pg_promote()`. `nil` (the default): a server of its own.
  public var primary: LocalPostgres?

  /// Where `postgres`, `initdb` and `createdb` are. `nil` (the default): this searches for them, see
  /// ``LocalPostgres``.
  public var binaryDirectory: String?

  /// How long the server may take to accept connections, initdb included. Default: 60 s.
  public var startTimeout: Duration = .seconds(60)

  public init() {}
}
