import Foundation
import Testing
import Tidemark

@Suite("Decoding images")
struct JSONDecodingTests {
  private func decode<Value: Decodable>(_ json: String, as type: Value.Type = Value.self) throws -> Value {
    try Image(json).decode(as: type)
  }

  private func field<Value: Decodable>(_ json: String, as type: Value.Type = Value.self) throws -> Value {
    let object = try decode(#"{"value":"# + json + "}", as: [String: Value].self)
    return try #require(object["value"])
  }

  private struct Order: Codable, Equatable {
    struct Line: Codable, Equatable {
      var product: String
      var price: Decimal
    }
    enum Status: String, Codable { case open = "OPEN", paid = "PAID" }

    var id: Int64
    var status: Status
    var note: String?
    var paid: Bool
    var rate: Double
    var lines: [Line]
    var tags: [String: Int?]
  }

  @Test("A struct is decoded with what is nested in it, whatever the order of the keys")
  func nested() throws {
    let order = try decode(
      #"""
      {"tags": {"a": 1, "b": null}, "rate": 0.1, "paid": true, "id": 9223372036854775807, "unknown": [{}],
       "lines": [{"product": "x", "price": 12.50}, {"price": 1, "product": "y"}], "status": "OPEN", "note": null}
      """#,
      as: Order.self
    )
    let expected = Order(
      id: .max,
      status: .open,
      paid: true,
      rate: 0.1,
      lines: [.init(product: "x", price: 12.5), .init(product: "y", price: 1)],
      tags: ["a": 1, "b": nil]
    )
    #expect(order == expected)
  }

  @Test("Integers are exact beyond 2^53, and refused where they do not fit")
  func integers() throws {
    #expect(try field("9007199254740993", as: Int64.self) == 9_007_199_254_740_993)
    #expect(try field("-9223372036854775808", as: Int64.self) == .min)
    #expect(try field("18446744073709551615", as: UInt64.self) == .max)
    #expect(
      try field("-170141183460469231731687303715884105728", as: Int128.self) == .min
    )
    #expect(try field("12.00", as: Int.self) == 12)
    #expect(try field("1.2e1", as: Int8.self) == 12)
    #expect(try field("-0", as: Int.self) == 0)
    #expect(try field("1.0000000000000000000000000", as: Int.self) == 1)
    for json in ["9223372036854775808", "1.5", "1e400", "-1e-1", #""1""#, "true"] {
      #expect(throws: DecodingError.self) { try field(json, as: Int64.self) }
    }
    #expect(throws: DecodingError.self) { try field("-1", as: UInt64.self) }
    #expect(throws: DecodingError.self) { try field("256", as: UInt8.self) }
  }

  @Test("Decimals keep all their digits, and more than they hold are refused rather than rounded")
  func decimals() throws {
    let digits = "12345678901234567890123456789012345.678"
    #expect(try field(digits, as: Decimal.self) == Decimal(string: digits))
    #expect(
      try field("-0.00000000000000000001", as: Decimal.self) == Decimal(string: "-0.00000000000000000001")
    )
    #expect(try field("1e20", as: Decimal.self) == Decimal(string: "100000000000000000000"))
    #expect(try field(#""NaN""#, as: Decimal.self).isNaN)
    let tooLong = String(repeating: "1", count: 39)
    #expect(throws: DecodingError.self) { try field(tooLong, as: Decimal.self) }
    #expect(throws: DecodingError.self) { try field("1e300", as: Decimal.self) }
    #expect(try field(tooLong, as: String.self) == tooLong)
    #expect(try field("1.230", as: String.self) == "1.230")
  }

  @Test("Floating-point numbers are the nearest ones, and have names for what JSON has no number for")
  func floats() throws {
    for text in [
      "0.1", "1e22", "1e23", "123456789012345678", "5e-324", "1.7976931348623157e308",
      "2.2250738585072014e-308",
    ] {
      #expect(try field(text, as: Double.self) == Double(text))
    }
    #expect(try field("-0.0", as: Double.self).sign == .minus)
    #expect(try field("16777217.0000001", as: Float.self) == Float("16777217.0000001"))
    #expect(try field(#""NaN""#, as: Double.self).isNaN)
    #expect(try field(#""-Infinity""#, as: Float.self) == -.infinity)
    #expect(throws: DecodingError.self) { try field("1e309", as: Double.self) }
    #expect(throws: DecodingError.self) { try field(#""1""#, as: Double.self) }
  }

  @Test("Strings with escapes, surrogate pairs and other scripts are decoded")
  func strings() throws {
    #expect(
      try field(#""a\"\\\/\b\f\n\r\t\u00e9\uD83D\uDE00é😀\u0000""#, as: String.self)
        == "a\"\\/\u{8}\u{c}\n\r\té😀é😀\0"
    )
    #expect(try decode(#"{"\u0061b": 1}"#, as: [String: Int].self) == ["ab": 1])
    struct Escaped: Decodable { var name: Int }
    #expect(try decode(#"{"na\u006de": 7}"#, as: Escaped.self).name == 7)
    for half in [#""\ud83d""#, #""\ude00""#, #""\ud83d\u0041""#, #""\ud83dx""#] {
      #expect(throws: DecodingError.self) { try field(half, as: String.self) }
    }
    let broken = Image(bytes: RecordBytes(Array(#"{"value":"#.utf8) + [0x22, 0xff, 0x22, 0x7d]))
    #expect(throws: DecodingError.self) { try broken.decode(as: [String: String].self) }
  }

  @Test(
    "Bytes that are no UTF-8 are an error for the caller that decodes them, be they a name, and are escapes in the text"
  )
  func invalidBytes() throws {
    func image(_ bytes: [UInt8]) -> Image {
      Image(
        bytes: RecordBytes(
          Array(#"{"a":"é😀","b":"x"#.utf8) + bytes + Array(#"","c":{"k"#.utf8) + bytes + Array("\":7}}".utf8)
        )
      )
    }
    struct Good: Decodable { var a: String }
    struct Bad: Decodable { var b: String }
    struct Names: Decodable { var c: [String: Int] }
    for (bytes, escape) in [
      ([0xe9], #"\udce9"#), ([0xff, 0xc9, 0xff, 0xa1], #"\udcff\udcc9\udcff\udca1"#),
      ([0xe2, 0x82], #"\udce2\udc82"#),
      ([0xc0, 0x80], #"\udcc0\udc80"#), ([0xed, 0xb3, 0xa9], #"\udced\udcb3\udca9"#),
    ] as [([UInt8], String)] {
      let image = image(bytes)
      #expect(image.description == #"{"a":"é😀","b":"x\#(escape)","c":{"k\#(escape)":7}}"#)
      #expect(try image.decode(as: Good.self).a == "é😀")
      #expect(throws: DecodingError.self) { try image.decode(as: Bad.self) }
      #expect(throws: DecodingError.self) { try image.decode(as: Names.self) }
      #expect(throws: DecodingError.self) { try image.attributeValues() }
      // What was written once is as little a text as before.
      #expect(throws: DecodingError.self) { try Image(image.description).decode(as: Bad.self) }
      #expect(throws: DecodingError.self) { try Image(image.description).decode(as: Names.self) }
    }
    #expect(try image([0xc3, 0xa9]).decode(as: Names.self).c == ["ké": 7])
  }

  @Test(
    "Timestamps are decoded from every form that PostgreSQL writes, in UTC where no zone is named",
    arguments: [
      ("1970-01-01T00:00:00+00:00", 0), ("2026-11-24T14:43:10.123456+00:00", 1_795_531_390_123_456),
      ("2026-11-24T14:43:10.5", 1_795_531_390_500_000), ("2026-11-24", 1_795_478_400_000_000),
      ("2026-11-24 14:43:10+02", 1_795_524_190_000_000),
      ("1900-02-28T23:59:59-00:30", -2_203_891_201_000_000 + 1_800_000_000),
      ("0001-01-01", -62_135_596_800_000_000), ("0001-01-01 BC", -62_167_219_200_000_000),
      ("0044-03-15T12:00:00 BC", -63_517_780_800_000_000), ("infinity", .max), ("-infinity", .min),
    ] as [(String, Int64)]
  )
  func timestamps(text: String, microseconds: Int64) throws {
    #expect(try field("\"\(text)\"", as: Timestamp.self).microsecondsSinceEpoch == microseconds)
    let date = try field("\"\(text)\"", as: Date.self)
    let expected: Date =
      switch microseconds {
      case .max: .distantFuture
      case .min: .distantPast
      default: Date(timeIntervalSince1970: Double(microseconds) / 1e6)
      }
    #expect(date == expected)
  }

  @Test(
    "What is no timestamp is refused",
    arguments: [
      "", "now", "2026-13-01", "2026-02-29", "2026-11-24T", "2026-11-24T14:43", "2026-11-24X",
      "2026-11-24T25:00:00",
      "99999999-01-01", "2026-11-24T14:43:10.+00",
    ]
  )
  func badTimestamps(text: String) {
    #expect(throws: DecodingError.self) { try field("\"\(text)\"", as: Date.self) }
    #expect(throws: DecodingError.self) { try field("0", as: Date.self) }
  }

  @Test("bytea is decoded to bytes, and other text is refused")
  func bytea() throws {
    #expect(try field(#""\\x00fFa1""#, as: Data.self) == Data([0, 255, 161]))
    #expect(try field(#""\\x""#, as: [UInt8].self) == [])
    #expect(try field("[1, 2]", as: [UInt8].self) == [1, 2])
    for json in [#""AAEC""#, #""\\x0""#, #""\\x0g""#, "1"] {
      #expect(throws: DecodingError.self) { try field(json, as: Data.self) }
    }
  }

  @Test("UUIDs, URLs, arrays of optionals and dictionaries of arrays are decoded")
  func otherTypes() throws {
    let id = UUID()
    #expect(try field("\"\(id)\"", as: UUID.self) == id)
    #expect(try field(#""https://example.com/a?b""#, as: URL.self) == URL(string: "https://example.com/a?b"))
    #expect(try field("[1, null, 3]", as: [Int?].self) == [1, nil, 3])
    #expect(try field(#"{"a": [[], [1]]}"#, as: [String: [[Int]]].self) == ["a": [[], [1]]])
    #expect(try decode("{}", as: [String: Int].self).isEmpty)
  }

  @Test("An error names the path to what does not fit")
  func errorPaths() {
    let error = #expect(throws: DecodingError.self) {
      try decode(
        #"{"id": 1, "status": "OPEN", "paid": true, "rate": 1, "lines": [{"product": "x", "price": 1}, {"product": 5.5, "price": "x"}], "tags": {}}"#,
        as: Order.self
      )
    }
    #expect(error.map(path) == ["lines", "Index 1", "price"])
    let missing = #expect(throws: DecodingError.self) { try decode(#"{"id": 1}"#, as: Order.self) }
    #expect(missing.map { "\($0)" }?.contains("status") == true)
    let null = #expect(throws: DecodingError.self) { try decode(#"{"value": null}"#, as: [String: Int].self) }
    #expect(null.map(path) == ["value"])
  }

  private func path(_ error: DecodingError) -> [String] {
    switch error {
    case .typeMismatch(_, let context), .valueNotFound(_, let context), .keyNotFound(_, let context),
      .dataCorrupted(let context):
      context.codingPath.map(\.stringValue)
    @unknown default: []
    }
  }

  @Test(
    "Malformed JSON is refused with the byte and the path where it goes wrong",
    arguments: [
      ("", 0, []), ("{", 1, []), ("{} x", 3, []), (#"{"a" 1}"#, 5, ["a"]), (#"{"a":1,}"#, 7, []),
      (#"{"a":{"b":[1,2,x]}}"#, 15, ["a", "b", "Index 2"]), (#"{"a":[1,2}"#, 9, ["a", "Index 2"]),
      (#"{"a":01}"#, 6, []), (#"{"a":1.}"#, 7, ["a"]), (#"{"a":-}"#, 6, ["a"]), (#"{"a":1e+}"#, 8, ["a"]),
      (#"{"a":"b"#, 7, ["a"]), (#"{"a":"\x"}"#, 7, ["a"]), (#"{"a":"\u12g4"}"#, 10, ["a"]),
      ("{\"a\":\"\n\"}", 6, ["a"]),
      (#"{"a":tru}"#, 8, ["a"]), (#"{a:1}"#, 1, []), ("[1 2]", 3, []), ("nul", 3, []),
    ] as [(String, Int, [String])]
  )
  func malformed(json: String, offset: Int, path expected: [String]) {
    let error = #expect(throws: DecodingError.self) { try decode(json, as: [String: Int].self) }
    guard case .dataCorrupted(let context) = error else {
      Issue.record("\(json) gave \(String(describing: error))")
      return
    }
    #expect(context.debugDescription.contains("at byte \(offset):"), "\(json): \(context.debugDescription)")
    #expect(context.codingPath.map(\.stringValue).prefix(expected.count) == expected[...], "\(json)")
  }

  @Test("Nesting is bounded: 512 levels are read, one more is refused, and a million do not crash")
  func depth() throws {
    func nested(_ depth: Int) -> Image {
      Image(String(repeating: "[", count: depth) + String(repeating: "]", count: depth))
    }
    struct Ignored: Decodable {
      init(from decoder: any Decoder) throws { _ = try decoder.unkeyedContainer() }
    }
    #expect(throws: Never.self) { try nested(512).decode(as: Ignored.self) }
    for depth in [513, 1_000_000] {
      let error = #expect(throws: DecodingError.self) { try nested(depth).decode(as: Ignored.self) }
      #expect(error.map { "\($0)" }?.contains("512") == true)
    }
  }

  @Test("allKeys, contains, nested containers and super decoders work as Codable has them")
  func containers() throws {
    struct Shape: Decodable {
      enum Key: String, CodingKey { case a, b, c, missing }
      var description: String
      init(from decoder: any Decoder) throws {
        let object = try decoder.container(keyedBy: Key.self)
        var list = try object.nestedUnkeyedContainer(forKey: .b)
        let inner = try list.nestedContainer(keyedBy: Key.self)
        let first = try inner.decode(Int.self, forKey: .a)
        let isNull = try list.decodeNil()
        let last = try list.decode(String.self)
        let sup = try object.superDecoder(forKey: .c).singleValueContainer().decode(Bool.self)
        description =
          "\(object.allKeys.map(\.rawValue)) \(object.contains(.missing)) \(first) \(isNull) \(last) \(list.isAtEnd) \(list.count ?? -1) \(sup)"
        #expect(throws: DecodingError.self) { try list.decode(Int.self) }
      }
    }
    let shape = try decode(#"{"a": 1, "other": 2, "b": [{"a": 5}, null, "x"], "c": true}"#, as: Shape.self)
    #expect(shape.description == #"["a", "b", "c"] false 5 true x true 3 true"#)
  }

  @Test("An absent image is nil, and keys are decoded")
  func changes() throws {
    let change = Change(
      eventName: .remove,
      keys: Image(#"{"id": 7}"#),
      oldImage: Image(#"{"id": 7, "name": "x"}"#)
    )
    struct Item: Decodable, Equatable { var id: Int; var name: String? }
    #expect(try change.newImage(as: Item.self) == nil)
    #expect(try change.oldImage(as: Item.self) == Item(id: 7, name: "x"))
    #expect(try change.keys(as: Item.self) == Item(id: 7))
  }
}
