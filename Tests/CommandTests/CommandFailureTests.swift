import ArgumentParser
import LibPQ
import LocalPostgres
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
      (PQError(.connectionFailed, "no"), 69), (PQError(.connectionLost, "gone"), 69),
      (PQError(.hostNotFound, "no such host"), 69),
      (PQError(.connectionFailed, "no password", sqlState: "28P01"), 69),
      (PQError(.connectionFailed, "no database", sqlState: "3D000"), 69),
      (PQError(.server, "shutting down", sqlState: "57P01"), 69),
      (PQError(.server, "too many clients", sqlState: "53300"), 69),
      (PQError(.server, "lock timeout", sqlState: "55P03"), 1),
      (PQError(.server, "permission denied", sqlState: "42501"), 1),
      (PQError(.invalidConfiguration, "bad URL"), 64),
    ] as [(PQError, Int32)]
  )
  func database(_ error: PQError, _ exitCode: Int32) throws {
    #expect(CommandFailure(error)?.exitCode.rawValue == exitCode)
    let failure = try #require(CommandFailure(TidemarkError(error, of: .leaseStore)))
    #expect(failure.exitCode.rawValue == exitCode)
    #expect(failure.message.hasSuffix("\(error.message)."))
    #expect(failure.advice != nil)
  }

  @Test("A message is one line, and libpq's questions are left out")
  func lines() {
    let error = PQError(.connectionFailed, "host a failed\n\tIs it running?\nhost b failed\n")
    #expect(
      CommandFailure(error)?.message == "The database did not answer: host a failed; host b failed."
    )
  }

  @Test("An error's own advice goes before the general one")
  func advice() {
    let cause = PQError(.connectionLost, "gone")
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
