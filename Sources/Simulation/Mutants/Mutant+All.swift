extension Mutant {
  private static let leasing = "Sources/Tidemark/Leasing"
  private static let processing = "Sources/Tidemark/Processing"
  private static let lineage = "Sources/Tidemark/Lineage"
  private static let table = "Sources/TidemarkTestKit/Leases"

  static let all: [Mutant] =
    fencing + losses + deaths + handlingOrder + lineages + planning + capture + places

  private static let fencing = [
    Mutant(
      "no-epoch-in-an-owners-write",
      breaks: "S2",
      in: "\(table)/LeaseTable+Writes.swift",
      "row.lease.epoch == grant.epoch",
      becomes: "true"
    ),
    Mutant(
      "epoch-stays-when-a-lease-is-given",
      breaks: "S1",
      in: "\(table)/LeaseTable.swift",
      "lease.epoch.next",
      becomes: "owner == nil ? lease.epoch : lease.epoch.next"
    ),
    Mutant(
      "checkpoint-may-go-back",
      breaks: "S3",
      in: "\(table)/LeaseTable+Writes.swift",
      "write.checkpoint >= row.lease.checkpoint",
      becomes: "true"
    ),
    Mutant(
      "lost-reply-counts-as-failure",
      breaks: "reports",
      in: "\(table)/LeaseTable+Writes.swift",
      "lease.lastEpoch == grant.epoch",
      becomes: "false"
    ),
    Mutant(
      "finished-grant-is-forgotten",
      breaks: "S2, trust",
      in: "\(leasing)/LeaseCoordinator.swift",
      "let last = finished[lease.key], «last.epoch >= grant.epoch» {",
      becomes: "false"
    ),
  ]

  private static let losses = [
    Mutant(
      "sequence-numbers-go-on-where-they-are",
      breaks: "S9",
      in: "Sources/TidemarkTestKit/Streams/InMemoryStream+State.swift",
      "max(lastSequenceNumber, UInt64(number) << 32)",
      becomes: "lastSequenceNumber"
    ),
    Mutant(
      "epochs-go-on-where-they-are",
      breaks: "S9",
      in: "\(table)/LeaseTable.swift",
      ", «floor»)",
      becomes: "Epoch(0)"
    ),
    Mutant(
      "histories-are-only-counted",
      breaks: "S9",
      in: "\(table)/LeaseTable.swift",
      "max(historyNumber + 1, startedAt)",
      becomes: "historyNumber + 1"
    ),
    Mutant(
      "promotion-is-no-history",
      breaks: "S9",
      in: "\(table)/InMemoryLeaseStore.swift",
      "table.isHistoryNoted = «false»",
      becomes: "kept != nil"
    ),
    Mutant(
      "loss-is-kept-quiet",
      breaks: "S9",
      in: "\(leasing)/HistoryMemory.swift",
      "self.version > history.beganAt",
      becomes: "false"
    ),
    Mutant(
      "version-alone-tells-of-changes",
      breaks: "liveness",
      in: "\(leasing)/LeaseCoordinator.swift",
      "AssignmentVersion(history: «history.number», version",
      becomes: "0"
    ),
    Mutant(
      "lease-that-came-back-older-is-left-alone",
      breaks: "liveness",
      in: "\(leasing)/LeaseCoordinator.swift",
      "last.epoch >= grant.epoch",
      becomes: "last.epoch == grant.epoch"
    ),
    Mutant(
      "write-does-not-name-where-it-goes-on-from",
      breaks: "S4",
      in: "\(table)/LeaseTable+Writes.swift",
      "row.lease.checkpoint >= write.from",
      becomes: "true"
    ),
    Mutant(
      "end-of-shard-of-another-history",
      breaks: "S6",
      in: "\(table)/LeaseTable+Writes.swift",
      "isHistoryNoted && historyNumber == $0",
      becomes: "true"
    ),
  ]

  private static let deaths = [
    Mutant(
      "records-beyond-the-trust-window",
      breaks: "trust",
      in: "\(processing)/ShardConsumerRunner.swift",
      "call.needsTrust, «!trust.isOpen» {",
      becomes: "false"
    ),
    Mutant(
      "trust-counts-from-the-answer",
      breaks: "trust",
      in: "Sources/Tidemark/Worker/WorkerShell+Calls.swift",
      ".heartbeatAnswered(reply, sentAt: «sentAt»)",
      becomes: "clock.now"
    ),
    Mutant(
      "trust-has-no-margin-for-a-slow-clock",
      breaks: "trust",
      in: "\(leasing)/LeaseCoordinator.swift",
      "configuration.failover.interval - configuration.failover.margin",
      becomes: "configuration.failover.interval * 2"
    ),
    Mutant(
      "restart-of-the-store-kills-the-fleet",
      breaks: "death",
      in: "\(table)/LeaseTable+Workers.swift",
      "!worker.hasSession && worker.serverStart == serverStart",
      becomes: "!worker.hasSession"
    ),
    Mutant(
      "outage-of-the-store-kills-the-fleet",
      breaks: "death",
      in: "\(table)/LeaseTable+Workers.swift",
      "(isOverdue && looksSteadily)",
      becomes: "isOverdue"
    ),
  ]

  private static let handlingOrder = [
    Mutant(
      "consumer-goes-on-without-its-lease",
      breaks: "trust",
      in: "\(processing)/ShardConsumer.swift",
      "if «isLost» { return lose() }\n    if let place = reading.takePlace() {",
      becomes: "false"
    ),
    Mutant(
      "shard-ends-before-its-last-page-is-handled",
      breaks: "S6",
      in: "\(processing)/ShardConsumer.swift",
      "next.page.records[...]",
      becomes: "next.page.end == nil ? next.page.records[...] : []"
    ),
    Mutant(
      "checkpoint-passes-a-failed-record",
      breaks: "S4",
      in: "\(processing)/ShardConsumer.swift",
      "let actions = «[Action.setHandedOut(handled)]»",
      becomes: "[]"
    ),
    Mutant(
      "retry-begins-behind-the-failed-record",
      breaks: "S7",
      in: "\(processing)/ShardConsumer.swift",
      "drop(«index - work.startIndex»)",
      becomes: "index - work.startIndex + 1"
    ),
    Mutant(
      "one-attempt-too-many",
      breaks: "S8",
      in: "\(processing)/RetryLedger.swift",
      "attempts >= maximum",
      becomes: "attempts >= maximum + 6"
    ),
    Mutant(
      "dead-letters-are-not-kept",
      breaks: "S4, S8",
      in: "\(table)/LeaseTable+Writes.swift",
      "scopes[write.grant.scope]?.deadLetters[key] == nil",
      becomes: "false"
    ),
    Mutant(
      "wake-up-lost",
      breaks: "S4, liveness",
      in: "\(processing)/ShardConsumer.swift",
      "guard wakeUp == .awaited(id: id) else { return [] }\n      wakeUp = «.due»",
      becomes: "call == nil ? .due : .none"
    ),
    Mutant(
      "wake-up-after-the-lease-is-lost",
      breaks: "trust",
      in: "\(processing)/ProcessorCall.swift",
      "case .process, .wokenUp: «true»",
      becomes: "self == .process"
    ),
    Mutant(
      "wake-up-beside-another-call",
      breaks: "calls",
      in: "\(processing)/ShardConsumer.swift",
      "return «settle()»\n    case .opened(let origin):",
      becomes: "wakeProcessor()"
    ),
    Mutant(
      "dead-letters-pass-what-is-kept",
      breaks: "S4",
      in: "\(processing)/ShardConsumer.swift",
      "if «wakeUp == .none» { return [report]",
      becomes: "true"
    ),
    Mutant(
      "latest-keeps-no-place",
      breaks: "liveness",
      in: "\(processing)/ReadAhead.swift",
      "if isLatest, «origin > .latest» {",
      becomes: "false"
    ),
    Mutant(
      "reader-is-opened-anew-at-latest",
      breaks: "S7",
      in: "\(processing)/ReadAhead.swift",
      "after: «position», pause: pause)]",
      becomes: "Checkpoint.latest"
    ),
  ]

  private static let lineages = [
    Mutant(
      "child-waits-for-one-parent-only",
      breaks: "S5",
      in: "\(leasing)/Lease+Gate.swift",
      "«parentShardIDs».allSatisfy",
      becomes: "Array(parentShardIDs.prefix(1))"
    ),
    Mutant(
      "child-is-added-before-its-other-parent",
      breaks: "S5",
      in: "\(table)/LeaseTable+Writes.swift",
      "self.row(row.lease.relative($0), in: grant.scope) != nil",
      becomes: "true"
    ),
    Mutant(
      "ended-shard-is-leased-again",
      breaks: "S5",
      in: "\(lineage)/ShardSync.swift",
      "ancestorsOfLeased.contains(shard.id)",
      becomes: "false"
    ),
  ]

  private static let model = "Sources/TidemarkTestKit/Streams/StreamModel.swift"
  private static let position = "Sources/TidemarkStreams/Stream/ShardPosition.swift"

  private static let places = [
    Mutant(
      "partition-that-was-made-ahead-is-made-again",
      breaks: "liveness",
      in: model,
      "max(head >> 32 + 1, (latest?.ordinal ?? -1) + 1)",
      becomes: "head >> 32 + 1"
    ),
    Mutant(
      "numbers-do-not-jump",
      breaks: "S9",
      in: model,
      "max((head + 1) >> 32 + 1, latest + 1, floor) << 32 - 1",
      becomes: "head"
    ),
    Mutant(
      "numbers-jump-by-what-is-remembered-alone",
      breaks: "S9",
      in: model,
      "let floor = «current»",
      becomes: "Int64(0)"
    ),
    Mutant(
      "child-is-read-from-what-is-left",
      breaks: "trimmed",
      in: "\(lineage)/ShardSync.swift",
      "NewLease(stream: stream, shard: shard, checkpoint: «shard.beginning»)",
      becomes: "Checkpoint.trimHorizon"
    ),
    Mutant(
      "lineage-is-read-from-what-is-left",
      breaks: "trimmed",
      in: "\(lineage)/ShardSync.swift",
      "return isFirst ? .trimHorizon : «shard.horizon»",
      becomes: "Checkpoint.trimHorizon"
    ),
    Mutant(
      "what-follows-a-snapshot-is-read-from-what-is-left",
      breaks: "trimmed",
      in: "\(lineage)/ShardSync.swift",
      "if «position == .snapshot» { return shard.beginning }",
      becomes: "false"
    ),
    Mutant(
      "shard-ends-before-its-last-partition",
      breaks: "exactly once",
      in: position,
      "endingSequence.map { «$0 >> 32 >= next» } ?? true",
      becomes: "$0 >> 32 > next"
    ),
    Mutant(
      "loss-is-not-told",
      breaks: "S9",
      in: position,
      "$0.fromHead < last && last <= $0.toHead",
      becomes: "false"
    ),
  ]

  private static let logical = "Sources/TidemarkStreams/LogicalCapture"

  private static let capture = [
    Mutant(
      "commit-is-confirmed-and-not-stored",
      breaks: "exactly once",
      in: "\(logical)/CapturePlace.swift",
      "stored.changes > 0 && position.lsn > stored.lsn",
      becomes: "false"
    ),
    Mutant(
      "changes-are-counted-on-after-a-commit",
      breaks: "exactly once",
      in: "\(logical)/CaptureDecoder.swift",
      "if «transaction?.isSkipped == false», hasChanged { position.changes = 0 }",
      becomes: "false"
    ),
    Mutant(
      "commit-without-changes-ends-the-count",
      breaks: "exactly once",
      in: "\(logical)/CaptureDecoder.swift",
      "let hasChanged = «(transaction?.changes ?? 0) > 0»",
      becomes: "true"
    ),
    Mutant(
      "skipped-changes-are-not-counted",
      breaks: "exactly once",
      in: "\(logical)/CaptureDecoder.swift",
      "«number > position.changes» else { return false }",
      becomes: "number != position.changes"
    ),
    Mutant(
      "capture-goes-past-its-end",
      breaks: "exactly once",
      in: "\(logical)/CaptureDecoder.swift",
      "source.end.map { final >= $0 } ?? false",
      becomes: "false"
    ),
    Mutant(
      "append-is-made-wherever-the-log-is",
      breaks: "exactly once",
      in: "Sources/Simulation/Streams/CaptureServer.swift",
      "stored == start",
      becomes: "true"
    ),
    Mutant(
      "disabling-that-was-cut-short-is-never-completed",
      breaks: "liveness",
      in: "Sources/Simulation/Streams/CaptureServer.swift",
      "if let endsAt, «confirmed >= endsAt» {",
      becomes: "false"
    ),
  ]

  private static let planning = [
    Mutant(
      "worker-is-given-what-it-does-not-serve",
      breaks: "serving",
      in: "\(leasing)/AssignmentPlanner.swift",
      "workers.map { «$0.streams.contains(lease.stream)» }",
      becomes: "true"
    ),
    Mutant(
      "balance-is-counted-per-stream",
      breaks: "liveness, cap",
      in: "Sources/Tidemark/Worker/WorkerShell+Calls.swift",
      "return «planner.plan(snapshot)»",
      becomes:
        "Dictionary(grouping: snapshot.leases, by: \\.stream).sorted { $0.key < $1.key }"
        + ".flatMap { planner.plan(FleetSnapshot(workers: snapshot.workers, leases: $0.value)) }"
    ),
    Mutant(
      "leases-of-a-vanished-stream-are-deleted",
      breaks: "S5",
      in: "\(lineage)/ShardSync.swift",
      "guard let listed = «shards[stream]» else { continue }",
      becomes: "Optional(shards[stream] ?? [])"
    ),
    Mutant(
      "planner-ignores-caps",
      breaks: "cap",
      in: "\(leasing)/AssignmentPlanner.swift",
      "workers[worker].maximumLeases.map { count[worker] >= $0 } ?? false",
      becomes: "false"
    ),
    Mutant(
      "only-hints-tell-of-new-leases",
      breaks: "liveness",
      in: "\(leasing)/LeaseCoordinator.swift",
      "guard «told != assignmentVersion» else { return loss }",
      becomes: "told.version > assignmentVersion.version + 1"
    ),
  ]
}
