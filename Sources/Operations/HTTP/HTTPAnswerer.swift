import NIOCore
import NIOHTTP1

/// Reads requests, has them answered, and writes the answers, all on one connection.
///
/// The pipeline before it lets the next request through only when the answer to this one is written.
final class HTTPAnswerer: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundOut = HTTPServerResponsePart

    private enum State {
        /// Nobody asks.
        case idle
        /// The head is there, of the body so many bytes.
        case receiving(HTTPRequestHead, bodySize: Int)
        /// Somebody thinks about the answer, or it is being written.
        case answering
        /// Nothing more is read.
        case closing
    }

    private let answer: @Sendable (HTTPQuestion) async -> HTTPAnswer
    private var state = State.idle
    private var isLeaving = false
    /// Whether an answer is on its way to the socket.
    private var isWriting = false
    private var deadline: Scheduled<Void>?

    init(answer: @escaping @Sendable (HTTPQuestion) async -> HTTPAnswer) {
        self.answer = answer
    }

    func channelActive(context: ChannelHandlerContext) {
        expect(within: HTTPServer.requestTimeLimit, context)
        context.fireChannelActive()
    }

    func handlerAdded(context: ChannelHandlerContext) {
        if context.channel.isActive { expect(within: HTTPServer.requestTimeLimit, context) }
    }

    func channelInactive(context: ChannelHandlerContext) {
        deadline?.cancel()
        context.fireChannelInactive()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch (unwrapInboundIn(data), state) {
        case (.head(let head), .idle):
            state = .receiving(head, bodySize: 0)
            expect(within: HTTPServer.requestTimeLimit, context)
        case (.body(let bytes), .receiving(let head, let size)):
            let size = size + bytes.readableBytes
            guard size <= HTTPServer.bodyLimit else {
                write(.line(413, "Nothing here takes a body"), to: head, isLast: true, context)
                return
            }
            state = .receiving(head, bodySize: size)
        case (.end, .receiving(let head, _)):
            respond(to: head, context)
        default:
            // What comes behind a request that was refused.
            break
        }
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        guard event is LeaveWhenAnswered else { return context.fireUserInboundEventTriggered(event) }
        isLeaving = true
        switch state {
        case .idle where isWriting: break
        case .idle, .receiving: context.close(promise: nil)
        case .answering, .closing: break
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        // Whoever sent it is gone, or was told by the handler before this one what is wrong with it.
        context.close(promise: nil)
    }

    private func respond(to head: HTTPRequestHead, _ context: ChannelHandlerContext) {
        state = .answering
        expect(within: HTTPServer.answerTimeLimit, context)
        let hosts = head.headers["host"]
        let question = HTTPQuestion(
            method: head.method.rawValue,
            target: head.uri,
            host: hosts.count == 1 ? hosts[0] : nil,
            isLoopback: context.channel.parent?.localAddress?.isLoopback ?? false
        )
        let bound = NIOLoopBound((handler: self, context: context), eventLoop: context.eventLoop)
        let eventLoop = context.eventLoop
        Task { [answer] in
            let answer = await answer(question)
            eventLoop.execute {
                let (handler, context) = bound.value
                guard context.channel.isActive else { return }
                handler.write(answer, to: head, isLast: false, context)
            }
        }
    }

    private func write(_ answer: HTTPAnswer, to head: HTTPRequestHead, isLast: Bool, _ context: ChannelHandlerContext) {
        let staysOpen = head.isKeepAlive && !isLeaving && !isLast
        // Before the end is written, because that lets the next request through.
        state = staysOpen ? .idle : .closing
        isWriting = true
        expect(within: HTTPServer.answerTimeLimit, context)
        var headers = HTTPHeaders([
            ("Content-Type", answer.contentType),
            ("Content-Length", "\(answer.body.utf8.count)"),
            ("Cache-Control", "no-store"),
            ("X-Content-Type-Options", "nosniff"),
        ])
        for (name, value) in answer.headers.sorted(by: { $0.key < $1.key }) { headers.add(name: name, value: value) }
        if !staysOpen {
            headers.add(name: "Connection", value: "close")
        } else if head.version == .http1_0 {
            headers.add(name: "Connection", value: "keep-alive")
        }
        let start = HTTPResponseHead(
            version: head.version,
            status: HTTPResponseStatus(statusCode: answer.status),
            headers: headers
        )
        context.write(wrapOutboundOut(.head(start)), promise: nil)
        if head.method != .HEAD {
            context.write(wrapOutboundOut(.body(.byteBuffer(ByteBuffer(string: answer.body)))), promise: nil)
        }
        let bound = NIOLoopBound((handler: self, context: context), eventLoop: context.eventLoop)
        context.writeAndFlush(wrapOutboundOut(.end(nil))).whenComplete { result in
            let (handler, context) = bound.value
            handler.isWriting = false
            guard staysOpen, case .success = result else {
                context.close(promise: nil)
                return
            }
            // Unless somebody asks already.
            guard case .idle = handler.state else { return }
            if handler.isLeaving {
                context.close(promise: nil)
            } else {
                handler.expect(within: HTTPServer.idleTimeLimit, context)
            }
        }
    }

    /// Closes the connection unless something else is expected before.
    private func expect(within limit: TimeAmount, _ context: ChannelHandlerContext) {
        deadline?.cancel()
        let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
        deadline = context.eventLoop.scheduleTask(in: limit) { bound.value.close(promise: nil) }
    }
}

extension SocketAddress {
    /// Whether nothing but this machine can reach it.
    fileprivate var isLoopback: Bool {
        guard let ipAddress else { return true }
        return ipAddress == "::1" || ipAddress.hasPrefix("127.") || ipAddress.hasPrefix("::ffff:127.")
    }
}
