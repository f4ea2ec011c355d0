import NIOCore

@testable import TidemarkAWS

extension AWSClient {
  /// Asks for what tests need of a service beside what the product does.
  func sendJSON(_ operation: String, to service: AWSService, _ body: String) async throws {
    _ = try await send(operation, to: service, body: ByteBuffer(string: body))
  }
}
