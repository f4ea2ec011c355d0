import Tidemark
import TidemarkTestKit

/// S9: no sequence number, no epoch of a shard and no incarnation is ever given out twice, whatever was lost in between.
/// A worker that stays and had heard of what is lost reports it, and nobody reports what did not happen.
struct LossChecker: Checker {
  let name = "S9"
  private var epochs: [LeaseKey: Epoch] = [:]
  private var incarnations: Set<WorkerIncarnation> = []
  private var lastSequence: [String: UInt64] = [:]
  /// The latest version that each member has heard of, and whether that was before the store's last start.
  private var told: [String: (version: Int64, isBeforeStart: Bool)] = [:]
  private var owing: [String: Int64] = [:]
  private var hasLost = false

  mutating func check(_ observation: Observation, _ truth: StreamTruth) -> String? {
    switch observation {
    case .registered(let incarnation, let member, _):
      return incarnations.insert(incarnation).inserted
        ? nil : "\(member) is registered as \(incarnation), which somebody was before"
    case .leasesChanged(let call, let before, let after):
      for (key, lease) in after where before[key].map({ $0.epoch != lease.epoch }) ?? false {
        if let last = epochs[key], lease.epoch <= last {
          return
            "\(call.method) gives epoch \(lease.epoch) of \(key) out, which had come to \(last) before"
        }
        epochs[key] = lease.epoch
      }
      return nil
    case .put(let stream, let sequence):
      let last = lastSequence[stream] ?? 0
      lastSequence[stream] = max(last, sequence)
      return sequence > last ? nil : "\(sequence) of \(stream) is given out, after \(last)"
    case .tailLost:
      hasLost = true
      return nil
    case .storeStarted(let version):
      for (member, last) in told {
        // A member that has not heard of one start before the next compares with the latter only.
        owing[member] =
          max(last.version, owing[member] ?? 0) > version ? max(last.version, owing[member] ?? 0) : nil
        told[member] = (last.version, true)
      }
      return nil
    case .told(let member, let version):
      let last = told[member].flatMap { $0.isBeforeStart ? nil : $0.version }
      told[member] = (max(version, last ?? version), false)
      return nil
    case .lossReported(let member):
      // That is all that it heard of before the store's last start: if it hears of no start before the next, it has no
      // more to report then.
      if owing.removeValue(forKey: member) != nil, told[member]?.isBeforeStart == true { told[member] = nil }
      return hasLost ? nil : "\(member) reports a loss although nothing was lost"
    default:
      return nil
    }
  }

  func owed(by members: Set<String>) -> String? {
    members.sorted().first { owing[$0] != nil }.map { "\($0) has not reported what was lost" }
  }
}
