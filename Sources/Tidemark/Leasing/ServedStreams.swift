/// The streams that a worker reads, and what it has told the store of them: a part of ``LeaseCoordinator``.
///
/// Leases of streams that it does not read any more are given up once the store knows that, or the next plan would give
/// them to it again.
struct ServedStreams {
  struct Statement {
    var streams: Set<String>
    /// Counts what was stated since the worker registered.
    var version: Int64
  }

  private var streams: Set<String>
  private var stated = Statement(streams: [], version: 0)
  private var call = PendingCall()
  private var announcement = Announcement()
  /// The leases of other streams that were given back since the store has heard of that.
  private var givenBack: Set<LeaseKey> = []

  init(_ streams: Set<String>) {
    self.streams = streams
  }

  func contains(_ stream: String) -> Bool { streams.contains(stream) }

  /// Whether the store knows the streams as they are now.
  var isKnown: Bool { announcement.isKnown }
  /// Whether a plan was made, too, that knew them.
  var isPlanned: Bool { announcement.isPlanned }
  var needsPlan: Bool { announcement.needsPlan }

  mutating func notePlan() { announcement.notePlan() }

  /// - Returns: whether they are others than before, and to be stated.
  mutating func list(_ listed: Set<String>) -> Bool {
    guard listed != streams else { return false }
    streams = listed
    announcement = Announcement()
    return true
  }

  // MARK: Registration

  /// What the worker registers with.
  mutating func register() -> Set<String> {
    stated = Statement(streams: streams, version: 0)
    return streams
  }

  mutating func registered() { announcement.isKnown = stated.streams == streams }

  // MARK: Statements

  /// - Returns: what to state now, if nothing is being stated.
  mutating func want() -> Statement? { call.want() ? next() : nil }

  private mutating func next() -> Statement {
    if stated.streams != streams { stated.version += 1 }
    stated.streams = streams
    return stated
  }

  /// - Returns: what to state now, because it has changed meanwhile.
  mutating func answered() -> Statement? {
    if call.end(isWantedStill: stated.streams != streams) { return next() }
    if stated.streams == streams {
      announcement.isKnown = true
      givenBack = []
    }
    return nil
  }

  mutating func abandon() { call.abandon() }

  /// Whether the store has come back without what this worker had stated.
  /// - Parameter version: of the statement that it has.
  func isLost(in version: Int64) -> Bool { isKnown && !call.isUnderWay && version < stated.version }

  /// Everything has to be stated again.
  mutating func forget() { announcement = Announcement() }

  /// Notes that a lease of another stream is given back.
  /// - Returns: `false` if it was before, since the store has heard which streams these are: it may have lost that.
  mutating func giveBack(_ key: LeaseKey) -> Bool { givenBack.insert(key).inserted }
}
