import LibPQ

/// Draws transactions from a seed, each writer its own.
struct TransactionDraw: Sendable {
  private static let columns = ["extra_a", "extra_b"]

  private var random: SeededGenerator
  private let allowed: Set<Ingredient>
  private let rows: Int
  /// Only the first writer defines things: two that wait for each other's locks would stop everybody.
  private let isFirst: Bool

  init(seed: UInt64, writer: Int, allowed: Set<Ingredient>, rows: Int) {
    random = SeededGenerator(seed: seed, part: 100 + UInt64(writer))
    self.allowed = allowed
    self.rows = rows
    isFirst = writer == 0
  }

  mutating func next(in phase: RoundPlan.Phase.Kind) -> PlannedTransaction? {
    switch phase {
    case .idle: return nil
    case .slow:
      guard isFirst else { return nil }
      var transaction = PlannedTransaction(steps: [.statement(single())])
      if random.happens(oneIn: 3) { transaction.steps.append(.statement(Self.elsewhere)) }
      transaction.pauseAfter = .milliseconds(30)
      return transaction
    case .load:
      var transaction = PlannedTransaction()
      for _ in 0..<Int.random(in: 1...3, using: &random) { transaction.steps.append(.statement(single())) }
      if random.happens(oneIn: 20) { transaction.ending = .rollback }
      transaction.pauseAfter = random.duration(5...30)
      return transaction
    case .mix: return mixed()
    }
  }

  private mutating func mixed() -> PlannedTransaction {
    if isFirst, random.happens(oneIn: 25), let alone = definition() {
      return PlannedTransaction(alone: alone, pauseAfter: random.duration(20...200))
    }
    var transaction = PlannedTransaction(pauseAfter: random.duration(5...60))
    transaction.isolation =
      random.pick([.readCommitted, .readCommitted, .repeatableRead, .serializable]) ?? .readCommitted
    if random.happens(oneIn: 12) {
      transaction.steps = crossing()
    } else {
      for _ in 0..<Int.random(in: 1...5, using: &random) { transaction.steps += piece() }
    }
    if allowed.contains(.longTransactions), random.happens(oneIn: 60) {
      transaction.steps.append(.pause(random.duration(500...3000)))
      transaction.steps.append(.statement(single()))
    }
    if allowed.contains(.truncate), random.happens(oneIn: 250) {
      // In the others it misses rows that its snapshot cannot see, as DESIGN says.
      transaction.isolation = .readCommitted
      transaction.steps.append(.statement("TRUNCATE item"))
      if Bool.random(using: &random) { transaction.steps.append(.statement(many())) }
    }
    if random.happens(oneIn: 8) {
      transaction.ending = .rollback
    } else if allowed.contains(.twoPhase), random.happens(oneIn: 25) {
      transaction.ending = .prepare(commits: !random.happens(oneIn: 3), after: random.duration(20...2500))
    }
    return transaction
  }

  /// One statement, or some that are undone in part.
  private mutating func piece() -> [PlannedTransaction.Step] {
    switch Int.random(in: 0..<12, using: &random) {
    case 0:
      return [
        .statement("SAVEPOINT a"), .statement(single()), .statement(many()),
        .statement("ROLLBACK TO SAVEPOINT a"),
        .statement(single()),
      ]
    case 1: return [.statement("SAVEPOINT b"), .statement(single()), .statement("RELEASE SAVEPOINT b")]
    case 2, 3: return [.statement(many())]
    case 4: return [.statement(keyChange())]
    case 5 where random.happens(oneIn: 4): return [.statement(single()), .statement(Self.elsewhere)]
    default: return [.statement(single())]
    }
  }

  /// What decoding goes through between a captured change and its commit, so that the two come apart.
  private static let elsewhere: PQStatement = "INSERT INTO elsewhere SELECT generate_series(1, 3000)"

  /// Two rows in an order that somebody else may have the other way round.
  private mutating func crossing() -> [PlannedTransaction.Step] {
    let keys = [1, 2, 3].shuffled(using: &random).prefix(2)
    return keys.flatMap { key -> [PlannedTransaction.Step] in
      [.statement("UPDATE item SET note = 'crossed' WHERE id = \(Int64(key))"), .pause(.milliseconds(10))]
    }
  }

  private mutating func key() -> Int64 {
    Int64.random(in: 1...(random.happens(oneIn: 3) ? Int64(rows + 200) : 40), using: &random)
  }

  /// Mostly small; now and then a value that is stored out of line.
  private mutating func size() -> Int32 {
    switch Int.random(in: 0..<40, using: &random) {
    case 0 where allowed.contains(.largeRows): Int32.random(in: 100_000...2_000_000, using: &random)
    case 1, 2: Int32.random(in: 3000...20_000, using: &random)
    default: Int32.random(in: 0...80, using: &random)
    }
  }

  private mutating func single() -> PQStatement {
    let (key, size) = (key(), size())
    switch Int.random(in: 0..<10, using: &random) {
    case 0, 1: return "INSERT INTO item (id, size) VALUES (\(key), \(size)) ON CONFLICT DO NOTHING"
    case 2, 3:
      return """
        INSERT INTO item (id, size) VALUES (\(key), \(size))
        ON CONFLICT (id) DO UPDATE SET note = 'upserted', size = excluded.size
        """
    case 4: return "DELETE FROM item WHERE id = \(key)"
    case 5: return "UPDATE item SET size = \(size) WHERE id = \(key)"
    // Leaves a large value alone.
    default: return "UPDATE item SET note = \("n\(size)") WHERE id = \(key)"
    }
  }

  private mutating func many() -> PQStatement {
    let (key, count) = (key(), Int64.random(in: 2...30, using: &random))
    switch Int.random(in: 0..<4, using: &random) {
    case 0:
      return """
        INSERT INTO item (id, size) SELECT i, 20 FROM generate_series(\(key), \(key + count)) AS i
        ON CONFLICT (id) DO UPDATE SET note = 'many'
        """
    case 1: return "DELETE FROM item WHERE id BETWEEN \(key) AND \(key + count / 4)"
    default: return "UPDATE item SET note = 'range' WHERE id BETWEEN \(key) AND \(key + count)"
    }
  }

  private mutating func keyChange() -> PQStatement {
    let (old, new) = (key(), key())
    return """
      UPDATE item SET id = \(new) WHERE id = \(old) AND NOT EXISTS (SELECT FROM item WHERE id = \(new))
      """
  }

  private mutating func definition() -> String? {
    if allowed.contains(.keyType), random.happens(oneIn: 4) {
      return
        "ALTER TABLE item ALTER COLUMN id TYPE \(Bool.random(using: &random) ? "numeric(20, 2)" : "bigint")"
    }
    guard allowed.contains(.ddl) else { return nil }
    let column = random.pick(Self.columns) ?? "extra_a"
    return random.pick([
      "ALTER TABLE item ADD COLUMN \(column) int DEFAULT \(Int.random(in: 0...9, using: &random))",
      "ALTER TABLE item ADD COLUMN \(column) text",
      "ALTER TABLE item DROP COLUMN \(column)",
      "CREATE INDEX IF NOT EXISTS item_note ON item (note)",
      "DROP INDEX IF EXISTS item_note",
      "VACUUM item", "VACUUM tidemark.stream", "ANALYZE item",
    ])
  }
}
