/// What a torture may be made of: `--without` leaves kinds out.
enum Ingredient: String, CaseIterable, Sendable {
  // What writers do besides ordinary statements.
  case ddl, keyType, truncate, twoPhase, longTransactions, largeRows
  // Worker processes: SIGKILL, SIGTERM, SIGSTOP and later SIGCONT.
  case kill, terminate, stop
  // Backends of the server that are ended: those of captures, of workers, of writers.
  case walsender, session, writer
  // The server: as a crash ends it, in good order; and commits that it confirms before they are safe.
  case crash, restart, looseCommits
  // Locks that somebody holds for a moment: on the table in two modes, and the step's.
  case exclusiveLock, shareLock, stepLock
  // Short timeouts that the workers' role is given for a while.
  case timeouts
  // What the stream rests on: triggers, publication or replica identity that are altered, which workers put right; and what
  // ends the stream, another key or a change that cannot be decoded.
  case damage, poison
  // Shards.
  case split, merge, rotate
  // Another server, or another database, goes on.
  case promotion, promotionWithLoss, dump

  /// Strikes at a moment, unlike what lasts as long as the round.
  var isFault: Bool {
    switch self {
    case .ddl, .keyType, .truncate, .twoPhase, .longTransactions, .largeRows, .looseCommits: false
    default: true
    }
  }

  /// Puts another server, database or stream in the place of the one before; once a round at most.
  var isMove: Bool { [.promotion, .promotionWithLoss, .dump, .poison].contains(self) }
}
