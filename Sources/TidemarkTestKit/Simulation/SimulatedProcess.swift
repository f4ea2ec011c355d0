/// A process in a simulation: an executor whose jobs a ``SimulatedScheduler`` runs, and which can be stopped as
/// SIGSTOP stops a process.
package final class SimulatedProcess: TaskExecutor, @unchecked Sendable {
  // `@unchecked Sendable`: the scheduler's one thread uses it.

  package let name: String
  package let scheduler: SimulatedScheduler
  private var parked: [UnownedJob] = []
  private var trap: (steps: Int, action: () -> Void)?

  /// Whether it is stopped: nothing of it runs until ``resume()``.
  package private(set) var isPaused = false

  package init(_ name: String, on scheduler: SimulatedScheduler) {
    self.name = name
    self.scheduler = scheduler
  }

  package func enqueue(_ job: UnownedJob) {
    if isPaused { parked.append(job) } else { scheduler.enqueue(job, of: self) }
  }

  func run(_ job: UnownedJob) {
    // Stopped after this job had become runnable.
    if isPaused { return parked.append(job) }
    job.runSynchronously(on: asUnownedTaskExecutor())
    guard let (steps, action) = trap else { return }
    trap = steps > 1 ? (steps - 1, action) : nil
    if steps <= 1 { action() }
  }

  /// Starts a task of this process.
  @discardableResult
  package func start<Value: Sendable>(
    _ body: @escaping @Sendable () async -> Value
  ) -> Task<Value, Never> {
    Task(executorPreference: self) { await body() }
  }

  /// Does something between two jobs of this process, after it has run `steps` more of them: a fault that may hit it
  /// at any suspension point. Another one replaces it.
  package func afterSteps(_ steps: Int, _ action: @escaping () -> Void) {
    trap = (max(steps, 1), action)
  }

  package func pause() {
    isPaused = true
  }

  package func resume() {
    isPaused = false
    let jobs = parked
    parked = []
    for job in jobs { scheduler.enqueue(job, of: self) }
  }
}
