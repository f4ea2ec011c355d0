import Foundation
import Tidemark

/// The columns of one row as `pgoutput` sends them, in a buffer that serves row after row.
struct TupleFields {
  enum Field: Equatable {
    case null
    /// A large value that the statement did not touch, and that the server has not read for this.
    case unchanged
    case text(UnsafeRawBufferPointer)

    static func == (left: Field, right: Field) -> Bool {
      switch (left, right) {
      case (.null, .null), (.unchanged, .unchanged): true
      case (.text(let left), .text(let right)):
        left.count == right.count && left.isSame(as: right)
      default: false
      }
    }
  }

  private(set) var fields: [Field] = []

  mutating func read(_ reader: inout MessageReader) throws {
    fields.removeAll(keepingCapacity: true)
    for _ in 0..<(try reader.integer(UInt16.self)) {
      switch try reader.integer(UInt8.self) {
      case UInt8(ascii: "n"): fields.append(.null)
      case UInt8(ascii: "u"): fields.append(.unchanged)
      case UInt8(ascii: "t"): fields.append(.text(try reader.take(Int(try reader.integer(Int32.self)))))
      case let kind: throw TidemarkError.undecodable("a column of the unknown kind \(kind)")
      }
    }
  }

  /// Puts the old row's values where the new one has them unchanged.
  mutating func takeUnchanged(from old: TupleFields) throws {
    for index in fields.indices where fields[index] == .unchanged {
      guard index < old.fields.count, old.fields[index] != .unchanged else {
        throw TidemarkError.undecodable("an unchanged value that the old row does not have")
      }
      fields[index] = old.fields[index]
    }
  }
}

extension UnsafeRawBufferPointer {
  /// - Parameter other: a buffer of the same length.
  fileprivate func isSame(as other: UnsafeRawBufferPointer) -> Bool {
    // An empty buffer may have no address, and memcmp takes none.
    guard let left = baseAddress, let right = other.baseAddress else { return true }
    return memcmp(left, right, count) == 0
  }
}
