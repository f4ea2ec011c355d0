import CLibPQ

/// Owns a `PGconn` and its socket.
///
/// `@unchecked Sendable`: the connecting thread uses it alone until it hands it over; from then on it is used
/// on the event loop's thread only, and its end is sent there, too.
final class ConnectionHandle: @unchecked Sendable {
  private var connection: OpaquePointer?
  private var watch: SocketWatch?
  private let loop: EventLoop
  /// The server's warning that it leaves changes out of a replication, as ``watchForOmission()`` noted it.
  private(set) var omission: PQError?

  init(_ connection: OpaquePointer, loop: EventLoop) {
    self.connection = connection
    self.loop = loop
  }

  deinit {
    guard let connection else { return }
    let remains = Remains(connection: connection, watch: watch)
    // The loop may be polling the socket at this moment, and its number may be given to another connection
    // as soon as it is closed: forget it first, on the loop.
    loop.execute { [loop] in
      if let watch = remains.watch { loop.remove(watch) }
      PQfinish(remains.connection)
    }
  }

  /// - Throws: ``PQError/Code/closed`` after ``finish()``.
  func get() throws -> OpaquePointer {
    guard let connection else { throw PQError.closed }
    return connection
  }

  /// Whether a transaction is open, as libpq knows it from the server's last message.
  var transactionStatus: PGTransactionStatusType {
    connection.map { PQtransactionStatus($0) } ?? PQTRANS_UNKNOWN
  }

  /// Where a publication is missing, servers since version 18 warn and go on without its changes. Those before end the
  /// session with an error, whose SQLSTATE the warning gets.
  func watchForOmission() throws {
    PQsetNoticeReceiver(
      try get(),
      { handle, notice in
        func field(_ code: Unicode.Scalar) -> String? {
          PQresultErrorField(notice, Int32(code.value)).map { String(cString: $0) }
        }
        guard let handle, field("C") == "55000" else { return }
        Unmanaged<ConnectionHandle>.fromOpaque(handle).takeUnretainedValue().omission =
          PQError(.server, field("M") ?? "", sqlState: "42704", detail: field("D"), hint: field("H"))
      },
      Unmanaged.passUnretained(self).toOpaque()
    )
  }

  func startWatching(_ watch: SocketWatch) {
    self.watch = watch
    loop.add(watch)
  }

  /// A lost connection's socket stays readable for ever: polling it would spin.
  func stopWatching() {
    if let watch { loop.remove(watch) }
    watch = nil
  }

  func finish() {
    stopWatching()
    guard let connection else { return }
    self.connection = nil
    PQfinish(connection)
  }

  /// `@unchecked Sendable`: the last owner hands it to the loop and is gone.
  private struct Remains: @unchecked Sendable {
    var connection: OpaquePointer
    var watch: SocketWatch?
  }
}
