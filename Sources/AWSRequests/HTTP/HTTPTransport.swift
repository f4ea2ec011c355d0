#if AWS
import AsyncHTTPClient
import NIOCore
import NIOHTTP1
import Synchronization

/// Sends requests over connections that all clients of the process share, and which are kept open between requests.
package enum HTTPTransport {
  /// The largest body that is taken: the largest answer of Kinesis is 10 MiB, which base64 makes a third longer.
  static let bodyLimit = 32 << 20

  /// Lives as long as the process, so nobody has to shut it down.
  private static let client = makeClient()

  /// For answers that last minutes, and must not be in the way of others. Several, because over HTTP/2 a client has one
  /// connection to a host, which may have no more answers under way than the host allows: often a hundred.
  private static let streamClients = (0..<8).map { _ in makeClient() }
  private static let streamCount = Atomic(0)

  private static func makeClient() -> HTTPClient {
    var configuration = HTTPClient.Configuration()
    // A redirect would take signed requests and tokens to where nobody meant to send them.
    configuration.redirectConfiguration = .disallow
    configuration.timeout.connect = .seconds(5)
    // Idle connections are closed before the services and most firewalls do it in the middle of a request.
    configuration.connectionPool.idleTimeout = .seconds(20)
    // A worker reads hundreds of shards of one service at once.
    configuration.connectionPool.concurrentHTTP1ConnectionsPerHostSoftLimit = 256
    // The caller counts and paces retries.
    configuration.connectionPool.retryConnectionEstablishment = false
    return HTTPClient(eventLoopGroupProvider: .singleton, configuration: configuration)
  }

  /// - Parameter timeout: for everything, from connecting to the last byte of the body.
  /// - Throws: ``HTTPFailure``, `CancellationError`.
  static func send(_ call: HTTPCall, timeout: Duration) async throws -> HTTPAnswer {
    try await within(timeout) {
      let response = try await client.execute(request(call), timeout: .init(timeout))
      let body = try await response.body.collect(upTo: bodyLimit)
      return HTTPAnswer(status: Int(response.status.code), headers: response.headers, body: body)
    }
  }

  /// The answer's head, with its body still to come.
  ///
  /// - Parameter timeout: until the head is there.
  static func open(_ call: HTTPCall, timeout: Duration) async throws -> HTTPClientResponse {
    let turn = streamCount.wrappingAdd(1, ordering: .relaxed).oldValue & Int.max
    let client = streamClients[turn % streamClients.count]
    do {
      return try await client.execute(request(call), timeout: .init(timeout))
    } catch {
      throw try HTTPFailure(error)
    }
  }

  private static func request(_ call: HTTPCall) -> HTTPClientRequest {
    var request = HTTPClientRequest(url: call.url)
    request.method = call.method
    request.headers = call.headers
    request.headers.replaceOrAdd(name: "User-Agent", value: "tidemark")
    if call.method != .GET { request.body = .bytes(call.body) }
    return request
  }

  /// The client's own deadline ends with the head. A body that never comes needs this one.
  ///
  /// - Throws: ``HTTPFailure``, `CancellationError`.
  package static func within<Output: Sendable>(
    _ timeout: Duration,
    _ body: @escaping @Sendable () async throws -> Output
  ) async throws -> Output {
    do {
      return try await withThrowingTaskGroup(of: Output.self) { group in
        group.addTask(operation: body)
        group.addTask {
          try await ContinuousClock().sleep(for: timeout)
          throw HTTPFailure.timeout(timeout)
        }
        defer { group.cancelAll() }
        guard let answer = try await group.next() else { throw CancellationError() }
        return answer
      }
    } catch {
      throw try HTTPFailure(error)
    }
  }
}
#endif
