import TestSupport
import Testing
import Tidemark
import TidemarkPostgres
import TidemarkStreams

@testable import TidemarkCommand

@Suite("Values on the command line", .sharesMachine)
struct ArgumentTests {
  @Test(
    "Durations are whole numbers with a unit",
    arguments: [
      ("24h", Duration.seconds(86_400)), ("90m", .seconds(5400)), ("5s", .seconds(5)), ("0s", .zero),
      ("500ms", .milliseconds(500)),
    ]
  )
  func durations(_ text: String, _ duration: Duration) {
    #expect(DurationArgument(argument: text)?.duration == duration)
    #expect(DurationArgument(duration).description == text)
  }

  @Test(
    "What is not a whole number with a unit is no duration",
    arguments: [
      "", "h", "24", "1.5h", "-1s", "+1s", "1 s", "1d", "1H", "99999999999999999999s", "9223372036854775807h",
    ]
  )
  func noDurations(_ text: String) {
    #expect(DurationArgument(argument: text) == nil)
  }

  @Test(
    "Times are read to the microsecond, in any zone, and written in UTC",
    arguments: [
      ("2025-01-02T03:04:05Z", "2025-01-02T03:04:05.000000Z"),
      ("2025-01-02T03:04:05.5+01:00", "2025-01-02T02:04:05.500000Z"),
      ("2025-01-02T03:04:05.1234567Z", "2025-01-02T03:04:05.123456Z"),
      ("1969-12-31T23:59:59.25Z", "1969-12-31T23:59:59.250000Z"),
    ]
  )
  func times(_ text: String, _ written: String) {
    #expect(Timestamp(iso8601: text)?.iso8601 == written)
  }

  @Test(
    "What has no zone or is no time is refused",
    arguments: ["", "now", "2025-01-02", "2025-01-02T03:04:05"]
  )
  func noTimes(_ text: String) {
    #expect(Timestamp(iso8601: text) == nil)
  }

  @Test("A hash is a decimal number or its leading hexadecimal digits")
  func hashes() {
    #expect(HashArgument(argument: "0x4")?.hash == 1 << 126)
    #expect(HashArgument(argument: "0x40000000")?.hash == 1 << 126)
    #expect(HashArgument(argument: "\(UInt128(1) << 126)")?.hash == 1 << 126)
    #expect(HashArgument(argument: "0x") == nil)
    #expect(HashArgument(argument: "-1") == nil)
  }

  @Test("JSON keeps the order of keys, escapes text, and passes on what is JSON already in one line")
  func json() {
    let value = JSON.object([
      "b": .string("\"\\\n\u{1}é"), "a": .array([.null, .number(0.5), .bool(true)]),
      "raw": .raw("{\r\n\"n\":12345678901234567890.10,\n\"s\":\"\u{2028}\u{85}\"}"), "none": .array([]),
    ])
    #expect(
      value.line
        == #"{"b":"\"\\\n\u0001é","a":[null,0.5,true],"raw":{  "n":12345678901234567890.10, "s":""#
        + "\u{2028}\u{85}" + #""},"none":[]}"#
    )
    #expect(JSON.object(["a": .array([.integer(1)])]).document == "{\n  \"a\": [\n    1\n  ]\n}")
  }

  @Test("Leases are reset parents first")
  func parentsFirst() {
    let leases = [
      Lease(key: LeaseKey(stream: "s", shardID: "a"), parentShardIDs: ["z", "y"], checkpoint: .latest),
      Lease(key: LeaseKey(stream: "s", shardID: "y"), parentShardIDs: ["x", "gone"], checkpoint: .latest),
      Lease(key: LeaseKey(stream: "s", shardID: "x"), checkpoint: .latest),
      Lease(key: LeaseKey(stream: "s", shardID: "z"), checkpoint: .latest),
      Lease(key: LeaseKey(stream: "t", shardID: "z"), checkpoint: .latest),
    ]
    #expect(ResetLeases.parentsFirst(leases).map(\.shardID) == ["z", "x", "y", "a", "z"])
  }
}
