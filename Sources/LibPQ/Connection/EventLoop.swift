import Foundation
import Synchronization

/// One thread that runs the jobs of the connections' actors and polls their sockets, so that no thread is
/// needed per connection and nothing ever waits inside libpq.
///
/// Between two polls it runs only jobs that are queued already, so that a busy connection cannot keep the
/// others' sockets from being served.
///
/// `@unchecked Sendable`: `shared` is behind a mutex; `watches` is touched on the loop's own thread only.
final class EventLoop: SerialExecutor, @unchecked Sendable {
  static let shared = EventLoop()

  private enum Work {
    case job(UnownedJob)
    case action(@Sendable () -> Void)
  }

  private struct Timer {
    var id: UInt64
    var deadline: ContinuousClock.Instant
    var action: @Sendable () -> Void
  }

  private struct Shared {
    var work: [Work] = []
    /// Latest first, so that the next one is cheap to take off the end.
    var timers: [Timer] = []
    var lastTimerID: UInt64 = 0
    /// Set under the lock before polling. The caller that clears it must write to the pipe: a wake-up is neither lost nor
    /// sent twice.
    var isAsleep = false
  }

  private let shared = Mutex(Shared())
  private let clock = ContinuousClock()
  /// How many milliseconds the loop sleeps at most when it has no pipe that could wake it.
  private static let idlePoll: Int64 = 10
  /// A pipe and not an eventfd, which only Linux has.
  private let wakeUpReader: Int32
  private let wakeUpWriter: Int32
  private var watches: [ObjectIdentifier: SocketWatch] = [:]
  private var thread: pthread_t?

  init() {
    var ends: [Int32] = [-1, -1]
    // Without descriptors the loop still runs its jobs and sees its sockets within `idlePoll`.
    if pipe(&ends) == 0 {
      for end in ends {
        _ = fcntl(end, F_SETFL, O_NONBLOCK)
        _ = fcntl(end, F_SETFD, FD_CLOEXEC)
      }
    }
    (wakeUpReader, wakeUpWriter) = (ends[0], ends[1])
    let hasStarted = DispatchSemaphore(value: 0)
    let thread = Thread { [self] in
      self.thread = pthread_self()
      hasStarted.signal()
      run()
    }
    thread.name = "postgres-client"
    thread.start()
    hasStarted.wait()
  }

  // MARK: Executor

  func enqueue(_ job: consuming ExecutorJob) {
    append(.job(UnownedJob(job)))
  }

  func asUnownedSerialExecutor() -> UnownedSerialExecutor {
    UnownedSerialExecutor(ordinary: self)
  }

  /// Without this `assumeIsolated` in a socket's callback would trap: the callback is no job of the actor.
  func checkIsolated() {
    precondition(isCurrent, "not on the event loop")
  }

  private var isCurrent: Bool {
    thread.map { pthread_equal($0, pthread_self()) != 0 } ?? false
  }

  // MARK: From any thread

  func execute(_ action: @escaping @Sendable () -> Void) {
    append(.action(action))
  }

  /// Runs the action on the loop once, at the deadline or soon after.
  func schedule(at deadline: ContinuousClock.Instant, _ action: @escaping @Sendable () -> Void) -> UInt64 {
    let (id, mustWake) = shared.withLock { shared in
      shared.lastTimerID += 1
      let timer = Timer(id: shared.lastTimerID, deadline: deadline, action: action)
      let place = shared.timers.firstIndex { $0.deadline <= deadline } ?? shared.timers.endIndex
      shared.timers.insert(timer, at: place)
      return (timer.id, Self.takeSleep(&shared))
    }
    if mustWake { wakeUp() }
    return id
  }

  func cancelTimer(_ id: UInt64) {
    shared.withLock { $0.timers.removeAll { $0.id == id } }
  }

  /// - Throws: ``PQError/Code/cancelled``.
  nonisolated(nonsending) func sleep(for duration: Duration) async throws {
    let gate = FairQueue(permits: 0)
    let timer = schedule(at: clock.now + duration) { gate.release() }
    defer { cancelTimer(timer) }
    try await gate.acquire()
  }

  private func append(_ work: Work) {
    let mustWake = shared.withLock { shared in
      shared.work.append(work)
      return Self.takeSleep(&shared)
    }
    if mustWake { wakeUp() }
  }

  private static func takeSleep(_ shared: inout Shared) -> Bool {
    defer { shared.isAsleep = false }
    return shared.isAsleep
  }

  private func wakeUp() {
    var byte: UInt8 = 1
    _ = write(wakeUpWriter, &byte, 1)
  }

  // MARK: On the loop

  func add(_ watch: SocketWatch) {
    checkIsolated()
    watches[ObjectIdentifier(watch)] = watch
  }

  func remove(_ watch: SocketWatch) {
    checkIsolated()
    watches[ObjectIdentifier(watch)] = nil
  }

  private func run() {
    var batch: [Work] = []
    while true {
      let due = takeDue(into: &batch)
      for timer in due { timer.action() }
      for work in batch {
        switch work {
        case .job(let job): job.runSynchronously(on: asUnownedSerialExecutor())
        case .action(let action): action()
        }
      }
      batch.removeAll(keepingCapacity: true)
      pollOnce(timeout: prepareToSleep())
    }
  }

  private func takeDue(into batch: inout [Work]) -> [Timer] {
    let now = clock.now
    return shared.withLock { shared in
      swap(&batch, &shared.work)
      var due: [Timer] = []
      while let last = shared.timers.last, last.deadline <= now {
        due.append(shared.timers.removeLast())
      }
      return due
    }
  }

  /// Milliseconds that `poll` may wait; 0 when there is work already.
  private func prepareToSleep() -> Int32 {
    shared.withLock { shared in
      guard shared.work.isEmpty else { return 0 }
      shared.isAsleep = true
      let longest = wakeUpReader < 0 ? Self.idlePoll : .max
      guard let next = shared.timers.last else { return longest == .max ? -1 : Int32(longest) }
      let wait = clock.now.duration(to: next.deadline)
      // Rounded up: a poll that returns just before the deadline would spin until it.
      return Int32(clamping: max(0, min(longest, wait.wholeMilliseconds + 1)))
    }
  }

  private func pollOnce(timeout: Int32) {
    let watched = Array(watches.values)
    var descriptors = [pollfd(fd: wakeUpReader, events: Int16(POLLIN), revents: 0)]
    for watch in watched {
      // A hang-up is reported even when nothing is asked for; only a negative descriptor is really ignored.
      let descriptor = watch.events == 0 ? -1 : watch.descriptor
      descriptors.append(pollfd(fd: descriptor, events: watch.events, revents: 0))
    }
    let ready = poll(&descriptors, nfds_t(descriptors.count), timeout)
    shared.withLock { $0.isAsleep = false }
    guard ready > 0 else { return }
    if descriptors[0].revents != 0 { emptyPipe() }
    for (watch, descriptor) in zip(watched, descriptors.dropFirst()) where descriptor.revents != 0 {
      // An earlier callback may have removed this one, and its descriptor may be closed.
      if watches[ObjectIdentifier(watch)] != nil { watch.onReady() }
    }
  }

  private func emptyPipe() {
    var buffer: [UInt8] = Array(repeating: 0, count: 64)
    while read(wakeUpReader, &buffer, buffer.count) == buffer.count {}
  }
}

/// What the loop polls for one connection. Used on the loop's thread only.
///
/// `@unchecked Sendable` for that reason: it is created by the connection and handed to the loop once.
final class SocketWatch: @unchecked Sendable {
  let descriptor: Int32
  var events: Int16 = 0
  let onReady: @Sendable () -> Void

  init(descriptor: Int32, onReady: @escaping @Sendable () -> Void) {
    self.descriptor = descriptor
    self.onReady = onReady
  }
}

extension Duration {
  var wholeMilliseconds: Int64 {
    let (seconds, attoseconds) = components
    return seconds * 1000 + attoseconds / 1_000_000_000_000_000
  }
}
