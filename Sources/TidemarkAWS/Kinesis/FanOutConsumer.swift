#if AWS
import AWSRequests
import Synchronization
import Tidemark

/// The application as a stream knows it that pushes records to it.
final class FanOutConsumer: Sendable {
  private struct Description: Decodable {
    struct Consumer: Decodable {
      var ConsumerARN: String
      /// `CREATING`, `ACTIVE` or `DELETING`.
      var ConsumerStatus: String
    }

    var ConsumerDescription: Consumer
  }

  /// Registering takes seconds.
  private static let maximumLooks = 60

  private let name: String
  private let client: AWSClient
  private let clock: any MonotonicClock
  private let known = Mutex<String?>(nil)

  init(_ name: String, client: AWSClient, clock: any MonotonicClock) {
    (self.name, self.client, self.clock) = (name, client, clock)
  }

  /// The consumer's ARN, once it is active. It is registered if it is not.
  func arn(at streamARN: () async throws -> String) async throws -> String {
    if let known = known.withLock({ $0 }) { return known }
    let streamARN = try await streamARN()
    for look in 1...Self.maximumLooks {
      switch try await described(at: streamARN) {
      case nil: try await register(at: streamARN)
      case let consumer? where consumer.ConsumerStatus == "ACTIVE":
        known.withLock { $0 = consumer.ConsumerARN }
        return consumer.ConsumerARN
      default: if look < Self.maximumLooks { try await clock.sleep(for: .seconds(1)) }
      }
    }
    throw TidemarkError(
      .sourceUnavailable,
      "The consumer \(name) of \(streamARN) has not become active within a minute."
    )
  }

  /// Called when a service does not find something, which may be the consumer.
  ///
  /// - Throws: `TidemarkError` (`sourceUnavailable`) if it is gone. Then the next reader that needs it registers it again.
  func confirm(at streamARN: () async throws -> String) async throws {
    let streamARN = try await streamARN()
    if try await described(at: streamARN) != nil { return }
    known.withLock { $0 = nil }
    throw TidemarkError(
      .sourceUnavailable,
      "Somebody has deregistered the consumer \(name) of \(streamARN).",
      advice: "It is registered again; stop the application before its consumer is taken away."
    )
  }

  private func described(at streamARN: String) async throws -> Description.Consumer? {
    do {
      let description: Description = try await client.send(
        "DescribeStreamConsumer",
        to: .kinesis,
        ConsumerRequest(StreamARN: streamARN, ConsumerName: name)
      ).decoded()
      return description.ConsumerDescription
    } catch let error as TidemarkError where error.code == .streamNotFound {
      // It may be the stream that is missing. Registering tells.
      return nil
    }
  }

  private func register(at streamARN: String) async throws {
    do {
      let request = ConsumerRequest(StreamARN: streamARN, ConsumerName: name)
      _ = try await client.send("RegisterStreamConsumer", to: .kinesis, request)
    } catch let error as TidemarkError where error.isResourceInUse {
      // Another worker was faster.
    }
  }
}

extension TidemarkError {
  /// Somebody has it already.
  var isResourceInUse: Bool { (underlying as? AWSError)?.code == "ResourceInUseException" }
}
#endif
