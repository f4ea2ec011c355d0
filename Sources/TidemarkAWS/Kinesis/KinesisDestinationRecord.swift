#if AWS
import Tidemark

/// A change of a DynamoDB table as DynamoDB puts it into the Kinesis stream that is the table's destination.
///
/// What such a stream promises is less than what a table's own stream does. "Records might appear in a different order
/// than when the item changes occurred. The same item notifications might also appear more than once"
/// (https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/kds.html). So, of two changes of one item:
///
/// - the newer one is the one with the later ``approximateCreationTime``, not the one that comes later. A processor that
///   keeps a table keeps that time with each item, and drops what is older;
/// - two with one ``eventID`` are the same change. The table's stream sends each once;
/// - some never come: a change whose record would exceed what Kinesis takes is skipped, and only the metric
///   `FailedToReplicateRecordCount` tells.
///
/// The record's sequence number is Kinesis' and says nothing about the table. There is always everything that there is of
/// the item, before and after, so the change's ``Tidemark/Change/viewType`` is that of both images.
///
/// ```swift
/// for record in batch {
///   guard let data = record.data else { continue }
///   let change = try KinesisDestinationRecord(data).change
/// }
/// ```
public struct KinesisDestinationRecord: Sendable {
  public let change: Change
  /// What tells duplicates apart from changes. Not what the table's own stream names the change.
  public let eventID: String
  public let tableName: String
  public let awsRegion: String
  /// By DynamoDB's clock; to the millisecond or the microsecond, as the destination is configured.
  public let approximateCreationTime: Timestamp

  /// - Parameter data: a record's data. The change's images are views of them.
  /// - Throws: `TidemarkError` (`unsupported`) if they are anything else.
  public init(_ data: RecordBytes) throws {
    let envelope: Envelope
    do {
      envelope = try data.withUnsafeBytes { bytes throws(JSONScanner.Failure) in try Envelope(bytes) }
    } catch {
      throw Self.failure(error.description)
    }
    guard let name = Change.EventName(rawValue: envelope.eventName), let keys = envelope.keys,
      let time = envelope.time
    else {
      throw Self.failure("eventName, Keys or ApproximateCreationDateTime is missing or none.")
    }
    func image(_ range: Range<Int>?) -> Image? {
      range.map { Image(bytes: data.view(of: $0), encoding: .dynamoDB) }
    }
    change = Change(
      eventName: name,
      keys: Image(bytes: data.view(of: keys), encoding: .dynamoDB),
      newImage: image(envelope.newImage),
      oldImage: image(envelope.oldImage),
      viewType: .newAndOldImages,
      userIdentity: envelope.userIdentity
    )
    eventID = envelope.eventID
    tableName = envelope.tableName
    awsRegion = envelope.awsRegion
    approximateCreationTime = time
  }

  private static func failure(_ what: String) -> TidemarkError {
    TidemarkError(
      .unsupported,
      "These data are no change that DynamoDB has put: \(what)",
      advice: "Check that the stream is a table's destination, and that nobody else puts records into it."
    )
  }
}

/// Where the values are.
private struct Envelope {
  var eventName = ""
  var eventID = ""
  var tableName = ""
  var awsRegion = ""
  var keys: Range<Int>?
  var newImage: Range<Int>?
  var oldImage: Range<Int>?
  var userIdentity: UserIdentity?

  private var creationTime: Int64?
  private var precision = ""

  /// Where the record does not say what it is counted in, its size does: milliseconds are the year 5138 at 10^14,
  /// microseconds 1973.
  var time: Timestamp? {
    guard let creationTime else { return nil }
    let isMilliseconds = precision.isEmpty ? creationTime < 100_000_000_000_000 : precision == "MILLISECOND"
    let (scaled, isTooLarge) = creationTime.multipliedReportingOverflow(by: isMilliseconds ? 1000 : 1)
    return isTooLarge ? nil : Timestamp(microsecondsSinceEpoch: scaled)
  }

  init(_ bytes: UnsafeRawBufferPointer) throws(JSONScanner.Failure) {
    var scanner = JSONScanner(bytes)
    try scanner.enterObject()
    while let key = try scanner.nextKey() {
      if try scanner.takeNull() { continue }
      if scanner.matches(key, "eventName") {
        eventName = scanner.text(of: try scanner.string())
      } else if scanner.matches(key, "eventID") {
        eventID = scanner.text(of: try scanner.string())
      } else if scanner.matches(key, "tableName") {
        tableName = scanner.text(of: try scanner.string())
      } else if scanner.matches(key, "awsRegion") {
        awsRegion = scanner.text(of: try scanner.string())
      } else if scanner.matches(key, "userIdentity") {
        userIdentity = try Self.userIdentity(&scanner)
      } else if scanner.matches(key, "dynamodb") {
        try readChange(&scanner)
      } else {
        try scanner.skip()
      }
    }
  }

  private mutating func readChange(_ scanner: inout JSONScanner) throws(JSONScanner.Failure) {
    try scanner.enterObject()
    while let key = try scanner.nextKey() {
      if try scanner.takeNull() { continue }
      if scanner.matches(key, "Keys") {
        keys = try Self.object(&scanner)
      } else if scanner.matches(key, "NewImage") {
        newImage = try Self.object(&scanner)
      } else if scanner.matches(key, "OldImage") {
        oldImage = try Self.object(&scanner)
      } else if scanner.matches(key, "ApproximateCreationDateTime") {
        creationTime = try scanner.integer()
      } else if scanner.matches(key, "ApproximateCreationDateTimePrecision") {
        precision = scanner.text(of: try scanner.string())
      } else {
        try scanner.skip()
      }
    }
  }

  private static func object(_ scanner: inout JSONScanner) throws(JSONScanner.Failure) -> Range<Int> {
    var inside = scanner
    try inside.enterObject()
    return try scanner.skip()
  }

  /// The names begin with a capital or not, depending on who in AWS wrote them.
  private static func userIdentity(
    _ scanner: inout JSONScanner
  ) throws(JSONScanner.Failure) -> UserIdentity {
    var identity = UserIdentity(type: "", principalID: "")
    try scanner.enterObject()
    while let key = try scanner.nextKey() {
      if scanner.matches(key, "type") || scanner.matches(key, "Type") {
        identity.type = scanner.text(of: try scanner.string())
      } else if scanner.matches(key, "principalId") || scanner.matches(key, "PrincipalId") {
        identity.principalID = scanner.text(of: try scanner.string())
      } else {
        try scanner.skip()
      }
    }
    return identity
  }
}
#endif
