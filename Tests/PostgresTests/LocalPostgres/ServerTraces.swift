import Foundation

/// What a server that ended properly does not leave: its process and its directory.
struct ServerTraces: Codable {
  private var directory: String
  var process: pid_t

  init(dataDirectory: String) throws {
    directory = URL(filePath: dataDirectory).deletingLastPathComponent().path
    let file = try String(contentsOfFile: dataDirectory + "/postmaster.pid", encoding: .utf8)
    process = pid_t(file.prefix { $0.isNumber }) ?? 0
  }

  var processIsAlive: Bool { kill(process, 0) == 0 }

  var areGone: Bool { !processIsAlive && !FileManager.default.fileExists(atPath: directory) }
}
