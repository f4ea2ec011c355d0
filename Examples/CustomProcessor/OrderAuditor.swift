import Tidemark

/// Refuses orders that make no sense, and says how each order changed since it was last seen.
final class OrderAuditor: CheckpointingProcessor {
  struct Order: Decodable {
    var id: Int
    var customer: String
    var cents: Int
  }

  struct InvalidOrder: Error {
    var reason: String
  }

  /// The customer of each order seen since this worker has the shard. All changes of one order come to one
  /// shard, in order, so this needs no lock.
  private var customers: [Int: String] = [:]

  override func initialize(_ shard: ShardContext) async throws {
    try await super.initialize(shard)
    print("\(shard.shardID): from \(shard.checkpoint) on, epoch \(shard.epoch)")
  }

  override func handle(_ record: Record) async throws {
    guard let change = record.change else { return }
    guard let image = change.newImage else {
      print("order \(change.keys) was deleted")
      return
    }
    let order = try image.decode(as: Order.self)
    // After the third attempt the record goes to the dead-letter queue; see the policy in main.swift.
    guard order.cents > 0 else { throw InvalidOrder(reason: "order \(order.id) costs \(order.cents) cents") }
    let before = customers.updateValue(order.customer, forKey: order.id)
    print("order \(order.id): \(before.map { "\($0) -> " } ?? "")\(order.customer), \(order.cents) cents")
  }

  override func leaseLost() async {
    print("\(shard?.shardID ?? ""): is another worker's now")
  }
}
