import Tidemark
import TidemarkStreams

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
      "expiry_column": JSON(settings.expiryColumn),
      "maximum_image_bytes": JSON(settings.maximumImageSize),
      "sharding": settings.sharding.json,
      "created_at": JSON(createdAt),
      "disabled_at": JSON(disabledAt),
      "shards": .array(shards.map { $0.json(shardStatus[$0.id]) }),
      "snapshots": .array(snapshots.map(\.json)),
      "jumps": .array(jumps.map(\.json)),
      "problems": .array(problems.map(\.json)),
    ])
  }

  /// Tells the person at the terminal that records may have texts which nobody can decode.
  func adviseAboutEncoding() {
    if encoding != "SQL_ASCII" { return }
    Terminal.note(
      "the encoding of this database is SQL_ASCII: a record with text that is no UTF-8 cannot be decoded, and is left "
        + "to the processor's failure policy"
    )
  }

  /// The stream's facts and the tree of its shards.
  var report: String {
    var facts = [("Stream", name), ("Full name", fullName), ("Status", status.rawValue)]
    if let table { facts.append(("Table", "\(table) (\(keyColumns.joined(separator: ", ")))")) }
    if let viewType { facts.append(("View type", viewType.rawValue)) }
    if let capture { facts.append(("Capture", capture.rawValue)) }
    if let slot { facts.append(("Slot", slot.report)) }
    if let advice = slot?.advice { facts.append(("Slot's limit", advice)) }
    if let captureFailure { facts.append(("Ended because", captureFailure)) }
    facts.append(("Retention", "\(DurationArgument(retention))"))
    if let column = settings.expiryColumn { facts.append(("Expiry column", column)) }
    if table != nil { facts.append(("Largest image", "\(settings.maximumImageSize >> 20) MiB")) }
    facts += settings.sharding.facts
    facts.append(("Created", createdAt.iso8601))
    if let disabledAt { facts.append(("Disabled", disabledAt.iso8601)) }
    let open = shards.count(where: \.isOpen)
    facts.append(("Shards", "\(open) open, \(shards.count - open) closed"))
    facts += snapshots.map { ("Snapshot", $0.text) }
    facts += jumps.compactMap(\.lossText).map { ("Lost", $0) }
    facts += problems.map { ("Problem", $0.text) }
    return Table.facts(facts) + "\n" + ShardTree(shards, shardStatus).table.text
  }
}

extension PostgresJumpDescription {
  fileprivate var json: JSON {
    .object([
      "at": JSON(at),
      "after": JSON(after.description),
      "to": JSON(to.description),
      "lost_through": JSON(lostThrough?.description),
    ])
  }

  /// What readers are known to have lost; nil if nothing.
  fileprivate var lossText: String? {
    lostThrough.map { last in
      "the records after \(after), at least up to \(last): the server came back without them (\(at.iso8601))"
    }
  }
}

extension PostgresStreamProblem {
  fileprivate var json: JSON {
    .object([
      "condition": JSON(condition),
      "problem": JSON(problem),
      "advice": JSON(advice),
      "well_at": JSON(wellAt),
      "found_at": JSON(foundAt),
      "gone_at": JSON(goneAt),
      "is_mended": JSON(isMended),
    ])
  }

  fileprivate var text: String {
    guard let goneAt else { return "\(problem); changes may be missing since \(wellAt.iso8601). \(advice)" }
    let end = isMended ? "when it was put right" : "when it was gone"
    return "\(problem); changes may be missing from \(wellAt.iso8601) to \(goneAt.iso8601), \(end)"
  }
}

extension PostgresStreamSettings.Sharding {
  fileprivate var json: JSON {
    .object([
      "rotate_after_seconds": rotateAfter.map { JSON($0.inSeconds) } ?? .null,
      "split_above": splitAbove.map { JSON($0) } ?? .null,
      "merge_below": mergeBelow.map { JSON($0) } ?? .null,
      "sustained_time_seconds": JSON(sustainedTime.inSeconds),
      "minimum_shards": minimumShards.map { JSON($0) } ?? .null,
      "maximum_shards": maximumShards.map { JSON($0) } ?? .null,
    ])
  }

  fileprivate var facts: [(String, String)] {
    [
      ("Rotate after", rotateAfter.map { "\(DurationArgument($0))" } ?? "never"),
      (
        "Split above",
        splitAbove.map { "\(RateArgument($0)) for \(DurationArgument(sustainedTime))" } ?? "never"
      ),
      (
        "Merge below",
        mergeBelow.map { "\(RateArgument($0)) for \(DurationArgument(sustainedTime * 10))" } ?? "never"
      ),
      ("Shards to keep", "\(minimumShards ?? 1) to \(maximumShards ?? 1)"),
    ]
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
      "server_maximum_retained_bytes": JSON(serverMaximumRetainedBytes),
      "advice": JSON(advice),
    ])
  }

  fileprivate var report: String {
    "\(name), \(isActive ? "active" : "nobody captures"), \(walStatus), "
      + "retains \(retainedBytes >> 20) of \(maximumRetainedBytes >> 20) MiB"
  }
}

extension Shard {
  /// - Parameter status: what only a PostgreSQL stream tells.
  func json(_ status: PostgresShardStatus? = nil) -> JSON {
    .object([
      "shard_id": JSON(id),
      "parent_shard_ids": JSON(parentIDs),
      "is_open": JSON(isOpen),
      "hash_range": hashRange.map {
        .object(["start": JSON($0.start.description), "end": JSON($0.end.description)])
      } ?? .null,
      "starting_sequence_number": JSON(startingSequenceNumber),
      "ending_sequence_number": JSON(endingSequenceNumber),
      "created_at": JSON(status?.createdAt),
      "closed_at": JSON(closedAt),
      "records_per_second": status.map { JSON($0.writeRate) } ?? .null,
    ])
  }
}

extension PostgresSnapshotDescription {
  fileprivate var json: JSON {
    .object([
      "application": JSON(application),
      "created_at": JSON(createdAt),
      "completed_at": JSON(completedAt),
      "record_count": JSON(recordCount),
    ])
  }

  fileprivate var text: String {
    let content = recordCount.map { "\($0) records" } ?? "not complete"
    return "for \(application): \(content), taken \(createdAt.iso8601)"
  }
}
