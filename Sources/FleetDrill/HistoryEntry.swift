import Foundation
import Tidemark

/// One line of a worker's history: what it did, when, under which epoch.
///
/// All processes of a drill run on one host, so their wall clock readings can be compared.
package struct HistoryEntry: Codable, Sendable, Hashable {
  package enum Kind: String, Codable, Sendable {
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
    /// Such a checkpoint was accepted, which must never happen unless the epoch had not risen yet.
    case staleCheckpointAccepted
  }

  /// Microseconds since 1970.
  package var at: Int64
  package var worker: String
  package var kind: Kind
  package var shard: String
  package var epoch: Int64
  /// Of a handled record: where it stands, and which change of which order it is.
  package var sequence: Int64?
  /// Of a handled record: when its change was captured, by the database's clock, as ``at``.
  package var written: Int64?
  package var change: OrderChange?
  /// Of a handled record: `true` if it is a row of a snapshot.
  package var isSnapshot: Bool?

  package static func now() -> Int64 {
    Int64(Date().timeIntervalSince1970 * 1_000_000)
  }
}
