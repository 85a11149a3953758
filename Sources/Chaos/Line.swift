// The way of one client to one server: a relay on a port of its own, which can be broken.
//
// It knows no protocol. States: open; held, when nothing passes and what was sent meanwhile arrives late, as after a partition that
// heals; silent, when what is sent is lost while both sides still believe in the connection. A connection that has lost
// something is of no use, so it lets nothing pass any more and is cut when the line opens again, as TCP would give it up. Where no server is meant to be, because a
// standby is being promoted, connections are refused.

import NIOCore
import NIOPosix
import Synchronization

/// The unix socket that lines of one kind lead to; nil where nobody is to get through.
final class Destination: Sendable {
    private let value = Mutex<String?>(nil)

    var socketPath: String? {
        get { value.withLock { $0 } }
        set { value.withLock { $0 = newValue } }
    }
}

/// A relay between one client and one server.
final class Line: Sendable {
    enum State: Sendable { case open, held, silent }

    private struct Links {
        var state = State.open
        var open: [ObjectIdentifier: (client: any Channel, server: any Channel)] = [:]
    }

    private let links = Mutex(Links())
    private let listener = Mutex<(any Channel)?>(nil)
    private let destination: Destination

    init(to destination: Destination) {
        self.destination = destination
    }

    var state: State { links.withLock { $0.state } }

    /// Begins to listen.
    ///
    /// - Returns: The port of 127.0.0.1.
    func start() async throws -> Int {
        let listener = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .childChannelInitializer { [self] client in
                guard let path = destination.socketPath else {
                    return client.eventLoop.makeFailedFuture(ChannelError.connectPending)
                }
                return ClientBootstrap(group: client.eventLoop)
                    .channelInitializer { server in
                        server.eventLoop.makeCompletedFuture {
                            try server.pipeline.syncOperations.addHandler(Relay(peer: client, line: self))
                        }
                    }
                    .connect(unixDomainSocketPath: path)
                    .flatMapThrowing { server in
                        try client.pipeline.syncOperations.addHandler(Relay(peer: server, line: self))
                        self.add(client, server)
                    }
            }
            .bind(host: "127.0.0.1", port: 0)
            .get()
        self.listener.withLock { $0 = listener }
        guard let port = listener.localAddress?.port else { throw ChannelError.unknownLocalAddress }
        return port
    }

    private func add(_ client: any Channel, _ server: any Channel) {
        let state = links.withLock { links in
            links.open[ObjectIdentifier(client)] = (client, server)
            return links.state
        }
        client.closeFuture.whenComplete { [self] _ in
            _ = links.withLock { $0.open.removeValue(forKey: ObjectIdentifier(client)) }
        }
        if state == .held { Self.setReads(false, client, server) }
    }

    /// Ends all connections.
    func cut() {
        for (client, server) in links.withLock({ Array($0.open.values) }) {
            client.close(promise: nil)
            server.close(promise: nil)
        }
    }

    /// Lets nothing pass until ``open()``, which lets all of it pass.
    func hold() {
        let open = links.withLock { links in
            links.state = .held
            return Array(links.open.values)
        }
        for (client, server) in open { Self.setReads(false, client, server) }
    }

    /// Loses everything until ``open()``, which cuts.
    func silence() {
        links.withLock { $0.state = .silent }
    }

    /// As it should be.
    func open() {
        let (before, open) = links.withLock { links in
            defer { links.state = .open }
            return (links.state, Array(links.open.values))
        }
        switch before {
        case .open: break
        case .held: for (client, server) in open { Self.setReads(true, client, server) }
        case .silent: cut()
        }
    }

    /// Ends it for good.
    func close() async throws {
        cut()
        try await listener.withLock { $0.take() }?.close()
    }

    private static func setReads(_ areOn: Bool, _ channels: any Channel...) {
        for channel in channels {
            // A channel that has been closed meanwhile does not care.
            channel.setOption(.autoRead, value: areOn).whenFailure { _ in }
        }
    }
}

/// One direction of one connection.
private final class Relay: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    private let peer: any Channel
    private let line: Line
    private var hasLost = false

    init(peer: any Channel, line: Line) {
        self.peer = peer
        self.line = line
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        if line.state == .silent { hasLost = true }
        // What comes behind a loss would be taken for what was lost.
        if !hasLost { peer.writeAndFlush(unwrapInboundIn(data), promise: nil) }
    }

    func channelInactive(context: ChannelHandlerContext) {
        peer.close(promise: nil)
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        // One side is gone; the other learns of it in `channelInactive`.
        context.close(promise: nil)
    }
}
