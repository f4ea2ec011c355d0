extension WorkerConfiguration {
  /// Everything that is wrong, by name.
  func violations() -> [String] {
    failover.violations() + handoff.violations(failover) + stall.violations(failover)
      + planning.violations() + reading.violations() + failurePolicy.violations()
  }
}

private let day = Duration.seconds(86_400)

/// What `name` breaks if `value` lies outside `range`.
///
/// - Parameter why: where the bounds come from, if they are not fixed.
private func check<Value: Comparable>(
  _ name: String,
  _ value: Value,
  in range: ClosedRange<Value>,
  _ why: String = ""
) -> [String] {
  if range.contains(value) { return [] }
  return ["\(name) is \(value), must be within \(range.lowerBound) and \(range.upperBound)\(why)"]
}

extension WorkerConfiguration.Failover {
  fileprivate func violations() -> [String] {
    var found = check("failover.interval", interval, in: .milliseconds(200)...(.seconds(3600)))
    found += check(
      "failover.margin",
      margin,
      in: interval.part(20)...interval.part(2),
      " (a twentieth and a half of failover.interval)"
    )
    if heartbeatInterval <= .zero {
      found.append("failover.heartbeatInterval is \(heartbeatInterval), must be more than 0")
    }
    if heartbeatInterval > interval / 4 {
      found.append(
        "failover.heartbeatInterval is \(heartbeatInterval), must be at most a quarter of failover.interval "
          + "(\(interval / 4))"
      )
    }
    // Without a margin that makes sense this says nothing that helps.
    if found.isEmpty, heartbeatInterval > (interval - margin) / 3 {
      found.append(
        "failover.heartbeatInterval is \(heartbeatInterval), must be at most a third of the time that leases are "
          + "trusted, which is failover.interval without failover.margin (\((interval - margin) / 3))"
      )
    }
    found += check(
      "failover.lookInterval",
      lookInterval,
      in: .milliseconds(1)...max(heartbeatInterval, .milliseconds(1)),
      " (failover.heartbeatInterval)"
    )
    return found
  }
}

extension Duration {
  /// A bound of a range must not be negative where the whole is.
  fileprivate func part(_ divisor: Int) -> Duration { max(self, .zero) / divisor }
}

extension WorkerConfiguration.Handoff {
  fileprivate func violations(_ failover: WorkerConfiguration.Failover) -> [String] {
    // A heartbeat that is wrong itself is no measure.
    let shortest = min(max(failover.heartbeatInterval, .milliseconds(10)), .seconds(3600)) * 2
    let why = " (at least two heartbeats)"
    return check("handoff.timeout", timeout, in: shortest...day, why)
      + check("handoff.drainTimeout", drainTimeout, in: shortest...day, why)
  }
}

extension WorkerConfiguration.Stall {
  fileprivate func violations(_ failover: WorkerConfiguration.Failover) -> [String] {
    guard let timeout, timeout < failover.interval else { return [] }
    return ["stall.timeout is \(timeout), must be at least failover.interval (\(failover.interval))"]
  }
}

extension WorkerConfiguration.Planning {
  fileprivate func violations() -> [String] {
    var found = check("planning.interval", interval, in: .milliseconds(10)...day)
    found += check("planning.tolerance", tolerance, in: 0...1)
    if let maximumLeases, maximumLeases < 1 {
      found.append("planning.maximumLeases is \(maximumLeases), must be at least 1")
    }
    return found
  }
}

extension WorkerConfiguration.Reading {
  fileprivate func violations() -> [String] {
    check("reading.maximumRecords", maximumRecords, in: 1...10_000)
      + check("reading.shardSyncInterval", shardSyncInterval, in: .milliseconds(10)...day)
  }
}
