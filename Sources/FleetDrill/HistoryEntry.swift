import Foundation
import Tidemark

/// One line of a worker's history: what it did, when, under which epoch.
///
/// All processes of a drill run on one host, so their wall clock readings can be compared.
public struct HistoryEntry: Codable, Sendable, Hashable {
  public enum Kind: String, Codable, Sendable {
    /// A lease was granted and its shard is being read.
    case leaseStarted
    /// A record was handled.
    case handled
    /// The shard has ended and all its records were handled.
    case shardEnded
    /// The lease is another worker's.
    case leaseLost
    /// The lease was given up in good order.
    case handedOff
    /// A checkpoint under an epoch that is over was refused, as it must be.
    case staleCheckpointRefused
    /// Such a checkpoint was accepted, which must never happen.
    case staleCheckpointAccepted
  }

  /// Microseconds since 1970.
  public var at: Int64
  public var worker: String
  public var kind: Kind
  public var shard: String
  public var epoch: Int64
  /// Of a handled record: where it stands, and which change of which order it is.
  public var sequence: Int64?
  public var change: OrderChange?

  public static func now() -> Int64 {
    Int64(Date().timeIntervalSince1970 * 1_000_000)
  }
}

/// A change of the table `orders`: which order, what happened to it, and the version that it had then.
public struct OrderChange: Codable, Sendable, Hashable {
  public var order: Int64
  public var event: Change.EventName
  /// The version after an INSERT or MODIFY, before a REMOVE.
  public var version: Int64

  public init(order: Int64, event: Change.EventName, version: Int64) {
    self.order = order
    self.event = event
    self.version = version
  }

  init(_ change: Change) throws {
    struct Keys: Decodable { var id: Int64 }
    struct Image: Decodable { var version: Int64 }
    let image = change.eventName == .remove ? change.oldImage : change.newImage
    guard let image else {
      throw TidemarkError(
        .unsupported,
        "A drill needs both images of a change.",
        advice: "Enable the stream with the view type NEW_AND_OLD_IMAGES."
      )
    }
    order = try change.keys.decode(as: Keys.self).id
    event = change.eventName
    version = try image.decode(as: Image.self).version
  }
}
