// A relay between a program and a server that can stop at a chosen moment of their conversation: what was said up to then
// has arrived, the rest never does. So a process can be killed exactly between two of its messages.
//
// It knows no protocol. It looks for a text in each piece that it reads: the messages that are worth stopping at are short
// and come in one piece. What it holds it drops; the connection then stays silent in that direction until somebody leaves.

import NIOCore
import NIOPosix
import Synchronization

final class HoldingProxy: Sendable {
    /// Which way something goes.
    enum Direction: Hashable, Sendable { case toServer, toClient }

    /// A text, and the way it goes.
    struct Sight: Hashable, Sendable {
        var text: String
        var direction: Direction
    }

    private struct State {
        var watched: [Sight: @Sendable () -> Void] = [:]
        var held: Set<Sight> = []
    }

    /// Counts what was seen of what was watched or held.
    let sights = Arrivals<Sight>()
    private let state = Mutex(State())
    private let listener: any Channel

    /// The port of 127.0.0.1 to connect to.
    let port: Int

    private init(listener: any Channel, port: Int, relays: RelayParent) {
        self.listener = listener
        self.port = port
        relays.proxy.withLock { $0 = self }
    }

    /// Relays connections to the server behind a unix socket.
    static func start(to socketPath: String) async throws -> HoldingProxy {
        let parent = RelayParent()
        let listener = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .childChannelInitializer { client in
                ClientBootstrap(group: client.eventLoop)
                    .channelInitializer { server in
                        server.eventLoop.makeCompletedFuture {
                            let relay = Relay(peer: client, direction: .toClient, parent: parent)
                            try server.pipeline.syncOperations.addHandler(relay)
                        }
                    }
                    .connect(unixDomainSocketPath: socketPath)
                    .flatMapThrowing { server in
                        let relay = Relay(peer: server, direction: .toServer, parent: parent)
                        try client.pipeline.syncOperations.addHandler(relay)
                    }
            }
            .bind(host: "127.0.0.1", port: 0)
            .get()
        guard let port = listener.localAddress?.port else { throw ChannelError.unknownLocalAddress }
        return HoldingProxy(listener: listener, port: port, relays: parent)
    }

    func close() async throws {
        try await listener.close()
    }

    /// From now on, drops the next piece in which `text` goes in `direction`, and whatever follows it on that connection.
    func hold(_ text: String, _ direction: Direction) {
        state.withLock { _ = $0.held.insert(Sight(text: text, direction: direction)) }
    }

    /// Calls `action`, once, before `text` is passed on in `direction`.
    func watch(_ text: String, _ direction: Direction, _ action: @escaping @Sendable () -> Void) {
        state.withLock { $0.watched[Sight(text: text, direction: direction)] = action }
    }

    /// Waits until `text` has been seen going in `direction`, of what is watched or held.
    func sees(_ text: String, _ direction: Direction) async throws {
        try await sights.wait(for: Sight(text: text, direction: direction), count: 1)
    }

    /// Whether a piece is to be dropped.
    fileprivate func holds(_ piece: ByteBuffer, _ direction: Direction) -> Bool {
        let isWatching = state.withLock { !$0.watched.isEmpty || !$0.held.isEmpty }
        guard isWatching else { return false }
        let content = String(buffer: piece)
        func isIn(_ sight: Sight) -> Bool { sight.direction == direction && content.contains(sight.text) }
        let (actions, held) = state.withLock { state in
            let watched = state.watched.keys.filter(isIn)
            let held = state.held.filter(isIn)
            state.held.subtract(held)
            return (watched.map { ($0, state.watched.removeValue(forKey: $0)) }, held)
        }
        for (sight, action) in actions {
            action?()
            sights.arrive(at: sight)
        }
        for sight in held { sights.arrive(at: sight) }
        return !held.isEmpty
    }
}

/// Leads from the relays of a proxy to the proxy, which exists a moment after the listener does.
private final class RelayParent: Sendable {
    let proxy = Mutex<HoldingProxy?>(nil)
}

/// One direction of one connection.
private final class Relay: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    private let peer: any Channel
    private let direction: HoldingProxy.Direction
    private let parent: RelayParent
    private var isSilent = false

    init(peer: any Channel, direction: HoldingProxy.Direction, parent: RelayParent) {
        self.peer = peer
        self.direction = direction
        self.parent = parent
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let piece = unwrapInboundIn(data)
        if !isSilent { isSilent = parent.proxy.withLock { $0 }?.holds(piece, direction) ?? false }
        if !isSilent { peer.writeAndFlush(piece, promise: nil) }
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
