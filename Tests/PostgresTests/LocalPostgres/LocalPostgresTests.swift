import Foundation
import LibPQ
import TestSupport
import Testing

@testable import LocalPostgres

@Suite("A private PostgreSQL server", .sharesMachine)
struct LocalPostgresTests {
  @Test("A stopped server leaves no process and no directory")
  func stop() async throws {
    let server = try await LocalPostgres.start(.quick)
    let traces = try ServerTraces(dataDirectory: server.dataDirectory)
    #expect(await server.isRunning)
    #expect(traces.processIsAlive)
    await server.stop()
    #expect(await !server.isRunning)
    #expect(traces.areGone)
    await #expect(throws: LocalPostgresError.self) { try await server.restart() }
  }

  @Test("A server ends with the scope that it was started for, even if that throws")
  func scope() async throws {
    struct Failure: Error {}
    var traces: ServerTraces?
    await #expect(throws: Failure.self) {
      try await withLocalPostgres(.quick) { server in
        traces = try ServerTraces(dataDirectory: server.dataDirectory)
        throw Failure()
      }
    }
    #expect(try #require(traces).areGone)
  }

  @Test("A server that nobody refers to any more stops")
  func release() async throws {
    let traces = try await {
      try ServerTraces(dataDirectory: try await LocalPostgres.start(.quick).dataDirectory)
    }()
    try await eventually("the server is gone") { traces.areGone }
  }

  #if compiler(>=6.2)
  @Test("A server whose program is killed stops, and its directory goes")
  func killedProgram() async throws {
    let result = try await #require(
      processExitsWith: .signal(SIGKILL),
      observing: [\.standardOutputContent]
    ) {
      let server = try await LocalPostgres.start(.quick)
      let traces = try ServerTraces(dataDirectory: server.dataDirectory)
      try FileHandle.standardOutput.write(contentsOf: JSONEncoder().encode(traces))
      kill(getpid(), SIGKILL)
    }
    let traces = try JSONDecoder().decode(ServerTraces.self, from: Data(result.standardOutputContent))
    try await eventually("the server is gone") { traces.areGone }
  }
  #endif

  @Test("A signal to the program's process group does not reach the server")
  func processGroup() async throws {
    try await withLocalPostgres(.quick) { server in
      let traces = try ServerTraces(dataDirectory: server.dataDirectory)
      #expect(getpgid(traces.process) != getpgrp())
    }
  }

  @Test("A restarted server has its data", arguments: [LocalPostgres.ShutdownMode.fast, .immediate])
  func restart(mode: LocalPostgres.ShutdownMode) async throws {
    try await withLocalPostgres(.quick) { server in
      let before = try ServerTraces(dataDirectory: server.dataDirectory)
      try await server.createDatabase("kept")
      try await server.restart(mode: mode)
      #expect(!before.processIsAlive)
      try await server.createDatabase("copy", template: "kept")
    }
  }

  @Test("A server that crashed under a busy client says so and can be started again")
  func crash() async throws {
    try await withLocalPostgres(.quick) { server in
      try await server.createDatabase("kept")
      let psql = [server.installation.binaryDirectory + "/psql", "-Atc"]
      let busy = try ChildProcess(psql + ["do $$ begin loop end loop; end $$", server.url()])
      try await eventually("the client is busy") {
        let count = "select count(*) from pg_stat_activity where query like 'do %' and state = 'active'"
        return try await ChildProcess.run(psql + [count, server.url()]).output == "1"
      }
      kill(try ServerTraces(dataDirectory: server.dataDirectory).process, SIGKILL)
      try await eventually("the server is known to be down") {
        await !server.isRunning
      }
      try await server.restart()
      #expect(await server.isRunning)
      #expect(await busy.status != 0)
      try await server.createDatabase("copy", template: "kept")
    }
  }

  @Test("A directory of the user's own is kept, and the next server continues with it")
  func keptDirectory() async throws {
    let parent = try TemporaryDirectory()
    var configuration = LocalPostgresConfiguration.quick
    configuration.directory = parent.path + "/missing/server"
    try await withLocalPostgres(configuration) { try await $0.createDatabase("kept") }
    try await withLocalPostgres(configuration) { try await $0.createDatabase("copy", template: "kept") }
  }

  @Test("A directory belongs to one server at a time")
  func sharedDirectory() async throws {
    let directory = try TemporaryDirectory()
    var configuration = LocalPostgresConfiguration.quick
    configuration.directory = directory.path
    let first = try await LocalPostgres.start(configuration)
    configuration.startTimeout = .milliseconds(100)
    let error = await #expect(throws: LocalPostgresError.self) {
      try await LocalPostgres.start(configuration)
    }
    #expect(error?.code == .directoryUnusable)
    #expect(await first.isRunning)

    configuration.startTimeout = .seconds(60)
    async let second = LocalPostgres.start(configuration)
    await first.stop()
    #expect(await first.isRunning == false)
    #expect(try await second.isRunning)
    try await second.stop()
  }

  @Test("A directory that holds other files is refused and left alone")
  func foreignDirectory() async throws {
    let directory = try TemporaryDirectory()
    try Data().write(to: URL(filePath: directory.path + "/thesis.txt"))
    var configuration = LocalPostgresConfiguration.quick
    configuration.directory = directory.path
    let error = await #expect(throws: LocalPostgresError.self) {
      try await LocalPostgres.start(configuration)
    }
    #expect(error?.code == .directoryUnusable)
    #expect(try FileManager.default.contentsOfDirectory(atPath: directory.path) == ["thesis.txt"])
  }

  @Test("A path too long for a socket is no obstacle")
  func longPath() async throws {
    let parent = try TemporaryDirectory()
    var configuration = LocalPostgresConfiguration.quick
    configuration.directory = parent.path + "/" + String(repeating: "long", count: 30)
    try await withLocalPostgres(configuration) { try await $0.createDatabase("reached") }
  }

  @Test("Over TCP the server wants the password that its URL holds")
  func tcp() async throws {
    var configuration = LocalPostgresConfiguration.quick
    configuration.listensOnTCP = true
    try await withLocalPostgres(configuration) { server in
      let connection = try await connect(PQConfiguration(url: server.url()))
      #expect(try await connection.value("SELECT host(inet_server_addr())") == "127.0.0.1")
      let wrong = server.url().replacing("@127.0.0.1:", with: "wrong@127.0.0.1:")
      let error = try await postgresError { _ = try await connect(PQConfiguration(url: wrong)) }
      #expect(error.sqlState == "28P01")
      let password = try #require(server.url().firstMatch(of: /:([^:@]+)@/)).1
      var shown = String(reflecting: server)
      dump(server, to: &shown)
      #expect(!shown.contains(password))
    }
  }

  @Test("A server that does not start shows its log and leaves nothing")
  func startFailure() async throws {
    let directory = try TemporaryDirectory()
    var configuration = LocalPostgresConfiguration.quick
    configuration.directory = directory.path
    configuration.settings["shared_buffers"] = "none"
    let error = await #expect(throws: LocalPostgresError.self) {
      try await LocalPostgres.start(configuration)
    }
    #expect(error?.code == .startFailed)
    #expect(error?.message.contains(#"invalid value for parameter "shared_buffers""#) == true)
  }

  @Test("A start that takes too long, or is cancelled, leaves no process")
  func startInterrupted() async throws {
    let directory = try TemporaryDirectory()
    var configuration = LocalPostgresConfiguration.quick
    configuration.directory = directory.path
    configuration.startTimeout = .zero
    let error = await #expect(throws: LocalPostgresError.self) {
      try await LocalPostgres.start(configuration)
    }
    #expect(error?.code == .startFailed)
    #expect(!FileManager.default.fileExists(atPath: directory.path + "/data/postmaster.pid"))

    configuration.startTimeout = .seconds(60)
    let start = Task { [configuration] in try await LocalPostgres.start(configuration) }
    start.cancel()
    await #expect(throws: CancellationError.self) { try await start.value }
    #expect(!FileManager.default.fileExists(atPath: directory.path + "/data/postmaster.pid"))
  }

  @Test("The server of a program that is root runs as somebody else", .enabled(if: geteuid() == 0))
  func root() async throws {
    try await withLocalPostgres(.quick) { server in
      let owner = try FileManager.default.attributesOfItem(atPath: server.dataDirectory)[.ownerAccountID]
      #expect(try #require(owner as? NSNumber) != 0)
    }
  }
}

extension LocalPostgresConfiguration {
  fileprivate static var quick: Self {
    var configuration = Self()
    configuration.settings = ["fsync": "off"]
    return configuration
  }
}
