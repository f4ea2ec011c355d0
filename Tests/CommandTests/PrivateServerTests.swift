import Foundation
import TestSupport
import Testing

@Suite("The private server of the program", .sharesMachine)
struct PrivateServerTests {
  /// A home of a test's own, and what runs in it.
  private struct Home {
    let directory: TemporaryDirectory
    let tidemark: CommandLineTool

    init() throws {
      directory = try TemporaryDirectory()
      tidemark = CommandLineTool(environment: ["TIDEMARK_HOME": directory.path + "/home"])
    }

    /// The server's process, if there is one.
    var server: pid_t? {
      let file = directory.path + "/home/postgres/data/postmaster.pid"
      guard let text = try? String(contentsOfFile: file, encoding: .utf8),
        let process = pid_t(text.prefix { $0.isNumber }), kill(process, 0) == 0
      else { return nil }
      return process
    }
  }

  @Test("What one command creates the next one finds, and no process is left")
  func kept() async throws {
    let home = try Home()
    let created = try await home.tidemark.run("stream", "create", "s", "--shards", "1", "--json")
    #expect(created.status == 0)
    #expect(created.errors.contains("private PostgreSQL in \(home.directory.path)/home/postgres"))
    #expect(home.server == nil)
    let described = try await home.tidemark.run("stream", "describe", "s", "--json")
    let names = try [created, described].map { try $0.decode(StreamDocument.self).fullName }
    #expect(names[0] == names[1])
    #expect(home.server == nil)
  }

  @Test("Commands that run at the same time share the server, which is stopped by the last signal")
  func shared() async throws {
    let home = try Home()
    _ = try await home.tidemark.run("stream", "create", "s", "--shards", "1")
    let tail = try home.tidemark.start(["stream", "tail", "s"])
    try await eventually("the server runs") { home.server != nil }
    let server = home.server
    let put = try await home.tidemark.run("stream", "put", "s", "--key", "k", "--data", "hello")
    #expect(put.status == 0)
    #expect(put.errors.contains("which another tidemark command runs"))
    #expect(home.server == server)
    try await eventually("the record is printed") { tail.output.contains("hello") }
    tail.signal(SIGTERM)
    #expect(await tail.outcome.status == 0)
    #expect(home.server == nil)
  }

  @Test("Commands that are started at once all succeed")
  func concurrent() async throws {
    let home = try Home()
    _ = try await home.tidemark.run("stream", "create", "s", "--shards", "1")
    let puts = try (1...4).map {
      try home.tidemark.start(["stream", "put", "s", "--key", "k", "--data", "\($0)"])
    }
    for put in puts {
      let outcome = await put.outcome
      #expect(outcome.status == 0, "\(outcome.errors)")
    }
    let tail = try await home.tidemark.run("stream", "tail", "s", "--no-follow", "--json")
    #expect(try Set(tail.decodeLines(RecordDocument.self).map(\.data)) == ["1", "2", "3", "4"])
    #expect(home.server == nil)
  }

  @Test("Without TIDEMARK_HOME it is where the user's other data are")
  func dataHome() async throws {
    let directory = try TemporaryDirectory()
    let tidemark = CommandLineTool(environment: ["TIDEMARK_HOME": "", "XDG_DATA_HOME": directory.path])
    #expect(try await tidemark.run("migrate").status == 0)
    #expect(FileManager.default.fileExists(atPath: directory.path + "/tidemark/postgres/data/PG_VERSION"))
  }

  @Test("A home that cannot be used is exit code 69, with what to do")
  func unusable() async throws {
    let directory = try TemporaryDirectory()
    let file = directory.path + "/file"
    #expect(FileManager.default.createFile(atPath: file, contents: nil))
    let outcome = try await CommandLineTool(environment: ["TIDEMARK_HOME": file + "/home"]).run(
      "stream",
      "list"
    )
    #expect(outcome.status == 69)
    #expect(outcome.errors.contains(file) && outcome.errors.contains("Help: Set TIDEMARK_HOME"))
  }

  @Test("A command that is killed leaves no server")
  func killed() async throws {
    let home = try Home()
    _ = try await home.tidemark.run("stream", "create", "s", "--shards", "1")
    let tail = try home.tidemark.start(["stream", "tail", "s"])
    try await eventually("the server runs") { home.server != nil }
    tail.signal(SIGKILL)
    try await eventually("the server is gone") { home.server == nil }
    #expect(try await home.tidemark.run("stream", "describe", "s").status == 0)
  }
}
