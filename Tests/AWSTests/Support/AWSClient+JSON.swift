#if AWS
import NIOCore
import Tidemark

@testable import AWSRequests
@testable import TidemarkAWS

extension AWSClient {
  /// Asks for what tests need of a service beside what the product does.
  func sendJSON(_ operation: String, to service: AWSService, _ body: String) async throws {
    _ = try await send(operation, to: service, body: ByteBuffer(string: body))
  }

  /// A table with the key `id` and a stream.
  func createOrders(view: StreamViewType = .newAndOldImages) async throws {
    try await sendJSON(
      "CreateTable",
      to: .dynamoDB,
      """
      {"TableName":"Orders","BillingMode":"PAY_PER_REQUEST",
      "AttributeDefinitions":[{"AttributeName":"id","AttributeType":"S"}],
      "KeySchema":[{"AttributeName":"id","KeyType":"HASH"}],
      "StreamSpecification":{"StreamEnabled":true,"StreamViewType":"\(view.rawValue)"}}
      """
    )
  }
}
#endif
