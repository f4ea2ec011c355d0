import FleetDrill
import Foundation
import Synchronization

/// The worker processes of a round. One that ends is replaced by another of the same application.
final class Fleet: Sendable {
  struct Application: Sendable, Hashable {
    var name: String
    /// The stream's name, short or full.
    var stream: String
    var startsWithSnapshot = false
    var keepsLedger = false
    /// Which of the round's streams it reads.
    var era = 0
  }

  private struct Member {
    var application: Application
    var process: WorkerProcess
  }

  private struct State {
    var members: [Member] = []
    var applications: [Application] = []
    var starts = 0
    var isOver = false
    var url: String
  }

  private let settings: Settings
  private let directory: String
  let histories: HistoryFollower
  private let state: Mutex<State>

  init(settings: Settings, directory: String, url: String) {
    self.settings = settings
    self.directory = directory
    histories = HistoryFollower(directory: directory)
    state = Mutex(State(url: url))
  }

  var applications: [Application] { state.withLock(\.applications) }
  var starts: Int { state.withLock(\.starts) }

  /// Later workers connect to this database.
  func move(to url: String) { state.withLock { $0.url = url } }

  func add(_ application: Application, workers: Int) throws {
    state.withLock { $0.applications.append(application) }
    for _ in 0..<workers { try start(application) }
  }

  /// Takes an application off the list, and ends its workers.
  func remove(_ application: Application) {
    let processes = state.withLock { state in
      state.applications.removeAll { $0 == application }
      let leaving = state.members.filter { $0.application == application }
      state.members.removeAll { $0.application == application }
      return leaving.map(\.process)
    }
    for process in processes where process.isRunning { process.crash() }
  }

  private func start(_ application: Application) throws {
    let (number, url) = state.withLock { state in
      state.starts += 1
      return (state.starts, state.url)
    }
    let name = "\(application.name)-\(number)"
    var command = [
      settings.executable, "worker", "--name", name, "--application", application.name,
      "--stream", application.stream, "--history", "\(directory)/\(name).jsonl",
    ]
    if application.startsWithSnapshot { command.append("--snapshot") }
    if application.keepsLedger { command.append("--ledger") }
    let process = try WorkerProcess(
      name: name,
      command: command,
      database: url,
      log: "\(directory)/\(name).log"
    )
    state.withLock { $0.members.append(Member(application: application, process: process)) }
  }

  /// A worker that runs.
  func pick(_ draw: UInt64) -> WorkerProcess? {
    let running = state.withLock { $0.members.map(\.process) }.filter(\.isRunning)
    return running.isEmpty ? nil : running[Int(draw % UInt64(running.count))]
  }

  /// Starts another for each that has ended.
  /// - Returns: what those said last that ended with an error, which none should.
  @discardableResult
  func replaceEnded() throws -> [String] {
    let gone = state.withLock { state -> [Member] in
      guard !state.isOver else { return [] }
      let ended = state.members.filter { !$0.process.isRunning }
      state.members.removeAll { !$0.process.isRunning }
      return ended
    }
    for member in gone { try start(member.application) }
    return gone.filter { $0.process.exitStatus == 1 }.map { member in
      let log =
        (try? String(contentsOfFile: "\(directory)/\(member.process.name).log", encoding: .utf8)) ?? ""
      return "\(member.application.name): \(log.split(separator: "\n").last ?? "nothing")"
    }
  }

  /// Ends all as a crash does; nobody is replaced until ``goOn()``.
  func suspend() {
    let processes = state.withLock { state in
      state.isOver = true
      return state.members.map(\.process)
    }
    for process in processes where process.isRunning { process.crash() }
  }

  func goOn() { state.withLock { $0.isOver = false } }

  /// Lets those go on that stand still.
  func resumeAll() {
    for process in state.withLock({ $0.members.map(\.process) }) where process.isRunning { process.resume() }
  }

  func killAll() { suspend() }

  /// Ends all in good order.
  /// - Returns: the names of those that did not.
  func endAll(within limit: Duration) async throws -> [String] {
    let processes = state.withLock { state in
      state.isOver = true
      return state.members.map(\.process)
    }
    for process in processes where process.isRunning { process.terminate() }
    _ = try await holds(within: limit) { processes.allSatisfy { !$0.isRunning } }
    let late = processes.filter(\.isRunning)
    for process in late { process.crash() }
    // The signal itself ends one that has just been started and does not handle it yet.
    let orderly: Set<Int32> = [0, SIGTERM]
    return late.map(\.name)
      + processes.filter { !$0.isRunning && !orderly.contains($0.exitStatus) }.map(\.name)
  }
}
