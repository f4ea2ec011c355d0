import Foundation
import Testing
import Tidemark

@Suite("Attribute values")
struct AttributeValueTests {
  /// In the spelling that DynamoDB has.
  private static let cases: [(AttributeValue, String)] = [
    (.s("a\"\u{1}\né"), #"{"S":"a\"\u0001\né"}"#),
    (
      .n("-12345678901234567890123456789012345678.90"), #"{"N":"-12345678901234567890123456789012345678.90"}"#
    ),
    (.b([0, 1, 255]), #"{"B":"AAH/"}"#),
    (.bool(false), #"{"BOOL":false}"#),
    (.null, #"{"NULL":true}"#),
    (.m([:]), #"{"M":{}}"#),
    (.m(["a": .n("1"), "b": .m(["c": .null])]), #"{"M":{"a":{"N":"1"},"b":{"M":{"c":{"NULL":true}}}}}"#),
    (.l([]), #"{"L":[]}"#),
    (.l([.s("x"), .l([.bool(true)])]), #"{"L":[{"S":"x"},{"L":[{"BOOL":true}]}]}"#),
    (.ss(["a", "b"]), #"{"SS":["a","b"]}"#),
    (.ns(["1", "2.50"]), #"{"NS":["1","2.50"]}"#),
    (.bs([[], [7]]), #"{"BS":["","Bw=="]}"#),
  ]

  @Test("Every type is written and read in DynamoDB's JSON", arguments: cases)
  func dynamoDBJSON(value: AttributeValue, json: String) throws {
    #expect(value.dynamoDBJSON == json)
    #expect(try AttributeValue.values(fromDynamoDBJSON: RecordBytes(#"{"v":\#(json)}"#.utf8)) == ["v": value])
    let foundation = try JSONDecoder().decode(AttributeValue.self, from: JSONEncoder().encode(value))
    #expect(foundation == value)
  }

  @Test(
    "What is no attribute value is refused",
    arguments: [#"{}"#, #"{"X":1}"#, #"{"S":"a","N":"1"}"#, #"{"N":{}}"#, #"{"B":"?"}"#, #""a""#]
  )
  func malformed(json: String) {
    #expect(throws: DecodingError.self) {
      try AttributeValue.values(fromDynamoDBJSON: RecordBytes(#"{"v":\#(json)}"#.utf8))
    }
  }

  @Test("An image's values keep their digits and their nesting")
  func image() throws {
    let image = Image(
      #"{"a":1.50,"b":"x","c":null,"d":true,"e":[1,"y"],"f":{"g":123456789012345678901234567890}}"#
    )
    #expect(
      try image.attributeValues() == [
        "a": .n("1.50"), "b": .s("x"), "c": .null, "d": .bool(true), "e": .l([.n("1"), .s("y")]),
        "f": .m(["g": .n("123456789012345678901234567890")]),
      ]
    )
    #expect(throws: DecodingError.self) { try Image("[1]").attributeValues() }
  }
}
