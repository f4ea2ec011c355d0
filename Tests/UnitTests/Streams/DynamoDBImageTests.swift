import Foundation
import Testing
import Tidemark

@Suite("Images in DynamoDB's encoding")
struct DynamoDBImageTests {
  private struct Order: Codable, Equatable {
    struct Line: Codable, Equatable {
      var product: String
      var price: Decimal
    }

    var id: Int64
    var name: String
    var note: String?
    var paid: Bool
    var placed: Timestamp
    var photo: Data
    var tags: Set<String>
    var ratings: [Double]
    var thumbnails: [[UInt8]]
    var lines: [Line]
    var counts: [String: Int?]
  }

  private func field<Value: Decodable>(_ json: String, as type: Value.Type = Value.self) throws -> Value {
    let image = Image(#"{"value": \#(json)}"#, encoding: .dynamoDB)
    return try #require(try image.decode(as: [String: Value].self)["value"])
  }

  @Test("The type that decodes from columns decodes from attributes")
  func sameType() throws {
    let attributes = Image(
      #"""
      {"id": {"N": "9223372036854775807"}, "name": {"S": "Zo\u00eb"}, "note": {"NULL": true}, "paid": {"BOOL": true},
       "placed": {"S": "2026-06-01T12:00:00Z"}, "photo": {"B": "AAH\/"}, "tags": {"SS": ["a", "b"]},
       "ratings": {"NS": ["0.1", "-2E+1"]}, "thumbnails": {"BS": ["", "Bw=="]},
       "lines": {"L": [{"M": {"product": {"S": "x"}, "price": {"N": "12.50"}}}]},
       "counts": {"M": {"a": {"N": "1"}, "b": {"NULL": true}}}}
      """#,
      encoding: .dynamoDB
    )
    let columns = Image(
      #"""
      {"id": 9223372036854775807, "name": "Zo\u00eb", "note": null, "paid": true,
       "placed": "2026-06-01T12:00:00Z", "photo": "\\x0001ff", "tags": ["a", "b"],
       "ratings": [0.1, -2E+1], "thumbnails": ["\\x", "\\x07"],
       "lines": [{"product": "x", "price": 12.50}], "counts": {"a": 1, "b": null}}
      """#
    )
    let order = try attributes.decode(as: Order.self)
    #expect(try order == columns.decode())
    #expect(order.ratings == [0.1, -20] && order.photo == Data([0, 1, 255]) && order.lines[0].price == 12.5)
    #expect(order.counts == ["a": 1, "b": nil])
  }

  @Test("Numbers keep all their digits, up to the 38 that DynamoDB has")
  func numbers() throws {
    let digits = "99999999999999999999999999999999999999"
    #expect(try field(#"{"N":"\#(digits)"}"#, as: Decimal.self) == Decimal(string: digits))
    #expect(try field(#"{"N":"-\#(digits)"}"#, as: Int128.self) == Int128("-" + digits))
    #expect(try field(#"{"N":"1.230"}"#, as: String.self) == "1.230")
    #expect(try field(#"{"N":"1E-130"}"#, as: Double.self) == 1e-130)
    #expect(throws: DecodingError.self) { try field(#"{"N":"1.5"}"#, as: Int.self) }
  }

  @Test(
    "Text that is no number decodes as none",
    arguments: ["", "-", "1.", ".5", "1e", "0x1", "1 ", "NaN", "--1", "1.2.3", "+1"]
  )
  func noNumbers(text: String) {
    #expect(throws: DecodingError.self) { try field(#"{"N":"\#(text)"}"#, as: Double.self) }
  }

  @Test("Text is never a number, nor a number a truth value")
  func types() {
    #expect(throws: DecodingError.self) { try field(#"{"S":"1"}"#, as: Int.self) }
    #expect(throws: DecodingError.self) { try field(#"{"N":"1"}"#, as: Bool.self) }
    #expect(throws: DecodingError.self) { try field(#"{"B":"not base64"}"#, as: Data.self) }
  }

  @Test(
    "What is no attribute value harms only a caller that asks for it",
    arguments: [
      #"{"X":{"N":"1"}}"#, "{}", #"{"S":"1","N":"1"}"#, #"[{"N":"1"}]"#, #"{"M":[]}"#,
      #"{"L":{}}"#,
    ]
  )
  func unknown(json: String) throws {
    struct Key: Decodable { var id: Int }
    struct Value: Decodable { var other: String }
    let image = Image(#"{"other": \#(json), "id": {"N":"7"}}"#, encoding: .dynamoDB)
    #expect(try image.decode(as: Key.self).id == 7)
    #expect(throws: DecodingError.self) { try image.decode(as: Value.self) }
    #expect(throws: DecodingError.self) { try image.attributeValues() }
  }

  @Test("Attribute values are those that were sent, sets included")
  func attributeValues() throws {
    let image = Image(#"{"a":{"NS":["1","2.50"]},"b":{"B":"AQ=="},"M":{"M":{}}}"#, encoding: .dynamoDB)
    #expect(try image.attributeValues() == ["a": .ns(["1", "2.50"]), "b": .b([1]), "M": .m([:])])
    #expect(image.description.hasPrefix(#"{"a":{"NS""#))
  }

  @Test("An error names the way to the value")
  func path() throws {
    struct Document: Decodable {
      struct Line: Decodable { var price: Int }
      var lines: [Line]
    }
    let image = Image(
      #"{"lines":{"L":[{"M":{"price":{"N":"1"}}},{"M":{"price":{"S":"x"}}}]}}"#,
      encoding: .dynamoDB
    )
    let error = try #require(throws: DecodingError.self) { try image.decode(as: Document.self) }
    guard case .typeMismatch(_, let context) = error else { throw error }
    #expect(context.codingPath.map(\.stringValue) == ["lines", "Index 1", "price"])
  }

  @Test("What is no object, or no JSON, is refused", arguments: ["[]", "7", #"{"a":{"N":"1"}"#, ""])
  func malformed(json: String) {
    let image = Image(json, encoding: .dynamoDB)
    #expect(throws: DecodingError.self) { try image.decode(as: [String: Int].self) }
    #expect(throws: DecodingError.self) { try image.attributeValues() }
  }
}
