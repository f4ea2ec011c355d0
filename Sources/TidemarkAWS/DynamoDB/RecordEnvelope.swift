#if AWS
import Tidemark

/// Where the parts of a record of DynamoDB Streams lie in an answer. Images are only gone over.
///
/// https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_streams_Record.html
struct RecordEnvelope: Sendable {
  var eventID = 0..<0
  var eventName = Change.EventName.insert
  var creationTime = Timestamp(microsecondsSinceEpoch: 0)
  var keys = 0..<0
  var newImage: Range<Int>?
  var oldImage: Range<Int>?
  var sequenceNumber = 0..<0
  var sizeInBytes = 0
  var viewType: Range<Int>?
  var userIdentity: UserIdentity?

  init(_ scanner: inout JSONScanner) throws(JSONScanner.Failure) {
    let start = scanner.position
    var hasName = false
    try scanner.enterObject()
    while let key = try scanner.nextKey() {
      if try scanner.takeNull() { continue }
      if scanner.matches(key, "dynamodb") {
        try scanChange(&scanner)
      } else if scanner.matches(key, "eventID") {
        eventID = try scanner.string().range
      } else if scanner.matches(key, "eventName") {
        eventName = try Self.eventName(&scanner)
        hasName = true
      } else if scanner.matches(key, "userIdentity") {
        try scanIdentity(&scanner)
      } else {
        try scanner.skip()
      }
    }
    if eventID.isEmpty || !hasName || keys.isEmpty || sequenceNumber.isEmpty {
      throw JSONScanner.Failure(
        reason: "A record needs eventID, eventName, Keys and SequenceNumber.",
        offset: start
      )
    }
  }

  private static func eventName(
    _ scanner: inout JSONScanner
  ) throws(JSONScanner.Failure) -> Change.EventName {
    let text = scanner.text(of: try scanner.string())
    guard let name = Change.EventName(rawValue: text) else {
      throw scanner.failure("The event \(text) is none that this version knows.")
    }
    return name
  }

  private mutating func scanChange(_ scanner: inout JSONScanner) throws(JSONScanner.Failure) {
    try scanner.enterObject()
    while let key = try scanner.nextKey() {
      if try scanner.takeNull() { continue }
      if scanner.matches(key, "Keys") {
        keys = try scanner.skip()
      } else if scanner.matches(key, "NewImage") {
        newImage = try scanner.skip()
      } else if scanner.matches(key, "OldImage") {
        oldImage = try scanner.skip()
      } else if scanner.matches(key, "SequenceNumber") {
        sequenceNumber = try scanner.sequenceNumber()
      } else if scanner.matches(key, "ApproximateCreationDateTime") {
        creationTime = try Self.time(&scanner)
      } else if scanner.matches(key, "SizeBytes") {
        sizeInBytes = Int(try scanner.integer())
      } else if scanner.matches(key, "StreamViewType") {
        viewType = try scanner.string().range
      } else {
        try scanner.skip()
      }
    }
  }

  /// A number of seconds; some endpoints write text instead.
  private static func time(_ scanner: inout JSONScanner) throws(JSONScanner.Failure) -> Timestamp {
    let start = scanner
    do {
      return try scanner.timestamp()
    } catch {
      scanner = start
      let text = scanner.text(of: try scanner.string())
      guard let time = Timestamp(iso8601: text) else { throw error }
      return time
    }
  }

  /// The service writes the keys with capital letters; its documentation and the events of Lambda do not.
  private mutating func scanIdentity(_ scanner: inout JSONScanner) throws(JSONScanner.Failure) {
    var identity = UserIdentity(type: "", principalID: "")
    try scanner.enterObject()
    while let key = try scanner.nextKey() {
      if try scanner.takeNull() { continue }
      if scanner.matches(key, "Type") || scanner.matches(key, "type") {
        identity.type = scanner.text(of: try scanner.string())
      } else if scanner.matches(key, "PrincipalId") || scanner.matches(key, "principalId") {
        identity.principalID = scanner.text(of: try scanner.string())
      } else {
        try scanner.skip()
      }
    }
    userIdentity = identity
  }
}
#endif
