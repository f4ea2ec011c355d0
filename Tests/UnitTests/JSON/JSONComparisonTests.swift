import Foundation
import Testing
import Tidemark

@Suite("Decoding like Foundation does")
struct JSONComparisonTests {
  /// Any JSON value whose numbers Foundation can represent, too.
  private indirect enum Value: Codable, Equatable {
    case null
    case bool(Bool)
    case integer(Int64)
    case double(Double)
    case string(String)
    case array([Value])
    case object([String: Value])

    init(from decoder: any Decoder) throws {
      let value = try decoder.singleValueContainer()
      if value.decodeNil() {
        self = .null
      } else if let bool = try? value.decode(Bool.self) {
        self = .bool(bool)
      } else if let number = try? value.decode(Int64.self) {
        self = .integer(number)
      } else if let number = try? value.decode(Double.self) {
        self = .double(number)
      } else if let array = try? value.decode([Value].self) {
        self = .array(array)
      } else if let object = try? value.decode([String: Value].self) {
        self = .object(object)
      } else {
        self = .string(try value.decode(String.self))
      }
    }

    func encode(to encoder: any Encoder) throws {
      var container = encoder.singleValueContainer()
      switch self {
      case .null: try container.encodeNil()
      case .bool(let value): try container.encode(value)
      case .integer(let value): try container.encode(value)
      case .double(let value): try container.encode(value)
      case .string(let value): try container.encode(value)
      case .array(let value): try container.encode(value)
      case .object(let value): try container.encode(value)
      }
    }

    static func random(depth: Int, using random: inout some RandomNumberGenerator) -> Value {
      switch Int.random(in: 0..<(depth > 0 ? 8 : 6), using: &random) {
      case 0: .null
      case 1: .bool(.random(using: &random))
      case 2: .integer(.random(in: .min ... .max, using: &random))
      case 3: .integer(.random(in: -9...9, using: &random))
      case 4: .double(randomDouble(using: &random))
      case 5: .string(text(using: &random))
      case 6:
        .array(
          (0..<Int.random(in: 0...4, using: &random)).map { _ in self.random(depth: depth - 1, using: &random)
          }
        )
      default:
        .object(
          Dictionary(
            (0..<Int.random(in: 0...4, using: &random)).map { _ in
              (text(using: &random), self.random(depth: depth - 1, using: &random))
            },
            uniquingKeysWith: { first, _ in first }
          )
        )
      }
    }

    private static func randomDouble(using random: inout some RandomNumberGenerator) -> Double {
      let value = Double(bitPattern: .random(in: .min ... .max, using: &random))
      // A whole number would be an integer for one and none for the other, by how it is spelled.
      return value.isFinite && value != value.rounded() ? value : 0.5
    }

    private static func text(using random: inout some RandomNumberGenerator) -> String {
      let characters = Array("ab\"\\/\n\t\u{1}é😀\u{2028}NaInfiy{}[],:0 ")
      return String(
        (0..<Int.random(in: 0...9, using: &random)).map { _ in characters.randomElement(using: &random) ?? "x"
        }
      )
    }
  }

  @Test("Random documents are decoded to the same values, and cut short they are refused by both")
  func randomDocuments() throws {
    var random = SystemRandomNumberGenerator()
    for _ in 0..<500 {
      let document = Value.array([Value.random(depth: 5, using: &random)])
      let encoder = JSONEncoder()
      if Bool.random() { encoder.outputFormatting = [.prettyPrinted, .withoutEscapingSlashes] }
      let data = try encoder.encode(document)
      let text = String(decoding: data, as: UTF8.self)
      #expect(try Image(bytes: RecordBytes(data)).decode(as: Value.self) == document, "\(text)")
      #expect(try JSONDecoder().decode(Value.self, from: data) == document, "\(text)")
      let prefix = data.prefix(Int.random(in: 0..<data.count))
      #expect(throws: DecodingError.self) { try Image(bytes: RecordBytes(prefix)).decode(as: Value.self) }
    }
  }

  @Test("What random bytes make of a document never crashes")
  func randomBytes() throws {
    let seed = Array(#"{"a":[1,-2.5e3,"x\u00e9\n",true,null,{"b":{}}],"c":"2026-11-24"}"#.utf8)
    for _ in 0..<5000 {
      var bytes = seed
      for _ in 0..<Int.random(in: 1...4) { bytes[Int.random(in: bytes.indices)] = .random(in: 0...255) }
      let ours = (try? Image(bytes: RecordBytes(bytes)).attributeValues()) != nil
      let theirs = try? JSONDecoder().decode([String: Value].self, from: Data(bytes))
      // Foundation is stricter only about what it does with the values. Those of a repeated key it does not look at.
      if theirs?.count == 2 { #expect(ours, "\(String(decoding: bytes, as: UTF8.self))") }
    }
  }
}
