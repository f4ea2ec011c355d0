import Tidemark
import TidemarkPostgres

extension PostgresStreamDescription {
  var json: JSON {
    .object([
      "name": JSON(name),
      "label": JSON(label),
      "full_name": JSON(fullName),
      "status": JSON(status.rawValue),
      "table": JSON(table),
      "view_type": JSON(viewType?.rawValue),
      "key_columns": JSON(keyColumns),
      "capture": JSON(capture?.rawValue),
      "capture_failure": JSON(captureFailure),
      "slot": slot?.json ?? .null,
      "retention_seconds": JSON(retention.inSeconds),
      "created_at": JSON(createdAt),
      "disabled_at": JSON(disabledAt),
      "shards": .array(shards.map(\.json)),
    ])
  }

  /// The stream's facts and the tree of its shards.
  var report: String {
    var facts = [("Stream", name), ("Full name", fullName), ("Status", status.rawValue)]
    if let table { facts.append(("Table", "\(table) (\(keyColumns.joined(separator: ", ")))")) }
    if let viewType { facts.append(("View type", viewType.rawValue)) }
    if let capture { facts.append(("Capture", capture.rawValue)) }
    if let slot { facts.append(("Slot", slot.report)) }
    if let captureFailure { facts.append(("Ended because", captureFailure)) }
    facts += [("Retention", "\(DurationArgument(retention))"), ("Created", createdAt.iso8601)]
    if let disabledAt { facts.append(("Disabled", disabledAt.iso8601)) }
    let open = shards.count(where: \.isOpen)
    facts.append(("Shards", "\(open) open, \(shards.count - open) closed"))
    return Table.facts(facts) + "\n" + ShardTree(shards).table.text
  }
}

extension ReplicationSlotDescription {
  fileprivate var json: JSON {
    .object([
      "name": JSON(name),
      "is_active": JSON(isActive),
      "wal_status": JSON(walStatus),
      "retained_bytes": JSON(retainedBytes),
      "maximum_retained_bytes": JSON(maximumRetainedBytes),
    ])
  }

  fileprivate var report: String {
    "\(name), \(isActive ? "active" : "nobody captures"), \(walStatus), "
      + "retains \(retainedBytes >> 20) of \(maximumRetainedBytes >> 20) MiB"
  }
}

extension Shard {
  fileprivate var json: JSON {
    .object([
      "shard_id": JSON(id),
      "parent_shard_ids": JSON(parentIDs),
      "is_open": JSON(isOpen),
      "hash_range": hashRange.map {
        .object(["start": JSON($0.start.description), "end": JSON($0.end.description)])
      } ?? .null,
      "starting_sequence_number": JSON(startingSequenceNumber),
      "ending_sequence_number": JSON(endingSequenceNumber),
      "closed_at": JSON(closedAt),
    ])
  }
}
