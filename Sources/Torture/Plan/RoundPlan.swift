import TidemarkStreams

/// All that a round decides, drawn from its seed. What the system makes of it is not the same each time.
struct RoundPlan: Sendable {
  /// What the writers do for a while.
  struct Phase: Sendable, Hashable {
    enum Kind: String, CaseIterable, Sendable {
      /// One writer, one row each 30 ms.
      case slow
      /// All writers, small transactions.
      case load
      /// All writers, everything.
      case mix
      case idle
    }

    var kind: Kind
    var length: Duration
  }

  struct Fault: Sendable, Hashable {
    /// Since the writers' start.
    var at: Duration
    var kind: Ingredient
    /// The fault's own details are drawn from it.
    var draw: UInt64
  }

  let seed: UInt64
  let kind: CaptureKind
  let capture: StreamCapture
  let allowed: Set<Ingredient>
  let commitsLoosely: Bool
  let shards: Int
  let workers: Int
  let writers = 4
  /// The rows that the table begins with.
  let rows: Int
  let phases: [Phase]
  let faults: [Fault]
  /// When applications come that begin with a snapshot.
  let arrivals: [Duration]

  var length: Duration { phases.reduce(.zero) { $0 + $1.length } }
  var needsStandby: Bool { faults.contains { [.promotion, .promotionWithLoss].contains($0.kind) } }

  init(seed: UInt64, kind: CaptureKind, allowed: Set<Ingredient>, length: Duration) {
    var random = SeededGenerator(seed: seed, part: 1)
    self.seed = seed
    self.kind = kind
    self.allowed = allowed
    let isDecoded = Bool.random(using: &random)
    capture =
      switch kind {
      case .trigger: .trigger
      case .logical: .logical
      case .snapshot: isDecoded ? .logical : .trigger
      }
    commitsLoosely = random.happens(oneIn: 4) && allowed.contains(.looseCommits)
    shards = Int.random(in: 1...4, using: &random)
    workers = Int.random(in: 2...3, using: &random)
    rows = kind == .snapshot ? 14_000 : 300
    phases = Self.drawPhases(length, using: &random)
    let faults = Self.drawFaults(capture, allowed, length, using: &random)
    let restarts = capture == .logical ? Self.drawRestarts(in: phases, allowed, using: &random) : []
    self.faults = (faults + restarts).sorted { $0.at < $1.at }
    var arrivals: [Duration] = []
    if kind == .snapshot {
      for _ in 0..<3 { arrivals.append(random.duration(500...Int(length / .milliseconds(1)) * 4 / 5)) }
    }
    self.arrivals = arrivals.sorted()
  }

  private static func drawPhases(_ length: Duration, using random: inout some RandomNumberGenerator)
    -> [Phase]
  {
    var phases: [Phase] = []
    var left = length
    while left > .zero {
      let kinds: [Phase.Kind] = [.slow, .slow, .load, .mix, .mix, .idle].filter { $0 != phases.last?.kind }
      let kind = random.pick(kinds) ?? .mix
      let wanted = kind == .idle ? random.duration(300...1500) : random.duration(1500...5000)
      phases.append(Phase(kind: kind, length: min(left, wanted)))
      left -= wanted
    }
    return phases
  }

  /// Each round is thick with some kinds and free of others.
  private static func drawFaults(
    _ capture: StreamCapture,
    _ allowed: Set<Ingredient>,
    _ length: Duration,
    using random: inout some RandomNumberGenerator
  ) -> [Fault] {
    let possible = Ingredient.allCases.filter { kind in
      kind.isFault && !kind.isMove && allowed.contains(kind)
        && (kind != .walsender || capture != .trigger)
    }
    // Drawn for all kinds, so that leaving one out changes the others' moments as little as can be.
    let chosen = possible.filter { _ in random.happens(oneIn: 2) }
    let kinds = chosen.isEmpty ? possible : chosen
    var faults: [Fault] = []
    var at = random.duration(300...1500)
    while at < length, let kind = random.pick(kinds) {
      faults.append(Fault(at: at, kind: kind, draw: random.next()))
      at += random.duration(200...1800)
    }
    let moves = Ingredient.allCases.filter { $0.isMove && allowed.contains($0) }
    let moveAt = length / 4 + length * Int.random(in: 0..<50, using: &random) / 100
    let draw = random.next()
    if random.happens(oneIn: 3) || moves.count == allowed.filter(\.isFault).count,
      let kind = random.pick(moves)
    {
      faults.append(Fault(at: moveAt, kind: kind, draw: draw))
    }
    return faults.sorted { $0.at < $1.at }
  }

  /// The capture is to find its place again after each of the single rows of a slow phase, with nothing after it that
  /// would hide a wrong one.
  private static func drawRestarts(
    in phases: [Phase],
    _ allowed: Set<Ingredient>,
    using random: inout some RandomNumberGenerator
  ) -> [Fault] {
    let kinds = [Ingredient.walsender, .walsender, .kill, .terminate].filter(allowed.contains)
    var faults: [Fault] = []
    var start = Duration.zero
    for phase in phases {
      var at = start + random.duration(200...700)
      start += phase.length
      while phase.kind == .slow, at < start, let kind = random.pick(kinds) {
        faults.append(Fault(at: at, kind: kind, draw: random.next()))
        at += random.duration(200...700)
      }
    }
    return faults
  }
}
