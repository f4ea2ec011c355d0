import LibPQ
import Logging
import Tidemark
import TidemarkStreams
import TidemarkTestKit

/// A process that captures, as a worker does: again and again, whatever goes wrong.
final class CaptureProcess: @unchecked Sendable {
  // `@unchecked Sendable`: the scheduler's one thread uses it.
  let process: SimulatedProcess
  let clock: SimulatedClock
  private(set) var isGone = false
  private var task: Task<Void, Never>?

  init(_ name: String, in world: CaptureWorld) {
    process = SimulatedProcess(name, on: world.scheduler)
    clock = SimulatedClock(world.scheduler)
    let capture = LogicalCapture(
      CaptureLink(world, self),
      clock: clock,
      logger: Logger(label: "simulation") { _ in SwiftLogNoOpLogHandler() }
    )
    let clock = clock
    task = process.start {
      while !Task.isCancelled {
        try? await capture.run()
        try? await clock.sleep(for: .milliseconds(20))
      }
    }
  }

  /// SIGKILL.
  func kill() {
    isGone = true
    process.resume()
    task?.cancel()
  }
}

/// A simulated capture by decoding: writers, processes that capture and die at any step, sessions that end, snapshots' cuts,
/// and a disabling. After every append the stream's log has to be the first so many of all committed changes, in
/// their order.
final class CaptureWorld: @unchecked Sendable {
  // `@unchecked Sendable`: the scheduler's one thread uses it.
  let scheduler: SimulatedScheduler
  let server = CaptureServer()
  private var random: SeededRandom
  private var processes: [CaptureProcess] = []
  private var sessions = 0
  private var processCount = 0
  private var areFaultsOn = true
  private let isSlow: Bool
  private let isDisabled: Bool
  private var history = History()
  private var judged = 0
  private(set) var violation: String?
  private(set) var marks: [Mark: Int] = [:]

  init(seed: UInt64, isTraced: Bool = false) {
    var seeds = SeededRandom(seed: seed ^ 0x6361_7074_7572_6521)
    scheduler = SimulatedScheduler(seed: seeds.next())
    random = seeds.fork()
    isSlow = random.happens(0.5)
    isDisabled = random.happens(0.3)
    history.isTraced = isTraced
  }

  func run() -> (violation: String?, hash: UInt64, marks: [Mark: Int], changes: Int) {
    for _ in 0..<draw(1...3) { addProcess() }
    every(isSlow ? .milliseconds(30) : .milliseconds(5)) { $0.write() }
    every(.milliseconds(150)) { $0.strike() }
    every(.milliseconds(400)) { $0.changeLimits() }
    scheduler.run(until: .seconds(10), afterEachStep: { violation == nil })
    if isDisabled {
      // Whoever disables may die right after this.
      server.endCapture()
      mark(.disablingCutShort)
      scheduler.run(until: scheduler.now + .seconds(3), afterEachStep: { violation == nil })
    }
    rest()
    for process in processes { process.kill() }
    scheduler.run(until: scheduler.now + .seconds(10))
    return (violation, history.hash, marks, server.log.count)
  }

  /// Ends all faults; then everything has to get into the log.
  private func rest() {
    areFaultsOn = false
    server.dropCut()
    addProcess()
    let limit = scheduler.now + .seconds(600)
    while violation == nil, !isAtRest, scheduler.now < limit {
      scheduler.run(until: scheduler.now + .milliseconds(100), afterEachStep: { violation == nil })
      server.maintain()
    }
    if violation == nil, !isAtRest {
      fail(
        "\(server.log.count) of \(server.committedCount) changes are captured, the stream is "
          + "\(server.isEnabled ? "enabled" : "disabled"), after all faults have ended"
      )
    }
  }

  private var isAtRest: Bool {
    judged == server.log.count && judged == server.committedCount
      && server.isEnabled == (server.endsAt == nil)
  }

  // MARK: What happens

  private func write() {
    guard areFaultsOn else { return }
    let size = random.happens(0.7) ? 1 : random.happens(0.1) ? draw(20...60) : draw(2...5)
    let items = random.happens(0.2) ? [] : (0..<size).map { _ in draw(1...5) }
    server.commit(items: items, gap: UInt64(draw(0...50)))
  }

  private func strike() {
    guard areFaultsOn else { return }
    switch draw(1...8) {
    case 1: server.holder = nil  // The walsender is ended.
    case 2: server.checkpoint()
    case 3: if random.happens(0.3) { server.restart() }
    case 4: addProcess()
    case 5, 6:
      guard let victim = processes.randomElement(using: &random) else { return }
      victim.process.afterSteps(draw(1...40)) { [unowned self] in self.kill(victim) }
    case 7:
      guard let victim = processes.randomElement(using: &random) else { return }
      victim.process.pause()
      scheduler.schedule(after: .milliseconds(draw(1...2000))) { victim.process.resume() }
      // A walsender whose client does not answer.
      if random.happens(0.5) { server.holder = nil }
    default: break
    }
  }

  private func changeLimits() {
    guard areFaultsOn else { return }
    switch draw(1...5) {
    case 1: server.requestCut()
    case 2, 3: server.placeCut()
    case 4: server.dropCut()
    default: break
    }
    server.maintain()
  }

  private func kill(_ victim: CaptureProcess) {
    victim.kill()
    processes.removeAll { $0 === victim }
    // Its sessions end with it, sooner or later.
    scheduler.schedule(after: .milliseconds(draw(0...200))) { [unowned self] in
      server.holder = nil
      if processes.isEmpty { addProcess() }
    }
  }

  private func addProcess() {
    guard processes.count < 4 else { return }
    processCount += 1
    processes.append(CaptureProcess("c\(processCount)", in: self))
  }

  private func every(_ interval: Duration, _ body: @escaping (CaptureWorld) -> Void) {
    scheduler.schedule(after: random.duration(in: .zero...(interval * 2))) { [unowned self] in
      body(self)
      if areFaultsOn { every(interval, body) }
    }
  }

  // MARK: What the others ask

  func transit() -> Duration { random.duration(in: .microseconds(50)...(.milliseconds(3))) }
  func breaksConnection() -> Bool { areFaultsOn && random.happens(0.01) }
  func draw(_ range: ClosedRange<Int>) -> Int { Int.random(in: range, using: &random) }
  func mark(_ mark: Mark) { marks[mark, default: 0] += 1 }

  func nextSession() -> Int {
    sessions += 1
    return sessions
  }

  /// The records of a batch: its images have the two columns.
  func changes(in batch: CapturedBatch) -> [CaptureServer.Change] {
    batch.newImages.texts.map { image in
      let numbers = image.split { !$0.isNumber }.compactMap { Int($0) }
      return CaptureServer.Change(item: numbers.first ?? 0, version: numbers.last ?? 0)
    }
  }

  func judgeLog() {
    history.add("\(server.log.count) to \(server.stored.lsn) \(server.stored.changes)", at: scheduler.now)
    let count = min(server.log.count, server.committedCount)
    while judged < count, server.log[judged] == server.changes[judged] { judged += 1 }
    if judged < server.log.count {
      let got = server.log[judged]
      let expected = judged < count ? "\(server.changes[judged])" : "nothing"
      fail("exactly once: record \(judged) of the log is \(got) instead of \(expected)")
    }
  }

  func fail(_ what: String) {
    history.add("violation: \(what)", at: scheduler.now)
    if violation == nil { violation = "capture, after \(scheduler.now / .seconds(1)) s: \(what)" }
  }
}
