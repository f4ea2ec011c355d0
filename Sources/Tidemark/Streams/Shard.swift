/// A shard as its source lists it.
public struct Shard: Sendable, Hashable {
  /// The range of hashed partition keys that a shard takes, both ends included.
  public struct HashRange: Sendable, Hashable {
    public var start: UInt128
    public var end: UInt128

    public init(start: UInt128, end: UInt128) {
      self.start = start
      self.end = end
    }

    /// All keys: 0 … 2^128 − 1.
    public static let all = HashRange(start: 0, end: .max)
  }

  /// The shard's id, unique in its stream. Opaque.
  public var id: String
  /// None for a first shard, one after a split or a rotation, two after a merge. A parent may be named here
  /// and yet be listed no more, because it was trimmed.
  public var parentIDs: [String]
  /// Where the source knows it.
  public var hashRange: HashRange?
  /// The first sequence number that the shard can have.
  public var startingSequenceNumber: SequenceNumber?
  /// The last sequence number that the shard can have; `nil` while it is open.
  public var endingSequenceNumber: SequenceNumber?
  /// When the shard was closed, where the source knows it.
  public var closedAt: Timestamp?

  /// The place before the shard's first record, and the one before the oldest record that it still has. Where a source
  /// can tell at a place whether records after it are gone, these are such places: an application that needs all of a
  /// shard, because it has read what the shard descends from, then learns what it has missed. Otherwise both are
  /// `TRIM_HORIZON`, after which nothing is ever missing.
  public var beginning = Checkpoint.trimHorizon
  public var horizon = Checkpoint.trimHorizon

  public var isOpen: Bool { endingSequenceNumber == nil }

  public init(
    id: String,
    parentIDs: [String] = [],
    hashRange: HashRange? = nil,
    startingSequenceNumber: SequenceNumber? = nil,
    endingSequenceNumber: SequenceNumber? = nil,
    closedAt: Timestamp? = nil
  ) {
    self.id = id
    self.parentIDs = parentIDs
    self.hashRange = hashRange
    self.startingSequenceNumber = startingSequenceNumber
    self.endingSequenceNumber = endingSequenceNumber
    self.closedAt = closedAt
  }
}
