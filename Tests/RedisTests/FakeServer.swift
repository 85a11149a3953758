import NIOCore
import NIOPosix
import TestSupport
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
    private let received = SignalledQueue<(peer: Peer, words: [String])>()

    init() async throws {
        listener = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .childChannelInitializer { [received] channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(Receiver(received))
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
        try #require(await received.next())
    }

    func close() async throws {
        listener.close(promise: nil)
        try await listener.closeFuture.get()
    }

    private final class Receiver: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer

        private let received: SignalledQueue<(peer: Peer, words: [String])>
        private var decoder = RESPDecoder()

        init(_ received: SignalledQueue<(peer: Peer, words: [String])>) {
            self.received = received
        }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            let peer = Peer(channel: context.channel)
            do {
                try decoder.decode(unwrapInboundIn(data)) { command in
                    let words = (command.array ?? []).map { $0.string ?? "" }
                    if words.first == "CLIENT" {
                        peer.reply("+OK\r\n")
                    } else {
                        received.append((peer, words))
                    }
                }
            } catch {
                Issue.record(error)
            }
        }
    }
}
