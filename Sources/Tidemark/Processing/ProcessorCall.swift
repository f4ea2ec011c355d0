/// One of the calls that a ``RecordProcessor`` gets.
public enum ProcessorCall: String, Sendable {
  case initialize, process, wokenUp, leaseLost, shardEnded, shutdownRequested
}
