/// How `row_to_json` writes the values of a type, given the text that the type's output function writes.
///
/// `json.c` of PostgreSQL decides the same by the type (`json_categorize_type`), after domains.
package indirect enum JSONFormat: Sendable, Equatable {
  package struct Attribute: Sendable, Equatable {
    /// The name as JSON, with the colon that follows it.
    package var label: [UInt8]
    package var format: JSONFormat
  }

  /// Everything else: its text, quoted.
  case text
  /// A text with spaces at its end that say nothing: `char(n)`.
  case paddedText
  case bool
  /// Quoted if it is none to JSON: NaN and the infinities.
  case number
  case timestamp
  case timestampWithZone
  /// As it is.
  case json
  case array(of: JSONFormat, delimiter: UInt8)
  /// The old array types without braces, whose numbers are parted by spaces.
  case vector(of: JSONFormat)
  case composite([Attribute])

  /// The formats of PostgreSQL's own types by their fixed numbers; nil for all whose text says no more than this.
  package static func builtIn(_ type: UInt32) -> JSONFormat? {
    switch type {
    case 16: .bool
    case 20, 21, 23, 700, 701, 1700: .number
    case 1114: .timestamp
    case 1184: .timestampWithZone
    case 114, 3802: .json
    case 22: .vector(of: .number)
    case 30: .vector(of: .text)
    case 1042: .paddedText
    default: nil
    }
  }
}
