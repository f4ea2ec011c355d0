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

  @Test("A home that is a link, or that others can write to, is exit code 69, with what to do")
  func unsafeHome() async throws {
    let home = try Home()
    let place = home.directory.path + "/home"
    try FileManager.default.createSymbolicLink(atPath: place, withDestinationPath: home.directory.path)
    let link = try await home.tidemark.run("stream", "list")
    #expect(link.status == 69 && link.errors.contains("Error: \(place) is a symbolic link."))
    #expect(link.errors.contains("Help: Name the directory that it leads to. Or set TIDEMARK_HOME"))
    try FileManager.default.removeItem(atPath: place)
    try FileManager.default.createDirectory(atPath: place, withIntermediateDirectories: false)
    try FileManager.default.setAttributes([.posixPermissions: 0o777], ofItemAtPath: place)
    let writable = try await home.tidemark.run("stream", "list")
    #expect(writable.status == 69 && writable.errors.contains("chmod go-w '\(place)'"))
    #expect(try FileManager.default.contentsOfDirectory(atPath: place).isEmpty)
  }

  @Test("All that is in the home, the socket too, is readable by its user alone")
  func modes() async throws {
    let home = try Home()
    _ = try await home.tidemark.run("stream", "create", "s", "--shards", "1")
    let tail = try home.tidemark.start(["stream", "tail", "s"])
    try await eventually("the server runs") { home.server != nil }
    #expect(try await home.tidemark.run("stream", "describe", "s").status == 0)
    let place = home.directory.path + "/home"
    let names = try FileManager.default.subpathsOfDirectory(atPath: place)
    for name in names {
      // Files of the server come and go.
      let attributes = try? FileManager.default.attributesOfItem(atPath: "\(place)/\(name)")
      if let mode = attributes?[.posixPermissions] as? Int { #expect(mode & 0o077 == 0, "\(name)") }
    }
    var needed: Set = ["change.lock", "sharing.lock", "postgres", "postgres/log", "postgres/password"]
    // Where the path is too long, the socket is in a directory of its own.
    if place.utf8.count < 70 { needed.insert("postgres/.s.PGSQL.5432") }
    #expect(needed.subtracting(names) == [])
    tail.signal(SIGTERM)
    _ = await tail.outcome
  }

  @Test(
    "A socket that another user has put in the place of a server that is gone is not talked to",
    .enabled(if: geteuid() == 0)
  )
  func foreignSocket() async throws {
    let home = try Home()
    _ = try await home.tidemark.run("stream", "create", "s", "--shards", "1")
    let socket = try ListeningSocket(directory: home.directory.path)
    let data = home.directory.path + "/home/postgres/data"
    // As a crash of the machine leaves it. The test's own process is root, whose the server is not.
    try "1\n\(data)\n0\n5432\n\(home.directory.path)\n\n\nready\n"
      .write(toFile: data + "/postmaster.pid", atomically: false, encoding: .utf8)
    let described = try await home.tidemark.run("stream", "describe", "s")
    #expect(described.status == 0, "\(described.errors)")
    #expect(try socket.received() == [[]], "it was tried once, and sent nothing")
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
