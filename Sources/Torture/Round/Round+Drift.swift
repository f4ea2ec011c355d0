import LibPQ
import TidemarkPostgres
import TidemarkStreams

/// What somebody who knows nothing of the stream does to it. Nobody writes meanwhile, so nothing may be missing.
extension Round {
  private static let triggerDamages = [
    "ALTER TABLE item DISABLE TRIGGER \"!tidemark_capture\"",
    "DROP TRIGGER \"!tidemark_capture\" ON item",
    "ALTER TABLE item ENABLE REPLICA TRIGGER \"!tidemark_capture\"",
    "ALTER TABLE item DISABLE TRIGGER \"!tidemark_truncate\"",
  ]

  private func damages() async throws -> [String] {
    guard plan.capture == .logical else { return Self.triggerDamages }
    guard let publication = try await publication() else { return [] }
    return [
      "ALTER PUBLICATION \(publication) DROP TABLE item",
      "ALTER PUBLICATION \(publication) SET (publish = 'insert')",
      "ALTER TABLE item REPLICA IDENTITY DEFAULT",
      "ALTER TABLE item ENABLE TRIGGER \"!tidemark_truncate\"",
    ]
  }

  private func publication() async throws -> String? {
    try await pool.query(
      """
      SELECT p.pubname::text FROM tidemark.logical_capture c JOIN pg_publication p ON p.pubname = 'tidemark_' || c.capture_id
      WHERE c.stream_id IS NOT NULL AND c.ended_at IS NULL
      """
    ).first?.decode(String.self)
  }

  /// Alters what the stream rests on, which must be put right.
  func damage(_ random: inout SeededGenerator) async throws {
    try await gate.pause()
    defer { gate.resume() }
    try await finishPrepared()
    guard let damage = random.pick(try await damages()) else { return }
    try await pool.withConnection { try await $0.executeScript(damage) }
    let isMended = try await holds(within: .seconds(30)) {
      try await admin.watchConditions()
      return try await admin.conditions().allSatisfy { $0.problem == nil }
    }
    if !isMended {
      note(Violation("What the stream rests on was not put right within 30 s after \(damage)."))
    }
  }

  /// Does what the stream cannot go on from. It has to end, and to say why.
  func poison(_ random: inout SeededGenerator) async throws {
    try await gate.pause()
    try await finishPrepared()
    let change = "INSERT INTO item (id, size) VALUES (0, 1) ON CONFLICT (id) DO UPDATE SET note = 'poison'"
    if plan.capture == .trigger {
      try await pool.withConnection {
        try await $0.executeScript(
          "ALTER TABLE item DROP CONSTRAINT item_pkey, ADD PRIMARY KEY (id, version)"
        )
      }
    } else if let publication = try await publication(), Bool.random(using: &random) {
      try await pool.withConnection {
        try await $0.executeScript("DROP PUBLICATION \(publication); \(change)")
      }
    } else {
      try await pool.withConnection {
        try await $0.executeScript("\(change); ALTER TABLE item REPLICA IDENTITY DEFAULT; \(change)")
      }
    }
    _ = try await holds(within: .seconds(60)) {
      try await admin.watchConditions()
      return try await admin.describe("item").captureFailure != nil
    }
    if plan.capture == .trigger {
      try await pool.withConnection {
        try await $0.executeScript("ALTER TABLE item DROP CONSTRAINT item_pkey, ADD PRIMARY KEY (id)")
      }
    }
    // Also goes on with the writers.
    try await beginAnewIfCaptureIsLost(because: "poison")
  }
}
