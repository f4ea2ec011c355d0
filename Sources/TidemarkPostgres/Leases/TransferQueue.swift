import Tidemark

/// Gathers leases that are given up at about the same time: while one statement is under way, what comes in waits for
/// the next. All of them write the scope's row, so one by one the last would wait for the commits of all before it.
actor TransferQueue {
  private enum Turn {
    /// Another caller's statement was for this lease too.
    case done(isGiven: Bool)
    case leads
  }

  private var isUnderWay = false
  private var waiting: [(grant: LeaseGrant, continuation: CheckedContinuation<Turn, Never>)] = []

  /// - Parameter perform: gives leases up, as many as it can, and returns which.
  /// - Returns: whether this one was given up; `false` too if that is not known.
  func give(
    _ grant: LeaseGrant,
    perform: @Sendable ([LeaseGrant]) async throws -> Set<LeaseGrant>
  ) async throws -> Bool {
    if isUnderWay {
      let turn = await withCheckedContinuation { waiting.append((grant, $0)) }
      if case .done(let isGiven) = turn { return isGiven }
    }
    isUnderWay = true
    defer { passOn() }
    // The consumers of a worker that drains come here at the same moment: all go with the first.
    await Task.yield()
    let others = waiting
    waiting = []
    do {
      let given = try await perform([grant] + others.map(\.grant))
      for other in others {
        other.continuation.resume(returning: .done(isGiven: given.contains(other.grant)))
      }
      return given.contains(grant)
    } catch {
      for other in others { other.continuation.resume(returning: .done(isGiven: false)) }
      throw error
    }
  }

  private func passOn() {
    isUnderWay = !waiting.isEmpty
    if isUnderWay { waiting.removeFirst().continuation.resume(returning: .leads) }
  }
}
