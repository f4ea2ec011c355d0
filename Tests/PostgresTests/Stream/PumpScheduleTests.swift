import Testing
import Tidemark

@testable import TidemarkStreams

@Suite("When a pump looks at which stream")
struct PumpScheduleTests {
  private let start = ContinuousClock.now
  private var schedule = PumpSchedule()

  init() {
    schedule.begin(batchingInterval: .milliseconds(10), pollInterval: .milliseconds(50))
    for stream: Int32 in 1...3 { schedule.add(stream) }
    schedule.heard([0, 0, 0, 0])
  }

  private func at(_ milliseconds: Int) -> ContinuousClock.Instant { start + .milliseconds(milliseconds) }

  private mutating func look(
    _ streams: [Int32],
    _ findings: [Int32: PumpSchedule.Finding] = [:],
    from begin: Int = 0,
    to end: Int = 1
  ) {
    schedule.looked(at: streams, finding: findings, from: at(begin), to: at(end))
  }

  @Test("looks at a new stream at once, and then waits for a bell")
  mutating func new() {
    #expect(schedule.next(at: at(0)) == .look([1, 2, 3]))
    look([1, 2, 3])
    #expect(schedule.next(at: at(1)) == .watch(until: at(1000)))
  }

  @Test("looks at the streams of a bell that was rung, and at no others")
  mutating func bell() {
    _ = schedule.next(at: at(0))
    look([1, 2, 3])
    schedule.add(5)
    look([5])
    schedule.heard([0, 1, 0, 0])
    #expect(schedule.next(at: at(2)) == .look([5, 1]))
    look([1, 5], from: 2, to: 3)
    schedule.heard([0, 1, 0, 0])
    #expect(schedule.next(at: at(3)) == .watch(until: at(1000)))
  }

  @Test("gathers changes after a step that has moved some, but not after one that moved as many as it may")
  mutating func batching() {
    _ = schedule.next(at: at(0))
    look([1, 2, 3], [1: .init(hasNews: true, place: .init(lastID: 1))], from: 0, to: 2)
    schedule.heard([0, 1, 0, 0])
    #expect(schedule.next(at: at(2)) == .sleep(until: at(10)))
    #expect(schedule.next(at: at(10)) == .look([1]))
    look([1], [1: .init(hasNews: true, isCutShort: true, place: .init(lastID: 2))], from: 10, to: 12)
    #expect(schedule.next(at: at(12)) == .look([1]))
  }

  @Test("looks again while a transaction may be open that has written, less and less often")
  mutating func open() {
    _ = schedule.next(at: at(0))
    let place = PumpSchedule.Place(lastID: 1, openXID: "7")
    look([1, 2, 3], [1: .init(place: place)])
    #expect(schedule.place(of: 1) == place)
    var looks: [Int] = []
    var now = 1
    while now < 400 {
      switch schedule.next(at: at(now)) {
      case .look(let streams):
        #expect(streams == [1])
        looks.append(now)
        look([1], from: now, to: now)
      case .watch(let time), .sleep(let time): now = Int(start.duration(to: time) / .milliseconds(1))
      }
    }
    #expect(looks == [10, 30, 70, 120, 170, 220, 270, 320, 370])
    look([1], [1: .init(place: .init(lastID: 1))], from: 400, to: 400)
    #expect(schedule.next(at: at(401)) == .watch(until: at(1000)))
  }

  @Test("looks again soon at a stream whose turn somebody else has")
  mutating func busy() {
    _ = schedule.next(at: at(0))
    look([1, 2, 3], [2: .init(isBusy: true)], from: 0, to: 0)
    #expect(schedule.next(at: at(0)) == .watch(until: at(1)))
    #expect(schedule.next(at: at(1)) == .look([2]))
    look([2], [2: .init(isBusy: true)], from: 1, to: 1)
    #expect(schedule.next(at: at(1)) == .watch(until: at(3)))
  }

  @Test("rests a stream that has failed, and knows nothing of it any more")
  mutating func failure() {
    _ = schedule.next(at: at(0))
    look([1, 2, 3], [1: .init(place: .init(lastID: 4))], from: 0, to: 0)
    #expect(schedule.failed(1, at: at(0)) == .milliseconds(100))
    #expect(schedule.place(of: 1) == .init())
    #expect(schedule.next(at: at(0)) == .watch(until: at(100)))
    #expect(schedule.next(at: at(100)) == .look([1]))
    #expect(schedule.failed(1, at: at(100)) == .milliseconds(200))
  }

  @Test("looks at all streams now and then, and takes turns where it begins")
  mutating func sweep() {
    #expect(schedule.next(at: at(0)) == .look([1, 2, 3]))
    look([1, 2, 3])
    #expect(schedule.next(at: at(1000)) == .look([2, 3, 1]))
    look([1, 2, 3], from: 1000, to: 1000)
    #expect(schedule.next(at: at(1999)) == .watch(until: at(2000)))
    #expect(schedule.next(at: at(2000)) == .look([3, 1, 2]))
  }

  @Test("looks at a hundred streams at once, at the others without a rest, and gathers changes then")
  mutating func many() {
    for stream: Int32 in 4...250 { schedule.add(stream) }
    var looked: [Int32] = []
    for time in 0...2 {
      guard case .look(let streams) = schedule.next(at: at(time)) else { break }
      looked += streams
      #expect(streams.count <= 100)
      look(streams, [streams[0]: .init(hasNews: true, place: .init(lastID: 1))], from: time, to: time)
    }
    #expect(looked == Array(1...250))
    #expect(schedule.next(at: at(3)) == .sleep(until: at(12)))
    // The sweep is for all of them.
    var swept: Set<Int32> = []
    for _ in 1...3 {
      guard case .look(let streams) = schedule.next(at: at(3000)) else { break }
      swept.formUnion(streams)
      look(streams, from: 3000, to: 3000)
    }
    #expect(swept.count == 250)
  }

  @Test("looks at fewer streams at once after a look that took long, and at more after a short one")
  mutating func slow() {
    for stream: Int32 in 4...250 { schedule.add(stream) }
    var counts: [Int] = []
    var now = 0
    while case .look(let streams) = schedule.next(at: at(now)) {
      counts.append(streams.count)
      let end = now + (counts.count <= 2 ? 21 : 20)
      look(streams, from: now, to: end)
      now = end
    }
    #expect(counts == [100, 50, 25, 50, 25])
  }

  @Test("knows nothing of bells and streams on a new connection")
  mutating func begin() {
    _ = schedule.next(at: at(0))
    look([1, 2, 3], [1: .init(place: .init(lastID: 4))])
    schedule.begin(batchingInterval: .milliseconds(10), pollInterval: .milliseconds(50))
    #expect(schedule.bells == [] && schedule.place(of: 1) == .init())
    #expect(schedule.next(at: at(1)) == .look([2, 3, 1]))
    schedule.remove(2)
    schedule.heard([0, 0, 0, 0])
    #expect(schedule.next(at: at(1)) == .look([3, 1]))
  }
}
