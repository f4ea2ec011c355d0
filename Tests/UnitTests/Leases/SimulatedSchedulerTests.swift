import Synchronization
import Testing
import Tidemark
import TidemarkTestKit

@Suite("The simulated scheduler")
struct SimulatedSchedulerTests {
  /// The order in which ten tasks that could all run did.
  private func order(seed: UInt64) -> [Int] {
    let scheduler = SimulatedScheduler(seed: seed)
    let process = SimulatedProcess("a", on: scheduler)
    let ran = Mutex<[Int]>([])
    for number in 0..<10 { process.start { ran.withLock { $0.append(number) } } }
    scheduler.run(until: .seconds(1))
    return ran.withLock { $0 }
  }

  @Test("the seed decides the order of what could run")
  func seeds() {
    #expect(order(seed: 1) == order(seed: 1))
    #expect(order(seed: 1) != order(seed: 2))
    #expect(order(seed: 1).sorted() == Array(0..<10))
  }

  @Test("time moves on only when nothing can run, and to the moment when something happens")
  func time() {
    let scheduler = SimulatedScheduler(seed: 1)
    let process = SimulatedProcess("a", on: scheduler)
    let clock = SimulatedClock(scheduler)
    let woken = Mutex<[Duration]>([])
    for seconds in [3, 1, 2] {
      process.start {
        try? await clock.sleep(for: .seconds(seconds))
        woken.withLock { $0.append(clock.elapsed) }
      }
    }
    scheduler.run(until: .seconds(10))
    #expect(woken.withLock { $0 } == [.seconds(1), .seconds(2), .seconds(3)])
    #expect(scheduler.now == .seconds(10))
  }

  @Test("a paused process runs nothing until it is resumed, then what was due")
  func pause() {
    let scheduler = SimulatedScheduler(seed: 1)
    let process = SimulatedProcess("a", on: scheduler)
    let clock = SimulatedClock(scheduler)
    let woken = Mutex<Duration?>(nil)
    process.start {
      try? await clock.sleep(for: .seconds(1))
      woken.withLock { $0 = clock.elapsed }
    }
    scheduler.run(until: .milliseconds(500))
    process.pause()
    scheduler.run(until: .seconds(5))
    #expect(woken.withLock { $0 } == nil)
    process.resume()
    scheduler.run(until: .seconds(6))
    #expect(woken.withLock { $0 } == .seconds(5))
  }

  @Test("a clock that drifts wakes its sleepers by its own count, and one that jumps shows it")
  func drift() {
    let scheduler = SimulatedScheduler(seed: 1)
    let process = SimulatedProcess("a", on: scheduler)
    let fast = SimulatedClock(scheduler, driftPPM: 100_000)
    let woken = Mutex<Duration?>(nil)
    process.start {
      try? await fast.sleep(for: .seconds(11))
      woken.withLock { $0 = scheduler.now }
    }
    scheduler.run(until: .seconds(20))
    #expect(woken.withLock { $0 } == .seconds(10))
    fast.jump(by: .seconds(-5))
    #expect(fast.elapsed == .seconds(17))
  }

  @Test("a sleeper that is cancelled goes at once, with an error")
  func cancellation() {
    let scheduler = SimulatedScheduler(seed: 1)
    let process = SimulatedProcess("a", on: scheduler)
    let clock = SimulatedClock(scheduler)
    let failed = Mutex<Duration?>(nil)
    let task = process.start {
      do {
        try await clock.sleep(for: .seconds(60))
      } catch {
        failed.withLock { $0 = clock.elapsed }
      }
    }
    scheduler.schedule(at: .seconds(2)) { task.cancel() }
    scheduler.run(until: .seconds(3))
    #expect(failed.withLock { $0 } == .seconds(2))
  }

  @Test("a fault comes between two jobs of its process, after as many as it was given")
  func steps() {
    let scheduler = SimulatedScheduler(seed: 1)
    let process = SimulatedProcess("a", on: scheduler)
    let ran = Mutex(0)
    var seen: Int?
    process.afterSteps(3) { seen = ran.withLock { $0 } }
    for _ in 0..<5 { process.start { ran.withLock { $0 += 1 } } }
    scheduler.run(until: .seconds(1))
    #expect(seen == 3)
  }
}
