import Foundation
import HeapModule

/// Runs simulated processes on the one thread that calls ``run(until:afterEachStep:)``: of the jobs that could run
/// it picks one by chance, and when none can run it moves virtual time on to the next moment at which something
/// happens. The same seed gives the same run, job for job.
///
/// For that everything has to stay on this thread: work starts with ``SimulatedProcess/start(_:)``, waits on a
/// ``SimulatedClock``, and makes no unstructured task, which would run on the global executor. A job that comes
/// from another thread ends the program.
package final class SimulatedScheduler: @unchecked Sendable {
  // `@unchecked Sendable`: one thread uses it, and `belongsHere` makes sure of it.

  private struct Timer: Comparable {
    var at: Duration
    var number: UInt64
    var action: () -> Void

    static func < (left: Self, right: Self) -> Bool { (left.at, left.number) < (right.at, right.number) }
    static func == (left: Self, right: Self) -> Bool { left.number == right.number }
  }

  private let thread = pthread_self()
  private var random: SeededRandom
  private var runnable: [(job: UnownedJob, process: SimulatedProcess)] = []
  private var timers = Heap<Timer>()
  private var timerCount: UInt64 = 0

  /// The time since the start of the simulation. It stands still while anything can run.
  package private(set) var now: Duration = .zero
  /// How many jobs have run.
  package private(set) var steps: UInt64 = 0

  package init(seed: UInt64) {
    random = SeededRandom(seed: seed)
  }

  /// Does something at a later time, by nobody's doing; at once if the time has passed.
  package func schedule(at time: Duration, _ action: @escaping () -> Void) {
    belongsHere()
    timerCount += 1
    timers.insert(Timer(at: max(time, now), number: timerCount, action: action))
  }

  package func schedule(after duration: Duration, _ action: @escaping () -> Void) {
    schedule(at: now + duration, action)
  }

  func enqueue(_ job: UnownedJob, of process: SimulatedProcess) {
    belongsHere()
    runnable.append((job, process))
  }

  /// Runs until `end`, or until nothing is left to happen before.
  /// - Parameter afterEachStep: called after every job and every scheduled action; returning `false` ends the run.
  package func run(until end: Duration, afterEachStep: () -> Bool = { true }) {
    belongsHere()
    while true {
      if !runnable.isEmpty {
        let index = runnable.count == 1 ? 0 : Int.random(in: 0..<runnable.count, using: &random)
        runnable.swapAt(index, runnable.count - 1)
        let (job, process) = runnable.removeLast()
        steps += 1
        process.run(job)
      } else if let timer = timers.min, timer.at <= end {
        timers.removeMin()
        now = timer.at
        timer.action()
      } else {
        now = max(now, end)
        return
      }
      if !afterEachStep() { return }
    }
  }

  private func belongsHere() {
    precondition(
      pthread_equal(thread, pthread_self()) != 0,
      "Simulated code has left its thread: it made an unstructured task or used another executor."
    )
  }
}
