import Foundation

/// What processes have used so far.
package struct Usage {
  /// CPU seconds of this process.
  package var client: Double
  /// CPU seconds of the server and all its children, living and ended; 0 where the system does not tell.
  package var server: Double

  package static func now(server: Int) -> Usage {
    Usage(client: own(), server: serverTime(server))
  }

  package static func - (left: Usage, right: Usage) -> Usage {
    Usage(client: left.client - right.client, server: left.server - right.server)
  }

  /// CPU seconds of this process.
  package static func own() -> Double {
    var time = timespec()
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
  }

  /// CPU seconds of another process.
  package static func time(of process: Int) -> Double {
    let ticks = statistics(of: process)?[11...12].compactMap { Int($0) }.reduce(0, +) ?? 0
    return Double(ticks) / Double(sysconf(Int32(_SC_CLK_TCK)))
  }

  private static func serverTime(_ main: Int) -> Double {
    let processes = (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []
    let ticks = processes.compactMap { Int($0) }.reduce(0) { sum, process in
      guard let fields = statistics(of: process), process == main || fields[1] == "\(main)" else {
        return sum
      }
      // utime, stime, and of the main process those of its ended children.
      let counted = process == main ? fields[11...14] : fields[11...12]
      return sum + counted.compactMap { Int($0) }.reduce(0, +)
    }
    return Double(ticks) / Double(sysconf(Int32(_SC_CLK_TCK)))
  }

  /// The fields of `/proc/<process>/stat` from the state on; the name before it may hold spaces.
  private static func statistics(of process: Int) -> [Substring]? {
    guard let data = FileManager.default.contents(atPath: "/proc/\(process)/stat") else { return nil }
    let text = String(decoding: data, as: UTF8.self)
    guard let end = text.lastIndex(of: ")") else { return nil }
    let fields = text[text.index(after: end)...].split(separator: " ")
    return fields.count > 14 ? fields : nil
  }

  /// The memory of this process that is resident, in bytes; 0 where the system does not tell.
  package static func residentMemory() -> Int {
    let data = FileManager.default.contents(atPath: "/proc/self/statm") ?? Data()
    let fields = String(decoding: data, as: UTF8.self).split(separator: " ")
    return fields.dropFirst().first.flatMap { Int($0) }.map { $0 * Int(sysconf(Int32(_SC_PAGESIZE))) } ?? 0
  }
}
