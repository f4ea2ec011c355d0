#if AWS
import Foundation
import Testing
import Tidemark

@testable import AWSRequests
@testable import TidemarkAWS

@Suite("The JSON scanner")
struct JSONScannerTests {
  private func scanning<R>(_ json: String, _ body: (inout JSONScanner) throws -> R) rethrows -> R {
    try Array(json.utf8).withUnsafeBytes {
      var scanner = JSONScanner($0)
      return try body(&scanner)
    }
  }

  private func failure(_ json: String, _ body: (inout JSONScanner) throws -> Void) -> JSONScanner.Failure? {
    #expect(throws: JSONScanner.Failure.self) { try scanning(json, body) }
  }

  @Test("the scanner goes through an object by its keys, and skips what nobody asks for")
  func object() throws {
    let json =
      #" { "Skipped" : {"a":[1,{"b":"}]\""},[]],"c":{}} , "Name":"orders","Open":true,"Count" : 12 } "#
    try scanning(json) { scanner in
      try scanner.enterObject()
      var found: [String] = []
      while let key = try scanner.nextKey() {
        if scanner.matches(key, "Name") {
          found.append(scanner.text(of: try scanner.string()))
        } else if scanner.matches(key, "Open") {
          found.append("\(try scanner.bool())")
        } else if scanner.matches(key, "Count") {
          found.append("\(try scanner.integer())")
        } else {
          found.append(scanner.text(in: try scanner.skip()))
        }
      }
      #expect(found == [#"{"a":[1,{"b":"}]\""},[]],"c":{}}"#, "orders", "true", "12"])
    }
  }

  @Test("the scanner goes through arrays, empty ones too")
  func arrays() throws {
    try scanning("[[], [1 , 2],[{}]]") { scanner in
      var counts: [Int] = []
      try scanner.enterArray()
      while try scanner.nextElement() {
        try scanner.enterArray()
        var count = 0
        while try scanner.nextElement() {
          try scanner.skip()
          count += 1
        }
        counts.append(count)
      }
      #expect(counts == [0, 2, 1])
    }
  }

  @Test(
    "the scanner reads strings, short and long, with and without escapes",
    arguments: [
      (#""""#, "", false), (#""a""#, "a", false), (#""sixteen letters!""#, "sixteen letters!", false),
      (#""a string that is longer, Größe 📦""#, "a string that is longer, Größe 📦", false),
      (#""quote \" here and after it more""#, "quote \" here and after it more", true),
      (
        #""and a late escape, after the first bytes \\""#, "and a late escape, after the first bytes \\",
        true
      ),
      (#""\u00e4\ud83d\udce6\/\n""#, "ä📦/\n", true),
    ]
  )
  func strings(json: String, text: String, hasEscapes: Bool) throws {
    try scanning(json + ", more") { scanner in
      let string = try scanner.string()
      #expect(scanner.text(of: string) == text && string.hasEscapes == hasEscapes)
      #expect(scanner.position == json.utf8.count)
    }
  }

  @Test("a null is taken, and everything else left where it is")
  func null() throws {
    let isNull = try scanning(" null") { try $0.takeNull() }
    #expect(isNull)
    try scanning(" 1") { scanner in
      let isNull = try scanner.takeNull()
      let number = try scanner.integer()
      #expect(!isNull && number == 1)
    }
  }

  @Test(
    "the scanner reads times however they are written, to the microsecond",
    arguments: [
      ("1464806460", 1_464_806_460_000_000), ("1464806460.0", 1_464_806_460_000_000),
      ("1.46480646E9", 1_464_806_460_000_000), ("1.464806460123E9", 1_464_806_460_123_000),
      ("1464806460.123456", 1_464_806_460_123_456), ("1464806460.1234569", 1_464_806_460_123_456),
      ("1464806460.12345678901234567890123", 1_464_806_460_123_456), ("146480646e+1", 1_464_806_460_000_000),
      ("14648064601e-1", 1_464_806_460_100_000), ("0", 0), ("0e900", 0), ("-1.5", -1_500_000),
    ]
  )
  func times(json: String, microseconds: Int64) throws {
    let time = try scanning(json) { try $0.timestamp() }
    #expect(time.microsecondsSinceEpoch == microseconds)
  }

  @Test(
    "times beyond all calendars are failures",
    arguments: ["1e99", "99999999999999999999", "1e9999999999"]
  )
  func noTimes(json: String) {
    #expect(failure(json) { _ = try $0.timestamp() }?.offset == 0)
  }

  @Test("the scanner finds a string's end and its first escape wherever they lie", arguments: 0..<20)
  func ends(length: Int) throws {
    // The neighbours of the quote and of the backslash.
    let text = String("#]".flatMap { Array(repeating: $0, count: 10) }.prefix(length))
    for more in [#""#, #",1"#, ##","#]#]#]#]""##] {
      try scanning("\"\(text)\"\(more)") { scanner in
        let string = try scanner.string()
        #expect(string == JSONScanner.Text(range: 1..<1 + length, hasEscapes: false))
      }
      try scanning("\"\(text)\\\"#\"\(more)") { scanner in
        let string = try scanner.string()
        #expect(string == JSONScanner.Text(range: 1..<4 + length, hasEscapes: true))
      }
    }
  }

  @Test(
    "the scanner says where the JSON is malformed",
    arguments: [
      ("", 0), ("{", 1), (#"{"a""#, 4), (#"{"a" 1}"#, 5), (#"{"a":}"#, 5), (#"{"a":1"#, 6), (#"{"a":1,}"#, 7),
      (#"{"a":1 "b":2}"#, 7), (#"{a:1}"#, 1), ("[1", 2), ("[1,]", 3), ("[1 2]", 3), ("[1}", 2),
      (#"{"a":[1}"#, 7),
      (#"{"a":"b}"#, 8), (#"["\x"]"#, 3), (#"["\u12g4"]"#, 6), (#"["\"#, 3), (#"["\""#, 4), ("[tru]", 4),
      ("[nul", 4),
      ("[-]", 2), ("[1.]", 3), ("[1e]", 3), ("[+1]", 1),
    ]
  )
  func malformed(json: String, offset: Int) {
    #expect(failure(json) { try $0.skip() }?.offset == offset)
  }

  @Test("what is nested too deep is a failure and no crash")
  func depth() {
    let found = failure(String(repeating: "[", count: 100_000)) { try $0.skip() }
    #expect(found?.reason.contains("nested") == true)
  }

  @Test(
    "every beginning of a document is a failure within it",
    arguments: [#"{"a":["b\n",{"c":1.5e3}],"d":null}"#]
  )
  func truncated(json: String) {
    for count in 0..<json.utf8.count {
      let offset = failure(String(json.prefix(count))) { try $0.skip() }?.offset
      #expect(offset.map { $0 <= count } == true)
    }
  }
}

@Suite("Base64")
struct Base64Tests {
  private func decode(_ text: String) -> [UInt8]? {
    let text = Array(text.utf8)
    var output = [UInt8](repeating: 0, count: Base64.decodedCount(atMost: text.count))
    let count = text.withUnsafeBytes { text in output.withUnsafeMutableBytes { Base64.decode(text, into: $0) }
    }
    return count.map { Array(output.prefix($0)) }
  }

  @Test("Base64 decodes what Foundation encodes, at every length")
  func lengths() {
    var random = SystemRandomNumberGenerator()
    for length in 0..<200 {
      let bytes = (0..<length).map { _ in UInt8.random(in: 0...255, using: &random) }
      #expect(decode(Data(bytes).base64EncodedString()) == bytes)
    }
  }

  @Test(
    "Base64 refuses what is none",
    arguments: [
      "A", "AB", "ABC", "A===", "====", "=AAA", "AB=C", "AA==AAAA", "AAAA AAA", "AA-_", "AAA\n", "Ä5AA=",
    ]
  )
  func none(text: String) {
    #expect(decode(text) == nil)
  }
}
#endif
