import AsyncHTTPClient
import BenchmarkSupport
import Foundation
import NIOCore
import NIOHTTP1

/// What HTTP alone costs: the same answers at the same pace over the same client, unsigned, and it reads no byte of
/// them.
struct PlainHTTPReader {
  let url: String
  /// The operation as in `X-Amz-Target`.
  let target: String
  /// The least time between two reads of a shard.
  let interval: Duration
  let load: ReadingLoad

  /// - Returns: how many records were read.
  func readAll() async throws -> Int {
    let client = HTTPClient(eventLoopGroupProvider: .singleton)
    let count = try await withThrowingTaskGroup(of: Int.self) { group in
      for shard in 0..<load.shards { group.addTask { try await read(shard, with: client) } }
      return try await group.reduce(0, +)
    }
    try await client.shutdown()
    return count
  }

  private func read(_ shard: Int, with client: HTTPClient) async throws -> Int {
    let clock = ContinuousClock()
    var next = clock.now
    for position in stride(from: 0, to: load.recordsPerShard, by: MeasuredStream.pageSize) {
      try await clock.sleep(until: next)
      next = clock.now.advanced(by: interval)
      let response = try await client.execute(request(shard, position), timeout: .seconds(30))
      guard response.status == .ok else { throw BenchmarkFailure("the endpoint said \(response.status)") }
      var bytes = 0
      for try await part in response.body { bytes += part.readableBytes }
      guard response.headers.first(name: "Content-Length") == String(bytes) else {
        throw BenchmarkFailure("an answer has \(bytes) bytes")
      }
    }
    return load.recordsPerShard
  }

  private func request(_ shard: Int, _ position: Int) -> HTTPClientRequest {
    var request = HTTPClientRequest(url: url + "/")
    request.method = .POST
    request.headers = ["Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": target]
    let iterator = RecordsTemplate.iterator(at: position, of: shard)
    request.body = .bytes(
      ByteBuffer(string: #"{"ShardIterator":"\#(iterator)","Limit":\#(MeasuredStream.pageSize)}"#)
    )
    return request
  }
}
