import LibPQ
import Logging
import Synchronization
import Tidemark
import TidemarkPostgres
import Waiting

/// Keeps all streams of a pool moving that are run in this process, on one connection.
///
/// Whoever runs a stream takes part; one of those who do drives, and another one goes on when that one ends.
final class StreamPump: Sendable {
  private struct Member {
    var generation: StreamGeneration
    let end = OneShotSignal()
    var failure: (any Error)?
  }

  private struct State {
    var lastMember: UInt64 = 0
    /// By stream; two applications may read the same one.
    var members: [Int32: [UInt64: Member]] = [:]
    var schedule = PumpSchedule()
    /// The first drives.
    var drivers: [(id: UInt64, turn: OneShotSignal)] = []
    var lastDriver: UInt64 = 0
  }

  private struct Reference {
    weak var pump: StreamPump?
  }

  /// Streams of one pool are made by whoever needs one, and know nothing of each other.
  private static let pumps = Mutex<[ObjectIdentifier: Reference]>([:])

  let pool: PQPool
  private let state = Mutex(State())
  let alarm = Alarm()

  private init(_ pool: PQPool) {
    self.pool = pool
  }

  deinit {
    let id = ObjectIdentifier(pool)
    Self.pumps.withLock { pumps in
      if pumps[id]?.pump == nil { pumps[id] = nil }
    }
  }

  /// The one of a pool.
  static func of(_ pool: PQPool) -> StreamPump {
    pumps.withLock { pumps in
      if let pump = pumps[ObjectIdentifier(pool)]?.pump { return pump }
      let pump = StreamPump(pool)
      pumps[ObjectIdentifier(pool)] = Reference(pump: pump)
      return pump
    }
  }

  // MARK: Streams

  /// Returns when the stream is disabled or gone.
  func keepMoving(_ generation: StreamGeneration) async throws {
    let member = Member(generation: generation)
    let id = state.withLock { state in
      state.lastMember += 1
      state.members[generation.id, default: [:]][state.lastMember] = member
      state.schedule.add(generation.id)
      return state.lastMember
    }
    alarm.ring()
    await member.end.wait()
    let failure = state.withLock { state in
      let member = state.members[generation.id]?.removeValue(forKey: id)
      if state.members[generation.id]?.isEmpty == true {
        state.members[generation.id] = nil
        state.schedule.remove(generation.id)
      }
      return member?.failure
    }
    try Task.checkCancellation()
    if let failure { throw failure }
  }

  /// Those who read a stream in this process.
  func generations(of stream: Int32) -> [StreamGeneration] {
    state.withLock { $0.members[stream]?.values.map(\.generation) ?? [] }
  }

  /// - Parameter failure: what waiting cannot mend.
  func end(_ stream: Int32, failure: (any Error)? = nil) {
    let ends = state.withLock { state in
      state.schedule.remove(stream)
      for id in state.members[stream]?.keys.map(\.self) ?? [] {
        state.members[stream]?[id]?.failure = failure
      }
      return state.members[stream]?.values.map(\.end) ?? []
    }
    for end in ends { end.fire() }
  }

  @discardableResult
  func schedule<Result>(_ body: (inout PumpSchedule) -> Result) -> Result {
    state.withLock { body(&$0.schedule) }
  }

  // MARK: Driving

  /// Drives, or waits until nobody else does, and drives then, until the task is cancelled.
  ///
  /// - Parameter chores: what is also to be done once in a process.
  func drive(_ driver: PumpDriver, chores: @escaping @Sendable () async throws -> Void) async throws {
    let turn = OneShotSignal()
    let id = state.withLock { state in
      state.lastDriver += 1
      state.drivers.append((state.lastDriver, turn))
      if state.drivers.count == 1 { turn.fire() }
      return state.lastDriver
    }
    defer { resign(id) }
    await turn.wait()
    try Task.checkCancellation()
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { try await driver.drive(self) }
      group.addTask { try await chores() }
      defer { group.cancelAll() }
      try await group.next()
    }
  }

  private func resign(_ id: UInt64) {
    let next = state.withLock { state in
      let wasFirst = state.drivers.first?.id == id
      state.drivers.removeAll { $0.id == id }
      return wasFirst ? state.drivers.first?.turn : nil
    }
    next?.fire()
  }
}
