import Tidemark
import TidemarkTestKit

/// A simulated stream with partitions that are made ahead, age and go, snapshots whose reading outlasts retention, splits,
/// and a database that is started again or comes back without its newest commits; and the applications that read it.
struct StreamWorld {
  private struct Backup {
    var stream: StreamModel
    var leases: [[String: Lease]]
    /// What was to be read.
    var numbers: [String: [Int64]]
  }

  private var random: SeededRandom
  private var stream: StreamModel
  private var applications: [ReadingApplication]
  private var ledger = StreamLedger()
  private var backup: Backup
  private var server = 0
  /// In seconds. It passes between all operations.
  private var now = 0.0
  private var payload = 0
  /// The snapshots that are being copied.
  private var copying: Set<String> = []
  private var history = History()
  private var isTraced: Bool
  private var marks: [Mark: Int] = [:]

  init(seed: UInt64, isTraced: Bool = false) {
    random = SeededRandom(seed: seed ^ 0x7374_7265_616d_2121)
    stream = StreamModel(
      shardCount: Int.random(in: 1...3, using: &random),
      retention: 1000,
      partitionInterval: 100,
      server: 0
    )
    applications = [
      ReadingApplication("all", startsWithSnapshot: false),
      ReadingApplication("late", startsWithSnapshot: true),
    ]
    backup = Backup(stream: stream, leases: [[:], [:]], numbers: [:])
    self.isTraced = isTraced
    history.isTraced = isTraced
  }

  mutating func run() -> (violation: String?, hash: UInt64, marks: [Mark: Int], changes: Int) {
    var violation: String?
    for _ in 0..<400 {
      violation = act() ?? judge()
      if violation != nil { break }
      now += [0.0, 0.1, 5, 120].randomElement(using: &random) ?? 0
      if random.happens(0.02) { now += 1200 }
    }
    if violation == nil { violation = rest() }
    return (violation.map { "stream, \($0)" }, history.hash, marks, payload)
  }

  /// Numbers of histories rise with time, as those of a database do.
  private var clock: Int64 { 1000 + Int64(now) }

  private mutating func act() -> String? {
    let before = Set(stream.log.map(\.number))
    var isAccounted = false
    defer {
      // What goes in any other way than by retention is nobody's to read any more.
      if !isAccounted { ledger.lose(before.subtracting(stream.log.map(\.number))) }
    }
    do {
      switch Int.random(in: 0...19, using: &random) {
      case 0...4: put()
      case 5, 6: try stream.step(server: server, clock: clock, now: now)
      case 7...11: return read()
      case 12: sync()
      case 13: applications[draw(0..<applications.count)].die()
      case 14: split()
      case 15: try beginSnapshot()
      case 16: endSnapshot()
      case 17:
        isAccounted = true
        stream.maintain(server: server, clock: clock, now: now)
      case 18: save()
      default:
        isAccounted = true
        come()
      }
      return nil
    } catch {
      return "the stream stands still: \(error)"
    }
  }

  // MARK: What happens

  private mutating func put() {
    for _ in 0..<draw(1..<5) {
      payload += 1
      stream.put(payload, at: payload)
    }
  }

  private mutating func sync() {
    for index in applications.indices {
      if !applications[index].hasBegun || applications[index].isCutOff(from: stream) {
        // What is gone before an application comes is nothing to it. One whose shards are gone as a whole hears so, and
        // goes on with what is left.
        let there = Set(stream.log.map(\.payload))
        applications[index].excused.formUnion(
          Set(1..<(payload + 1)).subtracting(there).subtracting(pending)
        )
      }
      applications[index].sync(stream)
    }
  }

  /// Committed, and without a number.
  private var pending: Set<Int> { Set(stream.unsequenced) }

  private mutating func read() -> String? {
    let index = draw(0..<applications.count)
    guard let shard = applications[index].readable.randomElement(using: &random) else { return nil }
    return applications[index].read(
      shard,
      of: stream,
      ledger,
      records: draw(1..<20),
      keepsCheckpoint: random.happens(0.7)
    )
  }

  private mutating func split() {
    guard let shard = stream.openShards.randomElement(using: &random), stream.openShards.count < 6 else {
      return
    }
    stream.split(shard.ordinal, server: server, clock: clock, now: now)
  }

  private mutating func beginSnapshot() throws {
    guard !applications[1].hasBegun else { return }
    stream.followHistory(server: server, clock: clock, now: now)
    guard stream.mayBeginSnapshot(clock: clock) else { return }
    try stream.beginSnapshot(for: "late", server: server, clock: clock, now: now)
    // Its rows are the changes before it, under numbers of their own.
    for record in stream.log { applications[1].excused.insert(record.payload) }
    stream.copy(
      (1..<draw(2..<8)).map { (payload: -$0 - 1000 * Int(stream.head >> 32), place: $0) },
      for: "late"
    )
    copying.insert("late")
  }

  private mutating func endSnapshot() {
    guard copying.remove("late") != nil else { return }
    stream.completeSnapshot(of: "late", now: now)
    mark(.snapshotCompleted)
  }

  private mutating func save() {
    backup = Backup(stream: stream, leases: applications.map(\.leases), numbers: ledger.numbers)
  }

  /// The server is started again, or another one takes its place, which may lack what came after the backup.
  private mutating func come() {
    server += 1
    // A server takes a second to start.
    now += 1
    if random.happens(0.5) {
      ledger.numbers = backup.numbers
      stream = backup.stream
      copying = []
      for index in applications.indices {
        applications[index].lose(leases: backup.leases[index], head: stream.head)
      }
      mark(.streamTailLost)
    }
  }

  // MARK: Judgement

  private mutating func judge() -> String? {
    history.add("\(stream.head) \(stream.log.count) \(stream.shards.count)", at: .seconds(now))
    let ids = Dictionary(uniqueKeysWithValues: stream.shards.map { ($0.ordinal, $0.id) })
    for record in stream.log {
      if let violation = ledger.note(record, in: ids[record.shard] ?? "") { return violation }
    }
    return nil
  }

  /// Everything is read to the end; nothing may be left that an application has neither handled nor heard of.
  private mutating func rest() -> String? {
    endSnapshot()
    do {
      try stream.step(server: server, clock: clock, now: now)
    } catch {
      return "the stream stands still: \(error)"
    }
    if let violation = judge() { return violation }
    for index in applications.indices {
      for _ in 0..<200 {
        applications[index].sync(stream)
        for shard in applications[index].readable {
          if let violation = applications[index].read(
            shard,
            of: stream,
            ledger,
            records: 1000,
            keepsCheckpoint: true
          ) {
            return violation
          }
        }
      }
    }
    guard
      let missing = stream.log.first(where: { $0.payload > 0 && !applications[0].isDone(with: $0.payload) })
    else { return nil }
    return "record \(missing.number) of shard \(missing.shard) is never handled"
  }

  private mutating func draw(_ range: Range<Int>) -> Int { Int.random(in: range, using: &random) }
  private mutating func mark(_ mark: Mark) { marks[mark, default: 0] += 1 }
}
