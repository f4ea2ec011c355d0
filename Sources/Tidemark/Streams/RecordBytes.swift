/// Bytes where their source received them: nothing is copied until somebody asks for a copy, with
/// `Array(bytes)` or `String(decoding: bytes, as: UTF8.self)`.
///
/// They keep alive what they are part of, usually a page of records. If you keep a few of many for long, copy them.
///
/// `@unchecked Sendable`: the bytes are never changed while their owner lives, and this keeps it alive.
public struct RecordBytes: @unchecked Sendable {
  private let owner: (any AnyObject & Sendable)?
  private let buffer: UnsafeRawBufferPointer

  /// Bytes of `owner`'s, which must leave them as and where they are for as long as it lives.
  public init(_ buffer: UnsafeRawBufferPointer, of owner: any AnyObject & Sendable) {
    self.init(owner, buffer)
  }

  private init(_ owner: (any AnyObject & Sendable)?, _ buffer: UnsafeRawBufferPointer) {
    self.owner = owner
    self.buffer = buffer
  }

  /// A copy of some bytes.
  public init(_ bytes: some Sequence<UInt8>) {
    let copy = CopiedBytes(Array(bytes))
    self.init(UnsafeRawBufferPointer(copy.buffer), of: copy)
  }

  /// Some of the bytes, where they are.
  package func view(of range: Range<Int>) -> RecordBytes {
    RecordBytes(owner, UnsafeRawBufferPointer(rebasing: buffer[range]))
  }

  /// Calls `body` with the bytes, which are valid during the call.
  public func withUnsafeBytes<R, E: Error>(
    _ body: (UnsafeRawBufferPointer) throws(E) -> R
  ) throws(E) -> R {
    try withExtendedLifetime(owner) { () throws(E) in try body(buffer) }
  }
}

/// `@unchecked Sendable`: nobody writes to the buffer once it is filled, and it is freed with the last view.
private final class CopiedBytes: @unchecked Sendable {
  let buffer: UnsafeMutableRawBufferPointer

  init(_ bytes: [UInt8]) {
    buffer = .allocate(byteCount: bytes.count, alignment: 1)
    buffer.copyBytes(from: bytes)
  }

  deinit { buffer.deallocate() }
}

extension RecordBytes: RandomAccessCollection {
  public var startIndex: Int { 0 }
  public var endIndex: Int { buffer.count }

  public subscript(position: Int) -> UInt8 {
    // Raw memory has no bounds check of its own in a release build; a range has.
    let position = indices[position]
    return withUnsafeBytes { $0[position] }
  }

  public func withContiguousStorageIfAvailable<R>(
    _ body: (UnsafeBufferPointer<UInt8>) throws -> R
  ) rethrows -> R? {
    try withUnsafeBytes { try $0.withMemoryRebound(to: UInt8.self, body) }
  }
}

extension RecordBytes: Hashable {
  public static func == (left: Self, right: Self) -> Bool { left.elementsEqual(right) }

  public func hash(into hasher: inout Hasher) {
    withUnsafeBytes { hasher.combine(bytes: $0) }
  }
}

extension RecordBytes: ExpressibleByArrayLiteral {
  public init(arrayLiteral elements: UInt8...) {
    self.init(elements)
  }
}
