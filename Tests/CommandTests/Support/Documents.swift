/// What the tests read of the program's JSON.
struct StreamDocument: Decodable {
  struct Shard: Decodable {
    struct HashRange: Decodable {
      var start: String
      var end: String
    }

    var shardId: String
    var parentShardIds: [String]
    var isOpen: Bool
    var hashRange: HashRange
    var startingSequenceNumber: String
    var endingSequenceNumber: String?
  }

  struct Sharding: Decodable {
    var rotateAfterSeconds: Double?
    var splitAbove: Double?
    var mergeBelow: Double?
    var minimumShards: Int
  }

  var name: String
  var fullName: String
  var status: String
  var table: String?
  var viewType: String?
  var keyColumns: [String]
  var retentionSeconds: Double
  var expiryColumn: String?
  var sharding: Sharding
  var createdAt: String
  var shards: [Shard]
}

struct RecordDocument: Decodable, Equatable {
  struct Item: Decodable, Equatable {
    var id: Int
    var name: String?
  }

  struct Identity: Decodable, Equatable {
    var type: String
    var principalId: String
  }

  var shardId: String
  var sequenceNumber: String
  var eventId: String
  var approximateCreationTime: String
  var partitionKey: String
  var sizeBytes: Int
  var viewType: String?
  var userIdentity: Identity?
  var isSnapshot: Bool?
  var omittedImages: [String]?
  var eventName: String?
  var keys: Item?
  var newImage: Item?
  var oldImage: Item?
  var data: String?
  var dataBase64: String?
}

struct LeaseDocument: Decodable {
  struct Worker: Decodable, Equatable {
    var workerId: String?
    var incarnation: Int64
  }

  var application: String
  var stream: String
  var shardId: String
  var owner: Worker?
  var epoch: Int64
  var checkpoint: String
  var stoppedReason: String?
}
