import FleetDrill
import Foundation
import LibPQ
import LocalPostgres
import Synchronization
import Tidemark
import TidemarkPostgres
import TidemarkStreams

/// What puts another server or database in the place of the one before.
extension Round {
  /// The standby's name where its primary lists those that it waits for. A capture's session is none of them.
  private static let standbyName = "walreceiver"

  static func follow(_ server: LocalPostgres, _ plan: RoundPlan, directory: String) async throws
    -> LocalPostgres
  {
    var configuration = configuration(plan, directory: "\(directory)/standby")
    configuration.primary = server
    let standby = try await LocalPostgres.start(configuration)
    if plan.faults.contains(where: { $0.kind == .promotion }) {
      let pool = try Settings.pool(url: server.url(), connections: 1)
      try await pool.execute(
        PQStatement(stringLiteral: "ALTER SYSTEM SET synchronous_standby_names = '\(standbyName)'")
      )
      try await pool.execute("SELECT pg_reload_conf()")
      await pool.close()
    }
    return standby
  }

  /// Ends the server as a crash does, and lets its standby take over.
  func promote(losing: Bool, _ random: inout SeededGenerator) async throws {
    let (server, standby) = state.withLock { ($0.server, $0.standby) }
    guard let standby else { return }
    let own = try Settings.pool(url: standby.url(), connections: 1)
    if losing {
      try await own.execute("ALTER SYSTEM SET primary_conninfo = ''")
      try await own.execute("SELECT pg_reload_conf()")
      try await ContinuousClock().sleep(for: random.duration(200...2000))
    }
    await server.stop(mode: .immediate)
    try await ContinuousClock().sleep(for: random.duration(0...2500))
    _ = try await own.query("SELECT pg_promote()")
    try await own.execute("ALTER SYSTEM RESET synchronous_standby_names")
    try await own.execute("SELECT pg_reload_conf()")
    await own.close()
    state.withLock { state in
      state.server = standby
      state.standby = nil
    }
    // A session that is ended or cancelled while its commit waits for the standby leaves it visible, and not replicated.
    let log = try String(contentsOfFile: "\(directory)/server/log", encoding: .utf8)
    let isUnsafe = log.contains("wait for synchronous replication")
    if losing || plan.commitsLoosely || isUnsafe { noteLosses() }
    try await beginAnewIfCaptureIsLost(because: "promotion")
  }

  /// Dumps the database while everything works, restores it under another name, and goes on there.
  func dumpAndRestore() async throws {
    let (server, oldPool) = state.withLock { ($0.server, $0.pool) }
    let file = "\(directory)/dump"
    let binaries = server.installation.binaryDirectory
    let isDumped = try await holds(within: .seconds(30)) {
      do {
        try await Self.command([
          "\(binaries)/pg_dump", "-Fc", "-f", file, "-d", server.socketURL(database: "torture"),
        ])
        return true
      } catch is CommandFailed {
        // The server was restarted, or a table dropped between pg_dump's look at what there is and its lock.
        return false
      }
    }
    guard isDumped else { throw CommandFailed(description: "pg_dump failed again and again.") }
    // Nobody waits for what is committed from here on: it is lost.
    try await gate.pause()
    try await finishPrepared()
    fleet.suspend()
    try await server.createDatabase("restored")
    try await Self.command([
      "\(binaries)/pg_restore", "--exit-on-error", "-d", server.socketURL(database: "restored"), file,
    ])
    let url = server.url(database: "restored")
    let pool = try Settings.pool(url: url)
    state.withLock { state in
      state.url = url
      state.pool = pool
    }
    noteLosses()
    gate.move(to: PQPool(try Writer.configuration(url: url), logger: Settings.logger))
    fleet.move(to: url)
    fleet.goOn()
    gate.resume()
    await oldPool.close()
    do {
      try await admin.maintain()
    } catch let error as TidemarkError where !error.isRetryable {
      note(Violation("Cannot maintain the streams of a restored database: \(error)"))
    }
    try await beginAnewIfCaptureIsLost(because: "dump")
  }

  /// A replication slot is neither on a standby nor in a dump, and poison ends any stream. It has to say so; then it is enabled again, and
  /// what was written in between is nobody's.
  func beginAnewIfCaptureIsLost(because what: String) async throws {
    let mayBeLost = plan.capture == .logical || what == "poison"
    let saysSo = try await holds(within: mayBeLost ? .seconds(60) : .zero) {
      try await admin.describe("item").captureFailure != nil
    }
    let isOver = try await admin.describe("item").status == .disabled
    if !saysSo, isOver || mayBeLost {
      note(Violation("After the \(what) the stream took no more changes, and does not say why."))
    }
    guard saysSo || isOver else { return }
    try await gate.pause()
    try await finishPrepared()
    let old = fleet.applications
    for application in old { fleet.remove(application) }
    if try await admin.describe("item").status == .enabled { try await admin.disable("item") }
    let place = try await table.lastPlace()
    let stream = try await admin.enable(table: "item", capture: plan.capture, shardCount: plan.shards)
    let era = state.withLock { state -> Int in
      state.eras[state.eras.count - 1].span.through = place
      state.eras[state.eras.count - 1].span.endedEarly = true
      state.eras.append(Era(stream: stream.fullName, span: LogJudge.Span(after: place)))
      return state.eras.count - 1
    }
    try fleet.add(
      Fleet.Application(name: "plain-again", stream: stream.fullName, era: era),
      workers: plan.workers
    )
    gate.resume()
  }

  /// Ends all transactions that were prepared, one way or the other.
  func finishPrepared() async throws {
    var random = SeededGenerator(seed: plan.seed, part: 7)
    let isFinished = try await holds(within: .seconds(30)) {
      let rows = try await pool.query(
        "SELECT gid FROM pg_prepared_xacts WHERE database = current_database() ORDER BY gid"
      )
      for row in rows {
        let verb = Bool.random(using: &random) ? "COMMIT" : "ROLLBACK"
        let name = try row.decode(String.self)
        try await pool.withConnection { try await $0.executeScript("\(verb) PREPARED '\(name)'") }
      }
      return rows.isEmpty
    }
    if !isFinished { note(Violation("Prepared transactions could not be finished within 30 s.")) }
  }

  private struct CommandFailed: Error, CustomStringConvertible {
    var description: String
  }

  private static func command(_ words: [String]) async throws {
    let process = Process()
    let output = Pipe()
    process.executableURL = URL(fileURLWithPath: words[0])
    process.arguments = Array(words.dropFirst())
    process.standardInput = FileHandle.nullDevice
    process.standardOutput = output
    process.standardError = output
    try process.run()
    while process.isRunning { try await ContinuousClock().sleep(for: .milliseconds(20)) }
    guard process.terminationStatus != 0 else { return }
    let said = String(decoding: output.fileHandleForReading.availableData, as: UTF8.self)
    throw CommandFailed(description: "\(words.joined(separator: " ")) failed: \(said)")
  }
}
