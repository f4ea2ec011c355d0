import Tidemark
import TidemarkTestKit

/// A call to the lease store at the moment when it was done, as the store sees it.
struct StoreCall: Sendable {
  var method: LeaseStoreCall.Method
  var member: String
  var incarnation: WorkerIncarnation?
  /// The grants that an owner's write carries.
  var grants: [LeaseGrant] = []
}

/// What checkers see. It is taken at the borders of the system under test: calls to the store and what they
/// changed, calls to processors and what these did.
enum Observation {
  case registered(WorkerIncarnation, by: String, maximumLeases: Int?)
  /// A planner was shown which streams each worker serves, and has decided this.
  case decided(String, [Assignment], serving: [WorkerIncarnation: Set<String>])
  case deregistered(WorkerIncarnation, by: String)
  case leasesChanged(StoreCall, before: [LeaseKey: Lease], after: [LeaseKey: Lease])
  case workerDied(WorkerIncarnation, by: StoreCall, isJustified: Bool)
  case initialized(String, LeaseGrant)
  case callBegan(String, LeaseGrant, ProcessorCall, isTrusted: Bool)
  case callEnded(String, LeaseGrant, ProcessorCall, failed: Bool)
  /// A processor is given records. `isTrusted`: by its own clock the worker still has a heartbeat to rely on.
  case batchBegan(String, LeaseGrant, [Int], isTrusted: Bool)
  /// A processor takes up a record.
  case attempted(String, LeaseGrant, Int)
  case handled(String, LeaseGrant, Int)
  /// A processor has thrown; `head` is the first record that it was given.
  case failed(String, LeaseGrant, head: Int)
  case shardEndHandled(String, LeaseGrant)
  case deadLettered(LeaseGrant, [Int])
  case leaseEnded(String, LeaseGrant, LeaseEnd, isLeaving: Bool)
  /// The store has started again, with this assignment version.
  case storeStarted(version: Int64)
  /// The store has lost its newest changes: these leases are left.
  case tailLost(leases: [LeaseKey: Lease], letters: Set<Int>)
  /// A worker has heard of this assignment version.
  case told(String, version: Int64)
  /// A worker has reported that the store has lost what it had seen.
  case lossReported(String)
  case put(stream: String, sequence: UInt64)
  /// The worker gives the lease away under the hands of its processor.
  case givenAway(String, LeaseGrant)
}

extension Observation {
  /// One line of the history.
  var line: String {
    switch self {
    case .registered(let incarnation, let member, let cap):
      "\(member) registers \(incarnation), cap \(cap.map(String.init) ?? "none")"
    case .decided(let member, let steps, _): "\(member) decides \(steps.count) steps"
    case .deregistered(let incarnation, let member): "\(member) deregisters \(incarnation)"
    case .leasesChanged(let call, let before, let after):
      "\(call.member) \(call.method.rawValue) \(call.incarnation?.description ?? ""): "
        + after.values.filter { before[$0.key] != $0 }.sorted { $0.key < $1.key }
        .map(\.line).joined(separator: "; ")
        + before.keys.filter { after[$0] == nil }.sorted().map { " -\($0)" }.joined()
    case .workerDied(let incarnation, let call, _): "\(call.member) buries \(incarnation)"
    case .initialized(let member, let grant): "\(member) initializes \(grant)"
    case .callBegan(let member, let grant, let call, _): "\(member) calls \(call) of \(grant)"
    case .callEnded(let member, let grant, let call, let failed):
      "\(member)'s \(call) of \(grant) \(failed ? "throws" : "returns")"
    case .batchBegan(let member, let grant, let records, _): "\(member) begins \(records) of \(grant)"
    case .attempted(let member, let grant, let index): "\(member) attempts \(index) of \(grant)"
    case .handled(let member, let grant, let index): "\(member) handled \(index) of \(grant)"
    case .failed(let member, let grant, let head): "\(member) failed with \(head) of \(grant)"
    case .shardEndHandled(let member, let grant): "\(member) is done with \(grant)"
    case .deadLettered(let grant, let records): "dead letters \(records) of \(grant)"
    case .leaseEnded(let member, let grant, let how, _): "\(member) ended \(grant): \(how.rawValue)"
    case .givenAway(let member, let grant): "\(member) gives away \(grant)"
    case .storeStarted(let version): "the store starts at version \(version)"
    case .tailLost(let leases, let letters):
      "left are \(letters.count) letters and "
        + leases.values.sorted { $0.key < $1.key }.map(\.line).joined(separator: "; ")
    case .told(let member, let version): "\(member) hears of version \(version)"
    case .lossReported(let member): "\(member) reports a loss"
    case .put(let stream, let sequence): "put \(sequence) into \(stream)"
    }
  }
}

extension Lease {
  fileprivate var line: String {
    "\(key) \(owner?.description ?? "-")@\(epoch) \(checkpoint)"
      + (handoffTo.map { " → \($0)" } ?? "") + (stoppedReason == nil ? "" : " stopped")
  }
}
