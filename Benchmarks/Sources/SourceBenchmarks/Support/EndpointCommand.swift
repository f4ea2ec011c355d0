import ArgumentParser
import Foundation
import NIOCore
import NIOHTTP1
import NIOPosix

/// The endpoint, in a process of its own so that its CPU time is not the client's. It says on which port it listens, and
/// ends with its standard input, and so with the process that started it.
struct EndpointCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "endpoint",
    abstract: "Answers as a service does.",
    shouldDisplay: false
  )

  enum Service: String, ExpressibleByArgument {
    case kinesis
    case dynamoDB
  }

  @Argument var service: Service
  @OptionGroup var load: ReadingLoad

  private var measured: any MeasuredService {
    switch service {
    case .kinesis: KinesisService(load)
    case .dynamoDB: DynamoDBService(load)
    }
  }

  func run() throws {
    let service = measured
    let channel = try ServerBootstrap(group: MultiThreadedEventLoopGroup(numberOfThreads: 1))
      .serverChannelOption(.backlog, value: 256)
      .childChannelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          try channel.pipeline.syncOperations.configureHTTPServerPipeline()
          try channel.pipeline.syncOperations.addHandler(AnswerHandler(service: service))
        }
      }
      .bind(host: "127.0.0.1", port: 0).wait()
    print(channel.localAddress?.port ?? 0)
    fflush(nil)
    while readLine() != nil {}
  }
}

private final class AnswerHandler: ChannelInboundHandler {
  typealias InboundIn = HTTPServerRequestPart
  typealias OutboundOut = HTTPServerResponsePart

  private let service: any MeasuredService
  private var target = ""
  private var body = ByteBuffer()

  init(service: any MeasuredService) { self.service = service }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    switch unwrapInboundIn(data) {
    case .head(let head):
      target = head.headers.first(name: "X-Amz-Target") ?? ""
      body.clear()
    case .body(var part): body.writeBuffer(&part)
    case .end: answer(context)
    }
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

  private func answer(_ context: ChannelHandlerContext) {
    do {
      send(.ok, try service.answer(to: target, body), context)
    } catch {
      let refusal = #"{"__type":"InvalidArgumentException","message":"\#(target): \#(error)"}"#
      send(.badRequest, ByteBuffer(string: refusal), context)
    }
  }

  private func send(_ status: HTTPResponseStatus, _ body: ByteBuffer, _ context: ChannelHandlerContext) {
    let headers: HTTPHeaders = [
      "x-amzn-RequestId": "d4f2f6b2-4c1b-45cf-93ac-5d1a9c3d1f0e",
      "Date": "Mon, 24 Nov 2025 22:00:01 GMT",
      "Content-Type": "application/x-amz-json-1.1",
      "Content-Length": String(body.readableBytes),
    ]
    let head = HTTPResponseHead(version: .http1_1, status: status, headers: headers)
    context.write(wrapOutboundOut(.head(head)), promise: nil)
    context.write(wrapOutboundOut(.body(.byteBuffer(body))), promise: nil)
    context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
  }
}
