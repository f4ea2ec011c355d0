#if AWS
import Logging
import NIOHTTP1
import Synchronization
import TestSupport
import Testing
import Tidemark

@testable import AWSRequests
@testable import TidemarkAWS

@Suite("Credentials in use")
struct CredentialsCacheTests {
  private let machine = TestMachine()

  private func cache(_ provider: any AWSCredentialsProvider) -> CredentialsCache {
    CredentialsCache(provider, environment: machine.environment(), logger: machine.logger)
  }

  private var now: Timestamp { machine.time.withLock { $0 } }

  private func pass(_ duration: Duration) {
    machine.time.withLock { $0 = $0 + duration }
    machine.clock.advance(by: duration)
  }

  @Test("credentials are fetched once for all who ask at the same time")
  func shared() async throws {
    let provider = ScriptedProvider { key("K\($0)") }
    let cache = cache(provider)
    try await withThrowingTaskGroup(of: AWSCredentials.self) { group in
      for _ in 0..<50 { group.addTask { try await cache.credentials() } }
      for try await credentials in group { #expect(credentials.accessKeyID == "K1") }
    }
    #expect(provider.calls.withLock { $0 } == 1)
  }

  @Test(
    "credentials are renewed beside their use from 15 minutes before their end, and requests wait for that from 10"
  )
  func windows() async throws {
    let start = now
    let provider = ScriptedProvider { key("K\($0)", until: start + .seconds(3600 * $0)) }
    let cache = cache(provider)
    #expect(try await cache.credentials().accessKeyID == "K1")
    pass(.seconds(44 * 60))
    #expect(try await cache.credentials().accessKeyID == "K1")
    #expect(provider.calls.withLock { $0 } == 1)
    pass(.seconds(2 * 60))
    #expect(try await cache.credentials().accessKeyID == "K1")
    try await eventually("the next are there") { try await cache.credentials().accessKeyID == "K2" }
    pass(.seconds(65 * 60))
    #expect(try await cache.credentials().accessKeyID == "K3")
  }

  @Test("credentials stay while they work and no others can be had, and the source is left alone for a while")
  func failing() async throws {
    let start = now
    let provider = ScriptedProvider { call in
      if call > 1 { throw TidemarkError(.sourceUnavailable, "gone") }
      return key("K1", until: start + .seconds(3600))
    }
    let cache = cache(provider)
    _ = try await cache.credentials()
    pass(.seconds(46 * 60))
    #expect(try await cache.credentials().accessKeyID == "K1")
    try await eventually("the refresh has failed") { machine.log.withLock { $0.contains("gone") } }
    for _ in 0..<10 { #expect(try await cache.credentials().accessKeyID == "K1") }
    #expect(provider.calls.withLock { $0 } == 2)
    pass(.seconds(5 * 60))
    #expect(try await cache.credentials().accessKeyID == "K1")
    #expect(provider.calls.withLock { $0 } == 3)
    pass(.seconds(10 * 60))
    let error = try await #require(throws: TidemarkError.self) { try await cache.credentials() }
    #expect(error.message == "gone")
  }

  @Test("credentials that live briefly are not fetched for each request")
  func brief() async throws {
    let start = now
    let provider = ScriptedProvider { key("K\($0)", until: start + .seconds(300 * $0)) }
    let cache = cache(provider)
    for _ in 0..<10 { #expect(try await cache.credentials().accessKeyID == "K1") }
    pass(.seconds(250))
    #expect(try await cache.credentials().accessKeyID == "K2")
  }

  @Test("credentials that come expired are refused, with a word on the clock")
  func cameExpired() async throws {
    let start = now
    let cache = cache(ScriptedProvider { _ in key("K", until: start) })
    let error = try await #require(throws: TidemarkError.self) { try await cache.credentials() }
    #expect(error.code == .accessDenied && error.advice?.contains("clock") == true)
  }

  @Test("credentials that nobody has are an error that says what to do")
  func none() async throws {
    let error = try await #require(throws: TidemarkError.self) {
      try await cache(CredentialsChain([])).credentials()
    }
    #expect(error.code == .accessDenied && error.advice?.contains("AWS_ACCESS_KEY_ID") == true)
  }

  @Test(
    "credentials are renewed for all when a service rejects them, and not again for a caller that comes late"
  )
  func rejected() async throws {
    let provider = ScriptedProvider { key("K\($0)") }
    let cache = cache(provider)
    let first = try await cache.credentials()
    #expect(try await cache.credentials(after: first).accessKeyID == "K2")
    #expect(try await cache.credentials(after: first).accessKeyID == "K2")
    #expect(provider.calls.withLock { $0 } == 2)
  }

  @Test("credentials come from the same source from the first on")
  func sameSource() async throws {
    let first = ScriptedProvider { $0 == 1 ? nil : key("LATE") }
    let second = ScriptedProvider { key("K\($0)") }
    let chain = CredentialsChain([first, second])
    #expect(try await chain.credentials()?.accessKeyID == "K1")
    #expect(try await chain.credentials()?.accessKeyID == "K2")
    #expect(first.calls.withLock { $0 } == 1)
  }

  @Test(
    "credentials are logged with their source and key, and shown without a secret however they are printed"
  )
  func secrets() async throws {
    let provider = StaticCredentialsProvider(key("K1"))
    _ = try await cache(provider).credentials()
    let log = machine.log.withLock { $0 }
    #expect(log.contains("static credentials") && log.contains("K1"))
    var configuration = AWSConfiguration()
    configuration.credentials.provider = provider
    var shown = log
    dump(key("K1"), to: &shown)
    dump(provider, to: &shown)
    dump(configuration, to: &shown)
    let environment = machine.environment(["AWS_SECRET_ACCESS_KEY": "SECRET"], command: "TOKEN")
    dump(environment, to: &shown)
    dump(AWSEnvironment.CommandResult(exitCode: 0, output: "TOKEN"), to: &shown)
    dump(machine.sources(["AWS_SECRET_ACCESS_KEY": "SECRET"]), to: &shown)
    dump(try INIFile("[a]\nb = SECRET", name: "f"), to: &shown)
    var call = HTTPCall(url: "http://a")
    call.headers.add(name: "Authorization", value: "TOKEN")
    dump(call, to: &shown)
    shown += "\(key("K1")) \(provider) \(configuration) \(environment) \(call)"
    shown += String(reflecting: configuration) + String(reflecting: call) + String(reflecting: environment)
    #expect(!shown.contains("SECRET") && !shown.contains("TOKEN"), "\(shown)")
  }
}
#endif
