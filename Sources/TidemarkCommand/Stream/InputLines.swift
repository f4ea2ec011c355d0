import Dispatch
import Foundation
import Waiting

/// The lines of standard input without their ends, in portions as they arrive.
/// Nothing is read ahead of demand.
struct InputLines: AsyncSequence {
  struct AsyncIterator: AsyncIteratorProtocol {
    private var unfinished: [UInt8] = []
    private var isAtEnd = false

    mutating func next() async throws -> [[UInt8]]? {
      while !isAtEnd {
        let bytes = try await InputRead.bytes()
        isAtEnd = bytes.isEmpty
        let lines = take(bytes)
        if !lines.isEmpty { return lines }
      }
      return nil
    }

    private mutating func take(_ bytes: [UInt8]) -> [[UInt8]] {
      unfinished += bytes
      var lines = unfinished.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
      // What follows the last line's end, or the whole of it, is a line only when nothing follows.
      let last = lines.removeLast()
      if isAtEnd, !last.isEmpty { lines.append(last) }
      unfinished = isAtEnd ? [] : Array(last)
      return lines.map { $0.last == UInt8(ascii: "\r") ? Array($0.dropLast()) : Array($0) }
    }
  }

  func makeAsyncIterator() -> AsyncIterator { AsyncIterator() }
}

/// One read of standard input that a cancelled task need not wait for: the thread that is in `read` then
/// stays there until the process ends.
private enum InputRead {
  private static let portion = 65_536

  /// - Returns: nothing at the end of standard input.
  static func bytes() async throws -> [UInt8] {
    try Task.checkCancellation()
    let answer = OneShot<Result<[UInt8], any Error>>()
    DispatchQueue.global().async { answer.fire(Self.read()) }
    guard let result = await answer.wait() else { throw CancellationError() }
    return try result.get()
  }

  private static func read() -> Result<[UInt8], any Error> {
    var error: Int32 = 0
    let bytes = [UInt8](unsafeUninitializedCapacity: portion) { buffer, count in
      let result = Foundation.read(STDIN_FILENO, buffer.baseAddress, portion)
      if result < 0 { error = errno }
      count = max(0, result)
    }
    if error == 0 { return .success(bytes) }
    return .failure(CommandFailure("Cannot read standard input: \(String(cString: strerror(error)))."))
  }
}
