/// One of the streams that follow each other under a name, and what this process knows of its newest records.
final class StreamGeneration: Sendable {
  let id: Int32
  let name: String
  let label: String
  let heads = StreamHeads()

  var fullName: String { "\(name)/\(label)" }

  init(id: Int32, name: String, label: String) {
    self.id = id
    self.name = name
    self.label = label
  }
}
