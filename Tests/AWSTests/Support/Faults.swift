#if AWS
import NIOHTTP1
import Synchronization

/// What a fake service answers instead of what it should.
final class Faults: Sendable {
  private let state = Mutex(
    (replies: [String: [Reply]](), gate: { @Sendable (_: ReceivedRequest) -> Reply? in nil })
  )

  /// Answers the next calls of an operation with these.
  func add(_ operation: String, _ replies: Reply...) {
    state.withLock { $0.replies[operation, default: []] += replies }
  }

  /// Asks this about each request from now on; `nil` lets it pass.
  func ask(_ gate: @escaping @Sendable (ReceivedRequest) -> Reply?) {
    state.withLock { $0.gate = gate }
  }

  func reply(to request: ReceivedRequest) -> Reply? {
    let gate = state.withLock { $0.gate }
    if let refusal = gate(request) { return refusal }
    return state.withLock { state in
      let isFaulty = state.replies[request.operation]?.isEmpty == false
      return isFaulty ? state.replies[request.operation]?.removeFirst() : nil
    }
  }
}

extension ReceivedRequest {
  /// As in `GetRecords`.
  var operation: String {
    headers["X-Amz-Target"].first?.split(separator: ".").last.map(String.init) ?? ""
  }
}

extension LoopbackServer {
  /// How often an operation was asked for.
  func calls(_ operation: String) -> Int { requests.count { $0.operation == operation } }
}
#endif
