import NIOCore
import NIOPosix
import Testing

@testable import Redis

/// A server in this process that says what the test tells it to say. It greets by itself, and nothing else.
actor FakeServer {
    /// One connection of a client.
    struct Peer: Sendable {
        fileprivate let channel: any Channel

        /// Sends bytes to the client.
        func reply(_ text: String) {
            channel.writeAndFlush(ByteBuffer(string: text), promise: nil)
        }

        /// Hangs up.
        func close() {
            channel.close(promise: nil)
        }

        /// Returns when the client has hung up.
        func waitForClose() async throws {
            try await channel.closeFuture.get()
        }
    }

    private let listener: any Channel
    private var received: AsyncStream<(Peer, [String])>.Iterator

    init() async throws {
        let (stream, continuation) = AsyncStream.makeStream(of: (Peer, [String]).self)
        received = stream.makeAsyncIterator()
        listener = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(Receiver(continuation))
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
    }

    nonisolated var configuration: RedisConfiguration {
        get throws {
            let port = try #require(listener.localAddress?.port)
            return RedisConfiguration(endpoint: .tcp(host: "127.0.0.1", port: port))
        }
    }

    /// The next command that arrives, on any connection.
    ///
    /// Greetings are not among them.
    func next() async throws -> (peer: Peer, words: [String]) {
        var iterator = received
        let element = await iterator.next(isolation: self)
        received = iterator
        let (peer, words) = try #require(element)
        return (peer, words)
    }

    func close() async throws {
        listener.close(promise: nil)
        try await listener.closeFuture.get()
    }

    private final class Receiver: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer

        private let continuation: AsyncStream<(Peer, [String])>.Continuation
        private var decoder = RESPDecoder()

        init(_ continuation: AsyncStream<(Peer, [String])>.Continuation) {
            self.continuation = continuation
        }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            let peer = Peer(channel: context.channel)
            do {
                try decoder.decode(unwrapInboundIn(data)) { command in
                    let words = (command.array ?? []).map { $0.string ?? "" }
                    if words.first == "CLIENT" {
                        peer.reply("+OK\r\n")
                    } else {
                        continuation.yield((peer, words))
                    }
                }
            } catch {
                Issue.record(error)
            }
        }
    }
}
