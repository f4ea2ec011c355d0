/// A value, or an object's key, of a parsed ``JSONDocument``.
struct JSONNode {
  enum Kind: UInt8 {
    case null, yes, no, number, string, escapedString, array, object
    /// A string that stands for bytes, with or without escapes; only in DynamoDB's encoding.
    case base64
  }

  var kind: Kind
  /// Where its text lies: of a string, what is between the quotes.
  var start: Int32
  var end: Int32
  /// The node after this and all that it holds; 0 while an array or object is not closed.
  var next: Int32
}

/// The way from a document to a value in it. Most are made and never looked at, so a step allocates only where
/// something is nested.
struct JSONPath: Sendable {
  /// The way to an array or object.
  final class Container: Sendable {
    let path: JSONPath
    init(_ path: JSONPath) { self.path = path }
  }

  static let root = JSONPath(parent: nil, key: nil)

  private let parent: Container?
  private let key: (any CodingKey)?

  private init(parent: Container?, key: (any CodingKey)?) {
    self.parent = parent
    self.key = key
  }

  init(_ container: Container?, _ key: any CodingKey) {
    self.init(parent: container, key: key)
  }

  /// This, as the way to what has values in it; `nil` for the document itself.
  var container: Container? { key == nil ? nil : Container(self) }

  var keys: [any CodingKey] {
    guard let key else { return [] }
    return (parent?.path.keys ?? []) + [key]
  }
}

/// A key that has no type of its own: an element's number, or a name from the document.
struct JSONKey: CodingKey, Sendable {
  var stringValue: String
  var intValue: Int?

  init(_ name: String) { stringValue = name }
  init(index: Int) { (stringValue, intValue) = ("Index \(index)", index) }
  init?(stringValue: String) { self.init(stringValue) }
  init?(intValue: Int) { self.init(index: intValue) }
}
