#if AWS
import NIOCore
import Tidemark

/// The body of an answer where it was received, for records that are views over it.
///
/// `@unchecked Sendable`: the buffer's storage is retained and nobody writes to it, since the buffer was handed over whole.
final class AnswerBytes: @unchecked Sendable {
  let buffer: UnsafeRawBufferPointer
  private let storage: AnyObject

  init(_ body: ByteBuffer) {
    // https://swiftpackageindex.com/apple/swift-nio/documentation/niocore/bytebuffer/withunsafereadablebyteswithstoragemanagement(_:)
    (buffer, storage) = body.withUnsafeReadableBytesWithStorageManagement {
      ($0, $1.takeUnretainedValue())
    }
  }

  func text(_ range: Range<Int>) -> String { String(decoding: buffer[range], as: UTF8.self) }

  func bytes(_ range: Range<Int>) -> RecordBytes {
    RecordBytes(UnsafeRawBufferPointer(rebasing: buffer[range]), of: self)
  }
}
#endif
