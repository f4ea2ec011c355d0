import LibPQ
import Tidemark

/// One of the streams that follow each other under a name, and what this process knows of its newest records.
final class StreamGeneration: Sendable {
  let id: Int32
  let name: String
  let label: String
  /// The first half of its records' ids.
  let uid: UInt64
  /// `nil` for a stream without a table.
  let viewType: StreamViewType?
  let capture: StreamCapture
  let heads = StreamHeads()

  var fullName: String { "\(name)/\(label)" }

  /// - Parameters:
  ///   - uid: as the database has it, signed.
  ///   - viewType: as the database has it.
  ///   - capture: as the database has it.
  init(id: Int32, name: String, label: String, uid: Int64, viewType: String?, capture: String) {
    self.id = id
    self.name = name
    self.label = label
    self.uid = UInt64(bitPattern: uid)
    self.viewType = viewType.flatMap { StreamViewType(rawValue: $0) }
    self.capture = StreamCapture(rawValue: capture) ?? .trigger
  }

  /// - Parameter row: with the columns `stream_id, name, label, uid, view_type, capture` of `tidemark.stream`.
  convenience init(_ row: PQRow) throws {
    let (id, name, label, uid, viewType, capture) = try row.decode(
      (Int32, String, String, Int64, String?, String).self
    )
    self.init(id: id, name: name, label: label, uid: uid, viewType: viewType, capture: capture)
  }
}
