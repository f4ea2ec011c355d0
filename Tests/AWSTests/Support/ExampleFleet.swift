#if AWS
import Foundation
import LibPQ
import TestSupport
import Testing
import Tidemark

/// A fleet of processes that read one stream, with leases in a database of their own, while values 0, 1, 2, … of some
/// items are written to it.
final class ExampleFleet {
  /// A record that a worker printed: it says a value of an item.
  struct Delivery: Hashable {
    var worker: String
    var shardID: String
    var item: String
    var value: Int
  }

  private let stream: String
  private let variables: [String: String]
  let itemCount: Int
  private let write: (_ value: Int) async throws -> Void
  private let files: TemporaryDirectory
  private let output: FileHandle
  private var rest = ""
  private(set) var writtenCount = 0
  /// In the order in which they were handled, whoever did it: the processes append to one file.
  private(set) var deliveries: [Delivery] = []
  private var handled: Set<Delivery.RecordID> = []

  /// - Parameters:
  ///   - endpoint: the URL at which the service is reached.
  ///   - write: writes a record for each item, with this value.
  init(
    reading stream: String,
    at endpoint: String,
    itemCount: Int,
    write: @escaping (_ value: Int) async throws -> Void
  ) async throws {
    (self.stream, self.itemCount, self.write) = (stream, itemCount, write)
    variables = [
      "TIDEMARK_DATABASE_URL": try await TestServer.shared().makeDatabase(),
      "AWS_ENDPOINT_URL": endpoint, "AWS_REGION": "eu-central-1", "AWS_ACCESS_KEY_ID": "AKID",
      "AWS_SECRET_ACCESS_KEY": "SECRET",
    ]
    files = try TemporaryDirectory()
    try Data().write(to: URL(filePath: files.path + "/output"))
    output = try FileHandle(forReadingFrom: URL(filePath: files.path + "/output"))
  }

  /// Starts one more, and writes until it has handled something.
  func join() async throws -> ExampleWorker {
    let worker = try ExampleWorker(
      stream,
      variables: variables,
      output: files.path + "/output",
      errors: files.path + "/errors"
    )
    let count = workers.count + 1
    try await writeUntil("worker \(count) takes part") { self.workers.count == count }
    return worker
  }

  /// Writes, a few values ahead of what is handled, until the condition holds.
  func writeUntil(_ what: String, _ condition: () throws -> Bool) async throws {
    try await eventually(what) {
      try readOutput()
      if handled.count >= (writtenCount - 4) * itemCount {
        try await write(writtenCount)
        writtenCount += 1
      }
      return try condition()
    }
  }

  /// Kills a worker that has just printed something, so that there may be a batch that it has not checkpointed.
  func kill(_ worker: ExampleWorker, _ name: String) async throws {
    try await writeUntil("the worker that is to be killed is at work") {
      deliveries.last?.worker == name
    }
    try worker.send(.kill)
  }

  func waitUntilAllIsHandled() async throws {
    try await eventually("all of it is handled") {
      try readOutput()
      return handled.count == writtenCount * itemCount
    }
  }

  /// In the order in which they came.
  var workers: [String] { deliveries.map(\.worker).uniqued }
  var shards: [String] { deliveries.map(\.shardID).uniqued }
  var log: String { (try? String(contentsOfFile: files.path + "/errors", encoding: .utf8)) ?? "" }

  private func readOutput() throws {
    let text = rest + String(decoding: try output.readToEnd() ?? Data(), as: UTF8.self)
    let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
    // The last one may not be whole yet.
    rest = String(lines.last ?? "")
    for line in lines.dropLast() {
      let delivery = try #require(Delivery(line), "\(line)")
      deliveries.append(delivery)
      handled.insert(delivery.record)
    }
  }
}
#endif
