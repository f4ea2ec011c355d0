/// One of the calls that a ``RecordProcessor`` gets.
public enum ProcessorCall: String, Sendable {
  case initialize, process, wokenUp, leaseLost, shardEnded, shutdownRequested
}

extension ProcessorCall {
  /// Whether it is made only while the worker is sure of its leases: after that another worker may do the same already.
  var needsTrust: Bool {
    switch self {
    case .process, .wokenUp: true
    case .initialize, .leaseLost, .shardEnded, .shutdownRequested: false
    }
  }
}
