#if AWS
import NIOHTTP1
import Synchronization
import Tidemark

@testable import AWSRequests
@testable import TidemarkAWS

/// A ``FakeDynamoDBStreams`` behind a server, with a source that reads it.
struct DynamoDBReading {
  let machine = TestMachine()
  let fake: FakeDynamoDBStreams
  let server: LoopbackServer
  let source: DynamoDBStreamsSource

  init(
    _ options: FakeDynamoDBStreams.Options = .init(),
    name: String = "orders",
    environment: AWSEnvironment? = nil,
    pollInterval: Duration = .seconds(1),
    _ change: (inout AWSConfiguration) -> Void = { _ in }
  ) async throws {
    let machine = machine
    let fake = FakeDynamoDBStreams(options) { environment?.now() ?? machine.time.withLock { $0 } }
    self.fake = fake
    server = try await LoopbackServer { fake.reply(to: $0) }
    let used = environment ?? machine.environment()
    var configuration = AWSConfiguration(endpoint: server.url)
    configuration.retry.maximumAttempts = 3
    change(&configuration)
    source = try DynamoDBStreamsSource(
      name,
      pollInterval: pollInterval,
      configuration: configuration,
      environment: used,
      logger: machine.logger
    )
  }

  func wait(_ duration: Duration) {
    machine.time.withLock { $0 = $0 + duration }
    machine.clock.advance(by: duration)
  }

  func put(_ values: Range<Int>, id: String = "a") {
    fake.change { table in for value in values { table.put(id, value) } }
  }

  /// The shard that takes what ``put(_:id:)`` writes, when nothing has rotated.
  func shard(of id: String = "a") async throws -> Shard {
    let own = fake.change { $0.streams.last?.shards.first { !$0.records.isEmpty }?.id }
    return try await source.shards().first { $0.id.hasSuffix(own ?? "none") }
      ?? Shard(id: "none")
  }

  func iteratorTypes() -> [String] {
    server.requests.compactMap { $0.body.firstMatch(of: /"ShardIteratorType":"(\w+)"/).map { String($0.1) } }
  }
}

extension ShardReader {
  /// Reads until the end, or until `count` records are there.
  func values(_ count: Int = .max) async throws -> (values: [Int], end: ShardPage.End?) {
    var values: [Int] = []
    while values.count < count {
      let page = try await nextPage(maximumRecords: 3)
      values += try page.records.map { try $0.value }
      if let end = page.end { return (values, end) }
    }
    return (values, nil)
  }
}

extension Record {
  /// What an item of ``FakeDynamoDBStreams`` holds after the change, -1 once it is deleted; or what is in a record of
  /// Kinesis.
  var value: Int {
    get throws {
      struct Item: Decodable { var value: Int }
      if let data { return Int(String(decoding: data, as: UTF8.self)) ?? -1 }
      return try change?.newImage(as: Item.self)?.value ?? -1
    }
  }
}
#endif
