#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

/// The name of a worker, for people who look at the fleet. Nothing depends on it: workers are told apart by their
/// ``WorkerIncarnation``.
public struct WorkerIdentity: Sendable, Hashable {
  public var workerID: String
  public var host: String
  public var processID: Int32

  public init(workerID: String, host: String, processID: Int32) {
    self.workerID = workerID
    self.host = host
    self.processID = processID
  }

  /// This host and process, as `host/pid`.
  public static func current() -> WorkerIdentity {
    var buffer = [CChar](repeating: 0, count: 256)
    gethostname(&buffer, buffer.count - 1)
    let host = String(decoding: buffer.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
    let processID = getpid()
    return WorkerIdentity(workerID: "\(host)/\(processID)", host: host, processID: processID)
  }
}
