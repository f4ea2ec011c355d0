import Tidemark
import TidemarkPostgres
import TidemarkStreams

extension Record {
  /// An object with the same keys for every record of a kind.
  func json(in shardID: String) -> JSON {
    switch body {
    case .change(let change):
      .object([
        "shard_id": JSON(shardID),
        "sequence_number": JSON(sequenceNumber),
        "event_id": JSON(eventID),
        "approximate_creation_time": JSON(approximateCreationTime),
        "partition_key": JSON(partitionKey),
        "size_bytes": JSON(sizeInBytes),
        "event_name": JSON(change.eventName.rawValue),
        "view_type": JSON(change.viewType?.rawValue),
        "user_identity": change.userIdentity?.json ?? .null,
        "is_snapshot": JSON(change.isSnapshot),
        "omitted_images": JSON(
          (change.omits(.newImage) ? ["new_image"] : []) + (change.omits(.oldImage) ? ["old_image"] : [])
        ),
        "keys": .raw(change.keys.description),
        "new_image": change.newImage.map { .raw($0.description) } ?? .null,
        "old_image": change.oldImage.map { .raw($0.description) } ?? .null,
      ])
    case .data(let data):
      .object([
        "shard_id": JSON(shardID),
        "sequence_number": JSON(sequenceNumber),
        "event_id": JSON(eventID),
        "approximate_creation_time": JSON(approximateCreationTime),
        "partition_key": JSON(partitionKey),
        "size_bytes": JSON(sizeInBytes),
        "data": JSON(String(validating: data, as: UTF8.self)),
        "data_base64": JSON(
          String(validating: data, as: UTF8.self) == nil ? Base64.encode(Array(data)) : nil
        ),
      ])
    }
  }

  func line(in shardID: String) -> String {
    var words = [approximateCreationTime.iso8601, shardID, sequenceNumber.description]
    switch body {
    case .change(let change):
      words += [change.eventName.rawValue, change.keys.description]
      if let image = change.oldImage { words.append("old=\(image)") }
      if change.omits(.oldImage) { words.append("old=omitted") }
      if let image = change.newImage { words.append("new=\(image)") }
      if change.omits(.newImage) { words.append("new=omitted") }
    case .data(let data):
      let text = String(validating: data, as: UTF8.self) ?? "base64:\(Base64.encode(Array(data)))"
      words += ["DATA", "key=\(partitionKey)", text]
    }
    return words.joined(separator: " ").printable
  }
}

extension UserIdentity {
  fileprivate var json: JSON { .object(["type": JSON(type), "principal_id": JSON(principalID)]) }
}
