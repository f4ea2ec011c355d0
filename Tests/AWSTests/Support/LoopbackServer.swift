#if AWS
import NIOCore
import NIOHTTP1
import NIOPosix
import Synchronization

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

/// What a ``LoopbackServer`` was asked.
struct ReceivedRequest: Sendable {
  var method: String
  var uri: String
  var headers: HTTPHeaders
  var body: String
}

/// What a ``LoopbackServer`` does about a request.
struct Reply: Sendable {
  enum Delivery: Sendable {
    case whole
    /// The connection is reset in the middle of the body.
    case reset
    /// The connection is closed in the middle of the body.
    case cut
    /// Nothing ever comes.
    case silence
    /// A part of the body comes, and nothing after it.
    case stall
    /// All of it comes, but not its end.
    case open
    /// It comes again and again, as fast as it is taken.
    case endless(Pushed)
  }

  /// Counts what was pushed, and knows whether no more is taken.
  final class Pushed: Sendable {
    let state = Mutex((count: 0, isBlocked: false))
  }

  var status = HTTPResponseStatus.ok
  var headers: HTTPHeaders = [:]
  var body: ByteBuffer
  var delivery: Delivery

  init(
    status: HTTPResponseStatus = .ok,
    headers: HTTPHeaders = [:],
    body: String = "{}",
    delivery: Delivery = .whole
  ) {
    (self.status, self.headers, self.delivery) = (status, headers, delivery)
    self.body = ByteBuffer(string: body)
  }

  init(bytes: [UInt8], headers: HTTPHeaders = [:], delivery: Delivery = .whole) {
    (self.headers, self.delivery) = (headers, delivery)
    body = ByteBuffer(bytes: bytes)
  }

  static func json(_ body: String, headers: HTTPHeaders = [:]) -> Reply {
    Reply(headers: headers, body: body)
  }

  static func error(_ status: Int, _ body: String, headers: HTTPHeaders = [:]) -> Reply {
    Reply(status: .init(statusCode: status), headers: headers, body: body)
  }

  static func failing(_ type: String, status: Int = 400, message: String = "No.") -> Reply {
    error(status, #"{"__type":"com.amazonaws.dynamodb.v20120810#\#(type)","message":"\#(message)"}"#)
  }
}

/// A real HTTP server on 127.0.0.1 that answers on command, until this process ends or it is stopped.
final class LoopbackServer: Sendable {
  private let channel: any Channel
  private let log: RequestLog

  var port: Int { channel.localAddress?.port ?? 0 }
  var url: String { "http://127.0.0.1:\(port)" }
  var requests: [ReceivedRequest] { log.requests.withLock { $0 } }
  var connections: Int { log.connections.withLock { $0.count } }

  init(_ handler: @escaping @Sendable (ReceivedRequest) -> Reply) async throws {
    let log = RequestLog()
    self.log = log
    channel = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
      .childChannelInitializer { channel in
        log.connections.withLock { $0.append(channel) }
        return channel.eventLoop.makeCompletedFuture {
          try channel.pipeline.syncOperations.configureHTTPServerPipeline()
          try channel.pipeline.syncOperations.addHandler(ReplyHandler(log: log, handler: handler))
        }
      }
      .bind(host: "127.0.0.1", port: 0).get()
  }

  /// Answers with these one after the other, and then with the last again and again.
  static func replying(_ replies: Reply...) async throws -> LoopbackServer {
    let rest = Mutex(replies[...])
    return try await LoopbackServer { _ in
      rest.withLock { $0.count > 1 ? $0.removeFirst() : $0.first ?? Reply() }
    }
  }

  /// Nobody listens any more.
  func stop() async throws { try await channel.close() }

  /// Nobody listens any more, and no connection stays open.
  func close() {
    channel.close(promise: nil)
    for connection in log.connections.withLock({ $0 }) { connection.close(promise: nil) }
  }
}

private final class RequestLog: Sendable {
  let requests = Mutex<[ReceivedRequest]>([])
  let connections = Mutex<[any Channel]>([])
}

private final class ReplyHandler: ChannelInboundHandler {
  typealias InboundIn = HTTPServerRequestPart
  typealias OutboundOut = HTTPServerResponsePart

  private let log: RequestLog
  private let handler: @Sendable (ReceivedRequest) -> Reply
  private var head: HTTPRequestHead?
  private var body = ByteBuffer()
  private var endless: (part: ByteBuffer, pushed: Reply.Pushed)?

  init(log: RequestLog, handler: @escaping @Sendable (ReceivedRequest) -> Reply) {
    self.log = log
    self.handler = handler
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    switch unwrapInboundIn(data) {
    case .head(let head):
      self.head = head
      body.clear()
    case .body(var part): body.writeBuffer(&part)
    case .end: answer(context)
    }
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

  private func answer(_ context: ChannelHandlerContext) {
    guard let head else { return }
    let request = ReceivedRequest(
      method: head.method.rawValue,
      uri: head.uri,
      headers: head.headers,
      body: String(buffer: body)
    )
    log.requests.withLock { $0.append(request) }
    send(handler(request), context)
  }

  private func send(_ reply: Reply, _ context: ChannelHandlerContext) {
    var headers = reply.headers
    var part = reply.body
    switch reply.delivery {
    case .silence: return
    // Without a length it comes in chunks.
    case .open, .endless: break
    case .whole: headers.replaceOrAdd(name: "Content-Length", value: "\(reply.body.readableBytes)")
    case .reset, .cut, .stall:
      headers.replaceOrAdd(name: "Content-Length", value: "\(reply.body.readableBytes)")
      part = part.readSlice(length: part.readableBytes / 2) ?? part
    }
    let head = HTTPResponseHead(version: .http1_1, status: reply.status, headers: headers)
    context.write(wrapOutboundOut(.head(head)), promise: nil)
    context.writeAndFlush(wrapOutboundOut(.body(.byteBuffer(part))), promise: nil)
    switch reply.delivery {
    case .whole: context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
    case .silence, .stall, .open: break
    case .endless(let pushed):
      endless = (part, pushed)
      push(context)
    case .cut: context.close(promise: nil)
    case .reset:
      // No lingering makes of a close a reset.
      let options = context.channel as? any SocketOptionProvider
      _ = options?.setSoLinger(linger(l_onoff: 1, l_linger: 0))
      context.close(promise: nil)
    }
  }

  func channelWritabilityChanged(context: ChannelHandlerContext) { push(context) }

  private func push(_ context: ChannelHandlerContext) {
    guard let (part, pushed) = endless else { return }
    while context.channel.isWritable {
      context.writeAndFlush(wrapOutboundOut(.body(.byteBuffer(part))), promise: nil)
      pushed.state.withLock { $0.count += 1 }
    }
    pushed.state.withLock { $0.isBlocked = true }
  }
}
#endif
