import LibPQ
import Tidemark

/// One message of `pgoutput`, protocol version 1. Rows are read into buffers by whoever wants them.
enum OutputMessage {
  struct Relation: Equatable {
    struct Column: Equatable {
      var name: ServerText
      var type: UInt32
    }

    var id: UInt32
    var schema: ServerText
    var name: ServerText
    /// `pg_class.relreplident`: `f` for a table whose old rows are sent as a whole.
    var replicaIdentity: UInt8
    var columns: [Column]
  }

  enum RowKind: UInt8 {
    case insert = 0x49
    case update = 0x55
    case delete = 0x44
  }

  /// `final` is where the transaction's commit is in the log; `time` counts microseconds from 2000.
  case begin(final: PQLSN, time: Int64)
  case commit(end: PQLSN)
  case relation(Relation)
  /// The reader stands before the row's tuples: see ``RowTuples``.
  case row(RowKind, relation: UInt32, MessageReader)
  case truncate(relations: [UInt32])
  /// What a transaction, or somebody outside of one, has put into the log.
  case message(prefix: ServerText, isTransactional: Bool, UnsafeRawBufferPointer)
  /// Where a change came from, or a type's name: nothing that matters here.
  case other

  /// - Throws: `unsupported` for a message that is unknown, cut short or too long.
  init(_ bytes: UnsafeRawBufferPointer) throws {
    var reader = MessageReader(bytes)
    switch try reader.integer(UInt8.self) {
    case UInt8(ascii: "B"): self = try Self.begin(&reader)
    case UInt8(ascii: "C"): self = try Self.commit(&reader)
    case UInt8(ascii: "R"): self = .relation(try Relation(&reader))
    case UInt8(ascii: "I"): self = .row(.insert, relation: try reader.integer(), reader)
    case UInt8(ascii: "U"): self = .row(.update, relation: try reader.integer(), reader)
    case UInt8(ascii: "D"): self = .row(.delete, relation: try reader.integer(), reader)
    case UInt8(ascii: "T"): self = try Self.truncate(&reader)
    case UInt8(ascii: "M"): self = try Self.message(&reader)
    case UInt8(ascii: "O"), UInt8(ascii: "Y"): self = .other
    case let type:
      throw TidemarkError.undecodable("a message of the unknown type \(type)")
    }
  }

  private static func begin(_ reader: inout MessageReader) throws -> Self {
    let final = PQLSN(rawValue: try reader.integer())
    let time: Int64 = try reader.integer()
    _ = try reader.integer(UInt32.self)
    try reader.expectEnd()
    return .begin(final: final, time: time)
  }

  private static func commit(_ reader: inout MessageReader) throws -> Self {
    _ = try reader.integer(UInt8.self)
    _ = try reader.integer(UInt64.self)
    let end = PQLSN(rawValue: try reader.integer())
    _ = try reader.integer(Int64.self)
    try reader.expectEnd()
    return .commit(end: end)
  }

  private static func truncate(_ reader: inout MessageReader) throws -> Self {
    let count = try reader.integer(UInt32.self)
    _ = try reader.integer(UInt8.self)
    var relations: [UInt32] = []
    for _ in 0..<count { relations.append(try reader.integer()) }
    try reader.expectEnd()
    return .truncate(relations: relations)
  }

  private static func message(_ reader: inout MessageReader) throws -> Self {
    let isTransactional = try reader.integer(UInt8.self) & 1 != 0
    _ = try reader.integer(UInt64.self)
    let prefix = try reader.string()
    let content = try reader.take(Int(try reader.integer(Int32.self)))
    try reader.expectEnd()
    return .message(prefix: prefix, isTransactional: isTransactional, content)
  }
}

extension OutputMessage.Relation {
  fileprivate init(_ reader: inout MessageReader) throws {
    id = try reader.integer()
    schema = try reader.string()
    name = try reader.string()
    replicaIdentity = try reader.integer()
    columns = []
    for _ in 0..<(try reader.integer(UInt16.self)) {
      _ = try reader.integer(UInt8.self)
      let name = try reader.string()
      let type: UInt32 = try reader.integer()
      _ = try reader.integer(Int32.self)
      columns.append(Column(name: name, type: type))
    }
    try reader.expectEnd()
  }
}

/// The rows of a change, in buffers that serve change after change.
struct RowTuples {
  var old = TupleFields()
  var new = TupleFields()
  /// Whether ``old`` is the whole row, and not just its key or nothing.
  private(set) var hasOld = false

  mutating func read(_ kind: OutputMessage.RowKind, _ reader: MessageReader) throws {
    var reader = reader
    hasOld = false
    var part = try reader.integer(UInt8.self)
    if kind != .insert, part == UInt8(ascii: "O") || part == UInt8(ascii: "K") {
      hasOld = part == UInt8(ascii: "O")
      try old.read(&reader)
      if kind == .delete { return try reader.expectEnd() }
      part = try reader.integer()
    }
    guard kind != .delete, part == UInt8(ascii: "N") else {
      throw TidemarkError.undecodable("a row of the unknown kind \(part)")
    }
    try new.read(&reader)
    try reader.expectEnd()
  }
}
