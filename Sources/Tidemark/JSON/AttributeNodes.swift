/// Takes the types off DynamoDB's JSON: `{"id": {"N": "7"}}` becomes the nodes of `{"id": 7}` over the same bytes, so that
/// what decodes a column decodes an attribute.
///
/// What is no attribute value stays as it is. It is an error only for a caller that asks for it, so that a new type of
/// value breaks none that does not.
struct AttributeNodes {
  private let source: [JSONNode]
  private let bytes: UnsafeRawBufferPointer
  private var nodes: [JSONNode] = []

  /// - Parameter source: a document whose own object maps names to attribute values.
  static func unwrap(_ source: [JSONNode], in bytes: UnsafeRawBufferPointer) -> [JSONNode] {
    var unwrapping = AttributeNodes(source: source, bytes: bytes)
    unwrapping.nodes.reserveCapacity(source.count / 2 + 1)
    if source[0].kind == .object { unwrapping.addMap(0) } else { unwrapping.addUnchanged(0) }
    return unwrapping.nodes
  }

  private init(source: [JSONNode], bytes: UnsafeRawBufferPointer) {
    (self.source, self.bytes) = (source, bytes)
  }

  private mutating func addMap(_ node: Int) {
    addContainer(node) { unwrapping, parts in
      while let key = parts.next(), let value = parts.next() {
        unwrapping.addLeaf(key)
        unwrapping.addValue(value)
      }
    }
  }

  /// - Parameter kind: what strings are instead; what is no string stays as it is.
  private mutating func addSet(_ node: Int, of kind: JSONNode.Kind) {
    addContainer(node) { unwrapping, elements in
      while let element = elements.next() {
        if unwrapping.canBe(kind, element) {
          unwrapping.addLeaf(element, kind)
        } else {
          unwrapping.addUnchanged(element)
        }
      }
    }
  }

  private mutating func addValue(_ node: Int) {
    let value = node + 2
    guard source[node].kind == .object, Int(source[node].next) > value,
      source[value].next == source[node].next
    else { return addUnchanged(node) }
    switch (type(at: node + 1), source[value].kind) {
    case ("S", .string), ("S", .escapedString), ("BOOL", .yes), ("BOOL", .no): addLeaf(value)
    case ("NULL", .yes): addLeaf(value, .null)
    case ("N", _) where canBe(.number, value): addLeaf(value, .number)
    case ("B", _) where canBe(.base64, value): addLeaf(value, .base64)
    case ("M", .object): addMap(value)
    case ("L", .array):
      addContainer(value) { unwrapping, elements in
        while let element = elements.next() { unwrapping.addValue(element) }
      }
    case ("SS", .array): addUnchanged(value)
    case ("NS", .array): addSet(value, of: .number)
    case ("BS", .array): addSet(value, of: .base64)
    default: addUnchanged(node)
    }
  }

  private func type(at key: Int) -> String {
    String(decoding: text(of: key), as: UTF8.self)
  }

  private func text(of node: Int) -> UnsafeRawBufferPointer {
    UnsafeRawBufferPointer(rebasing: bytes[Int(source[node].start)..<Int(source[node].end)])
  }

  private func canBe(_ kind: JSONNode.Kind, _ node: Int) -> Bool {
    switch source[node].kind {
    case .string: kind != .number || JSONNumber.isWellFormed(text(of: node))
    case .escapedString: kind != .number
    default: false
    }
  }

  // MARK: Nodes

  private mutating func addContainer(_ node: Int, _ body: (inout Self, inout JSONChildren) -> Void) {
    let index = nodes.count
    nodes.append(source[node])
    var children = JSONChildren(nodes: source, position: node + 1, end: Int(source[node].next))
    body(&self, &children)
    nodes[index].next = Int32(nodes.count)
  }

  private mutating func addLeaf(_ node: Int, _ kind: JSONNode.Kind? = nil) {
    var leaf = source[node]
    leaf.kind = kind ?? leaf.kind
    leaf.next = Int32(nodes.count) + 1
    nodes.append(leaf)
  }

  private mutating func addUnchanged(_ node: Int) {
    let offset = Int32(nodes.count - node)
    for var copy in source[node..<Int(source[node].next)] {
      copy.next += offset
      nodes.append(copy)
    }
  }
}
