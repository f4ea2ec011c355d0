import LibPQ

/// Where a capture's place and records are kept, and where its changes come from.
package protocol CaptureStore: Sendable {
  /// - Returns: nil when the stream is not enabled, or not captured by decoding.
  func state() async throws -> CaptureState?

  /// Begins to stream what the slot has.
  func open(_ state: CaptureState, slot: String) async throws -> any CaptureFeed

  /// How values of these types are written.
  func formats(of types: [UInt32]) async throws -> [UInt32: JSONFormat]

  /// Appends the batch to the log and moves the place from `start` to `end`, in one transaction; without records only
  /// the place.
  ///
  /// - Returns: false, having done nothing, if the log is not at `start`, or how far the capture may go is not what
  ///   `state` says.
  func append(
    _ batch: CapturedBatch,
    from start: CapturePosition,
    to end: CapturePosition,
    _ state: CaptureState
  ) async throws -> Bool

  /// Ends the stream, whose changes cannot be captured any further.
  func end(because reason: String) async throws

  /// Ends the stream if changes of its table are lost.
  ///
  /// - Returns: why; nil if all is well.
  func endIfLost() async throws -> String?
}

/// The changes of a slot, as they come.
package protocol CaptureFeed: Sendable {
  /// Waits for messages.
  func receive() async throws -> PQReplicationChunk
  /// Lets the server forget everything before this place.
  func confirm(_ place: PQLSN) async throws
  func close() async
}

extension PQReplication: CaptureFeed {}
