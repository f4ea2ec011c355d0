import Tidemark

extension LeaseStoreConformance {
  private static let big = SequenceNumber("1234567890123456789012345678901234567890") ?? 0
  private static let bigger = SequenceNumber("1234567890123456789012345678901234567891") ?? 0

  static let checkpointCases = [
    Case("A checkpoint moves forward and is read back as it was") { fleet in
      let grant = try await fleet.grantNew()
      try expectEqual(await fleet.checkpoint(.record(5), grant), .accepted, "The first")
      try expectEqual(await fleet.checkpoint(.record(10), grant), .accepted, "The second")
      let lease = try await fleet.lease("a")
      try expectEqual(lease.checkpoint, .record(10), "The checkpoint")
      try expectEqual(lease.epoch, grant.epoch, "The epoch")
      try expectEqual(lease.owner, grant.owner, "The owner")
    },
    Case("Repeating a checkpoint is harmless") { fleet in
      let grant = try await fleet.grantNew()
      try expectEqual(await fleet.checkpoint(.record(5), grant), .accepted, "The first")
      try expectEqual(await fleet.checkpoint(.record(5), grant), .accepted, "The second")
      try expectEqual(await fleet.lease("a").checkpoint, .record(5), "The checkpoint")
    },
    Case("A checkpoint does not go back") { fleet in
      let grant = try await fleet.grantNew()
      _ = try await fleet.checkpoint(.record(10), grant)
      // As text, 9 would follow 10.
      for back in [
        Checkpoint.record(9), .latest, .trimHorizon, .atTimestamp(Timestamp(millisecondsSinceEpoch: 1)),
      ] {
        try expectEqual(await fleet.checkpoint(back, grant), .wouldGoBack, "\(back)")
      }
      try expectEqual(await fleet.lease("a").checkpoint, .record(10), "The checkpoint")
    },
    Case("A checkpoint with another owner, an older or a newer epoch or no lease is refused") { fleet in
      let other = try await fleet.register()
      let first = try await fleet.grantNew()
      _ = try await fleet.store.transfer(first)
      let grant = try await fleet.grant("a", to: first.owner)
      try expect(grant.epoch > first.epoch, "The epoch did not rise.")
      var (stolen, future, unknown) = (grant, grant, grant)
      stolen.owner = other
      future.epoch = grant.epoch.next
      unknown.key.shardID = "b"
      for (name, wrong) in [
        ("old", first), ("other owner", stolen), ("future", future), ("unknown", unknown),
      ] {
        try expectEqual(await fleet.checkpoint(.record(5), wrong), .leaseLost, name)
        let pending = Lease.PendingCheckpoint(checkpoint: .record(5), state: [])
        try expectEqual(
          await fleet.store.prepareCheckpoint(pending, for: wrong),
          .leaseLost,
          "prepare, \(name)"
        )
        try expectEqual(await fleet.store.transfer(wrong), .leaseLost, "transfer, \(name)")
        try expectEqual(await fleet.store.stop(wrong, reason: ""), .leaseLost, "stop, \(name)")
        try expectEqual(await fleet.store.endShard(wrong, children: []), .leaseLost, "endShard, \(name)")
      }
      let lease = try await fleet.lease("a")
      try expectEqual(lease.checkpoint, .trimHorizon, "The checkpoint")
      try expectEqual(lease.owner, grant.owner, "The owner")
      try expectEqual(lease.epoch, grant.epoch, "The epoch")
    },
    Case("SHARD_END is no checkpoint to be written") { fleet in
      let grant = try await fleet.grantNew()
      do {
        _ = try await fleet.checkpoint(.shardEnd, grant)
        throw ConformanceFailure(message: "It was accepted.", file: #fileID, line: #line)
      } catch let error as TidemarkError {
        try expectEqual(error.code, .checkpointOutOfRange, "The error")
      }
      try expectEqual(await fleet.lease("a").checkpoint, .trimHorizon, "The checkpoint")
    },
    Case("Sentinels are ordered: LATEST, AT_TIMESTAMP, TRIM_HORIZON, numbers") { fleet in
      let time = Checkpoint.atTimestamp(Timestamp(microsecondsSinceEpoch: 1_700_000_000_000_123))
      try await fleet.create([Shard(id: "a")], at: .latest)
      let grant = try await fleet.grant("a", to: fleet.register())
      try expectEqual(await fleet.lease("a").checkpoint, .latest, "The first")
      let order = [.latest, time, .trimHorizon, .record(0)]
      for (index, checkpoint) in order.enumerated() {
        try expectEqual(await fleet.checkpoint(checkpoint, grant), .accepted, "\(checkpoint)")
        try expectEqual(await fleet.lease("a").checkpoint, checkpoint, "The checkpoint")
        for earlier in order[..<index] {
          try expectEqual(
            await fleet.checkpoint(earlier, grant),
            .wouldGoBack,
            "\(earlier) after \(checkpoint)"
          )
        }
      }
    },
    Case("Sub-sequence numbers order the records of one sequence number") { fleet in
      let grant = try await fleet.grantNew()
      let steps: [(SequenceNumber, UInt64, WriteOutcome)] = [
        (7, 0, .accepted), (7, 2, .accepted), (7, 1, .wouldGoBack), (7, 10, .accepted), (7, 9, .wouldGoBack),
        (6, 11, .wouldGoBack), (8, 0, .accepted),
      ]
      for (number, sub, expected) in steps {
        let outcome = try await fleet.checkpoint(.record(number, subSequenceNumber: sub), grant)
        try expectEqual(outcome, expected, "\(number)/\(sub)")
      }
      try expectEqual(await fleet.lease("a").checkpoint, .record(8), "The checkpoint")
    },
    Case("Sequence numbers of 40 digits are compared as numbers and keep their text") { fleet in
      let grant = try await fleet.grantNew()
      try expectEqual(await fleet.checkpoint(.record(.init(UInt64.max)), grant), .accepted, "64 bits")
      try expectEqual(await fleet.checkpoint(.record(big), grant), .accepted, "40 digits")
      try expectEqual(await fleet.checkpoint(.record(bigger), grant), .accepted, "40 digits, one more")
      try expectEqual(await fleet.checkpoint(.record(big), grant), .wouldGoBack, "40 digits, one less")
      try expectEqual(
        await fleet.checkpoint(.record(.init(UInt64.max)), grant),
        .wouldGoBack,
        "64 bits again"
      )
      let padded = try unwrap(SequenceNumber("00\(bigger)"), "A padded number")
      try expectEqual(await fleet.checkpoint(.record(padded), grant), .accepted, "The same, padded")
      let text = try await fleet.lease("a").checkpoint.text
      try expectEqual(text, padded.description, "The text")
    },
    Case("One call may hold good and bad writes, and answers in their order") { fleet in
      let worker = try await fleet.register()
      try await fleet.create("a", "b", "c")
      var grants = try await fleet.grant(["a", "b", "c"], to: worker)
      _ = try await fleet.checkpoint(.record(10), grants[1])
      grants[2].epoch = Epoch(99)
      let writes = grants.map { CheckpointWrite(grant: $0, checkpoint: .record(5)) }
      let outcomes = try await fleet.store.checkpoint(writes)
      try expectEqual(outcomes, [.accepted, .wouldGoBack, .leaseLost], "The outcomes")
      let checkpoints = try await fleet.store.leases(in: fleet.scope).map(\.checkpoint)
      try expectEqual(checkpoints, [.record(5), .record(10), .trimHorizon], "The checkpoints")
      try expectEqual(await fleet.store.checkpoint([]), [], "The outcomes of none")
    },
    Case("Several writes of one lease in one call count one after the other") { fleet in
      let grant = try await fleet.grantNew()
      let outcomes = try await fleet.store.checkpoint(
        [3, 5, 4, 6].map { CheckpointWrite(grant: grant, checkpoint: .record(SequenceNumber($0))) }
      )
      try expectEqual(outcomes, [.accepted, .accepted, .wouldGoBack, .accepted], "The outcomes")
      try expectEqual(await fleet.lease("a").checkpoint, .record(6), "The checkpoint")
    },
    Case("A write of a lease that is not as far as its owner knows changes nothing") { fleet in
      let grant = try await fleet.grantNew()
      _ = try await fleet.checkpoint(.record(5), grant)
      let before = try await fleet.lease("a")
      let ahead = CheckpointWrite(
        grant: grant,
        checkpoint: .record(9),
        from: .record(5, subSequenceNumber: 1)
      )
      try expectEqual(await fleet.store.checkpoint([ahead]), [.leaseLost], "A checkpoint")
      try expectEqual(
        await fleet.store.deadLetter([fleet.letter(9)], passing: ahead),
        .leaseLost,
        "A dead letter"
      )
      let pending = Lease.PendingCheckpoint(checkpoint: .record(9), state: [1])
      try expectEqual(
        await fleet.store.prepareCheckpoint(pending, for: grant, from: ahead.from),
        .leaseLost,
        "A prepared checkpoint"
      )
      try expectEqual(
        await fleet.store.endShard(
          grant,
          children: [Shard(id: "b", parentIDs: ["a"])],
          restingOn: ShardEnding(from: ahead.from)
        ),
        .leaseLost,
        "An end"
      )
      try expectEqual(await fleet.store.leases(in: fleet.scope), [before], "The leases")
      try expectEqual(
        await fleet.environment.deadLetters(of: OneStream.key("a"), in: fleet.scope),
        [],
        "The dead letters"
      )
    },
    Case("A write of a lease that is as far as its owner knows, or further, is accepted and may be repeated")
    {
      fleet in
      let grant = try await fleet.grantNew()
      for (checkpoint, from) in [(1, nil), (2, 1), (2, 1), (4, 2), (4, 4), (6, 2)] as [(UInt64, UInt64?)] {
        let write = CheckpointWrite(
          grant: grant,
          checkpoint: .record(SequenceNumber(checkpoint)),
          from: from.map { .record(SequenceNumber($0)) } ?? .trimHorizon
        )
        try expectEqual(await fleet.store.checkpoint([write]), [.accepted], "\(checkpoint) from \(from ?? 0)")
        try expectEqual(await fleet.store.deadLetter([], passing: write), .accepted, "Repeated, as letters")
      }
      let back = CheckpointWrite(grant: grant, checkpoint: .record(3), from: .record(2))
      try expectEqual(await fleet.store.checkpoint([back]), [.wouldGoBack], "Back")
      let ending = ShardEnding(from: .record(4))
      for attempt in ["The end", "The repeated end"] {
        try expectEqual(
          await fleet.store.endShard(grant, children: [], restingOn: ending),
          .accepted,
          attempt
        )
      }
    },
    Case("Of several leases' writes only those are refused that name a place ahead") { fleet in
      let worker = try await fleet.register()
      try await fleet.create("a", "b")
      let grants = try await fleet.grant(["a", "b"], to: worker)
      let writes = zip(grants, [4, nil] as [SequenceNumber?]).map { grant, from in
        CheckpointWrite(grant: grant, checkpoint: .record(5), from: from.map { .record($0) } ?? .trimHorizon)
      }
      try expectEqual(await fleet.store.checkpoint(writes), [.leaseLost, .accepted], "The outcomes")
    },
    Case("A thousand leases are checkpointed in one call") { fleet in
      let shards = (0..<1000).map { "shard-\(10_000 + $0)" }
      try await fleet.create(shards.map { Shard(id: $0) })
      let grants = try await fleet.grant(shards, to: fleet.register())
      let writes = grants.enumerated().map {
        CheckpointWrite(grant: $1, checkpoint: .record(SequenceNumber(UInt64($0))))
      }
      let outcomes = try await fleet.store.checkpoint(writes)
      try expectEqual(outcomes, writes.map { _ in .accepted }, "The outcomes")
      let checkpoints = try await fleet.store.leases(in: fleet.scope).map(\.checkpoint)
      try expectEqual(checkpoints, writes.map(\.checkpoint), "The checkpoints")
    },
    Case("With ten that checkpoint at once the checkpoint only rises") { fleet in
      let grant = try await fleet.grantNew()
      try await withThrowingTaskGroup(of: Void.self) { group in
        for task in 0..<10 {
          group.addTask {
            for round in 0..<20 {
              let number = SequenceNumber(UInt64((round * 7 + task * 13) % 211))
              let outcome = try await fleet.checkpoint(.record(number), grant)
              try expect(outcome != .leaseLost, "The lease was lost.")
              let stored = try await fleet.lease("a").checkpoint
              try expect(
                stored >= .record(number),
                "\(number) was \(outcome), and then the checkpoint was \(stored)."
              )
            }
          }
        }
        try await group.waitForAll()
      }
      try expectEqual(await fleet.lease("a").checkpoint, .record(210), "The greatest of all")
    },
    Case("A prepared checkpoint stands beside the committed one until the next checkpoint") { fleet in
      let grant = try await fleet.grantNew()
      _ = try await fleet.checkpoint(.record(3), grant)
      let pending = Lease.PendingCheckpoint(
        checkpoint: .record(5, subSequenceNumber: 2),
        state: [0, 255, 39]
      )
      try expectEqual(await fleet.store.prepareCheckpoint(pending, for: grant), .accepted, "Preparing")
      let lease = try await fleet.lease("a")
      try expectEqual(lease.pendingCheckpoint, pending, "The pending checkpoint")
      try expectEqual(lease.checkpoint, .record(3), "The checkpoint")
      let back = Lease.PendingCheckpoint(checkpoint: .record(2), state: [])
      try expectEqual(
        await fleet.store.prepareCheckpoint(back, for: grant),
        .wouldGoBack,
        "Preparing before it"
      )
      _ = try await fleet.checkpoint(.record(5, subSequenceNumber: 2), grant)
      try expectEqual(await fleet.lease("a").pendingCheckpoint, nil, "The pending checkpoint after it")
    },
    Case("The next owner finds what the last one prepared") { fleet in
      let grant = try await fleet.grantNew()
      let pending = Lease.PendingCheckpoint(checkpoint: .record(5), state: [1, 2, 3])
      _ = try await fleet.store.prepareCheckpoint(pending, for: grant)
      _ = try await fleet.store.transfer(grant)
      try await fleet.grant("a", to: fleet.register())
      try expectEqual(await fleet.lease("a").pendingCheckpoint, pending, "The pending checkpoint")
    },
    Case("A dead letter is stored once, however often it is repeated, and the checkpoint passes it") {
      fleet in
      let grant = try await fleet.grantNew()
      let write = CheckpointWrite(grant: grant, checkpoint: .record(2))
      for time in 1...3 {
        let outcome = try await fleet.store.deadLetter([fleet.letter(1), fleet.letter(2)], passing: write)
        try expectEqual(outcome, .accepted, "Time \(time)")
      }
      let letters = try await fleet.environment.deadLetters(of: OneStream.key("a"), in: fleet.scope)
      try expectEqual(letters, ["1", "2"], "Dead letters")
      try expectEqual(await fleet.lease("a").checkpoint, .record(2), "The checkpoint")
    },
    Case("A dead letter whose checkpoint is refused is not stored") { fleet in
      let grant = try await fleet.grantNew()
      _ = try await fleet.checkpoint(.record(10), grant)
      let back = CheckpointWrite(grant: grant, checkpoint: .record(9))
      try expectEqual(
        await fleet.store.deadLetter([fleet.letter(9)], passing: back),
        .wouldGoBack,
        "Going back"
      )
      _ = try await fleet.store.transfer(grant)
      let late = CheckpointWrite(grant: grant, checkpoint: .record(11))
      try expectEqual(await fleet.store.deadLetter([fleet.letter(11)], passing: late), .leaseLost, "Too late")
      try expectEqual(
        await fleet.environment.deadLetters(of: OneStream.key("a"), in: fleet.scope),
        [],
        "Dead letters"
      )
    },
    Case("A change is a dead letter with its keys and images") { fleet in
      let grant = try await fleet.grantNew()
      let change = Change(
        eventName: .modify,
        keys: Image(#"{"id": 1}"#),
        newImage: Image(#"{"id": 1, "text": "\u0000 'quoted'"}"#)
      )
      let record = Record(
        sequenceNumber: big,
        subSequenceNumber: 4,
        partitionKey: "1",
        approximateCreationTime: Timestamp(millisecondsSinceEpoch: 0),
        body: .change(change)
      )
      let letter = DeadLetter(record: record, attempts: 1, reason: "")
      let write = CheckpointWrite(grant: grant, checkpoint: record.checkpoint)
      try expectEqual(await fleet.store.deadLetter([letter], passing: write), .accepted, "The outcome")
      let letters = try await fleet.environment.deadLetters(of: OneStream.key("a"), in: fleet.scope)
      try expectEqual(letters, [big.description], "Dead letters")
    },
  ]
}
