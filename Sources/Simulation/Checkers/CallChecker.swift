import Tidemark

/// A processor is never in two calls at once, and they come in order: `initialize` until it succeeds, then `process` and
/// `wokenUp`, then the ends, each of which only a lost lease follows, or the handoff of a shard that could not be ended.
struct CallChecker: Checker {
  private struct Course {
    var current: ProcessorCall?
    var last: ProcessorCall?
    var isInitialized = false
  }

  let name = "calls"
  private var courses: [LeaseGrant: Course] = [:]

  mutating func check(_ observation: Observation, _ truth: StreamTruth) -> String? {
    switch observation {
    case .callBegan(let member, let grant, let call, _):
      let course = courses[grant] ?? Course()
      if let current = course.current {
        return
          "\(member) has a processor of \(grant) called (\(call)) while it is in another call (\(current))"
      }
      if !mayFollow(call, course) {
        return "\(member) calls \(call) of \(grant) after \(course.last?.rawValue ?? "nothing")"
      }
      courses[grant] = course
      courses[grant]?.current = call
      return nil
    case .callEnded(_, let grant, let call, let failed):
      courses[grant]?.current = nil
      courses[grant]?.last = call
      if call == .initialize, !failed { courses[grant]?.isInitialized = true }
      return nil
    default:
      return nil
    }
  }

  private func mayFollow(_ call: ProcessorCall, _ course: Course) -> Bool {
    guard course.isInitialized else { return call == .initialize }
    switch course.last {
    case .leaseLost: return false
    case .shutdownRequested: return call == .leaseLost
    case .shardEnded: return [.shardEnded, .shutdownRequested, .leaseLost].contains(call)
    default: return call != .initialize
    }
  }
}
