/// What `NOTIFY` sent.
public struct PQNotification: Sendable, Hashable {
  public var channel: String
  public var payload: String
  /// The server process that sent it.
  public var processID: Int32

  public init(channel: String, payload: String, processID: Int32) {
    self.channel = channel
    self.payload = payload
    self.processID = processID
  }
}
