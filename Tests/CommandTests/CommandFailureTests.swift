import ArgumentParser
import LocalPostgres
import PostgresClient
import TestSupport
import Testing
import Tidemark
import TidemarkPostgres

@testable import TidemarkCommand

@Suite("Exit codes", .sharesMachine)
struct CommandFailureTests {
  @Test(
    "A server that is not there, stops or is full is 69, one that refuses is 1",
    arguments: [
      (PostgresError(.connectionFailed, "no"), 69), (PostgresError(.connectionLost, "gone"), 69),
      (PostgresError(.hostNotFound, "no such host"), 69),
      (PostgresError(.connectionFailed, "no password", sqlState: "28P01"), 69),
      (PostgresError(.connectionFailed, "no database", sqlState: "3D000"), 69),
      (PostgresError(.server, "shutting down", sqlState: "57P01"), 69),
      (PostgresError(.server, "too many clients", sqlState: "53300"), 69),
      (PostgresError(.server, "lock timeout", sqlState: "55P03"), 1),
      (PostgresError(.server, "permission denied", sqlState: "42501"), 1),
      (PostgresError(.invalidConfiguration, "bad URL"), 64),
    ] as [(PostgresError, Int32)]
  )
  func database(_ error: PostgresError, _ exitCode: Int32) throws {
    #expect(CommandFailure(error)?.exitCode.rawValue == exitCode)
    let failure = try #require(CommandFailure(TidemarkError(error, of: .leaseStore)))
    #expect(failure.exitCode.rawValue == exitCode)
    #expect(failure.message.hasSuffix("\(error.message)."))
    #expect(failure.advice != nil)
  }

  @Test("A message is one line, and libpq's questions are left out")
  func lines() {
    let error = PostgresError(.connectionFailed, "host a failed\n\tIs it running?\nhost b failed\n")
    #expect(
      CommandFailure(error)?.message == "The database did not answer: host a failed; host b failed."
    )
  }

  @Test("An error's own advice goes before the general one")
  func advice() {
    let cause = PostgresError(.connectionLost, "gone")
    let error = TidemarkError(.sourceUnavailable, "It is gone", advice: "Do this.", underlying: cause)
    #expect(CommandFailure(error)?.report == "Error: It is gone.\nHelp: Do this.\n")
    #expect(CommandFailure(ValidationError("usage")) == nil)
  }

  @Test("A private server that cannot be had is 69")
  func privateServer() {
    let error = LocalPostgresError(.binariesNotFound, "none", advice: "Install it.")
    #expect(CommandFailure(error)?.exitCode.rawValue == 69)
  }
}
