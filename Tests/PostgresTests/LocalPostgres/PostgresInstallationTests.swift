import Foundation
import TestSupport
import Testing

@testable import LocalPostgres

@Suite("Finding PostgreSQL's binaries", .sharesMachine)
struct PostgresInstallationTests {
  @Test("The binaries are found on this machine")
  func found() async throws {
    let installation = try await PostgresInstallation.find()
    #expect(FileManager.default.isExecutableFile(atPath: installation.binaryDirectory + "/postgres"))
  }

  @Test("Missing binaries are an error that says how to install them")
  func missing() async throws {
    let error = await #expect(throws: LocalPostgresError.self) {
      try await PostgresInstallation.find(environment: ["PATH": "/nowhere"], usualDirectories: ["/nowhere"])
    }
    #expect(error?.code == .binariesNotFound)
    #expect(error?.advice?.contains("apt-get install postgresql") == true)
  }

  @Test("A chosen directory without the binaries is an error, even if others have them")
  func wrongChoice() async throws {
    let installed = try await PostgresInstallation.find().binaryDirectory
    let error = await #expect(throws: LocalPostgresError.self) {
      try await PostgresInstallation.find(
        environment: ["TIDEMARK_POSTGRES_BIN": "/nowhere"],
        usualDirectories: [installed]
      )
    }
    #expect(error?.message.contains("/nowhere") == true)
  }

  @Test("Without pg_config the usual directories are searched, in their order")
  func usualDirectories() async throws {
    let installed = try await PostgresInstallation.find().binaryDirectory
    let found = try await PostgresInstallation.find(
      environment: [:],
      usualDirectories: ["/nowhere", installed, "/bin"]
    )
    #expect(found.binaryDirectory == installed)
  }
}
