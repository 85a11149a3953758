internal import NIOCore

/// The end of the channel pipeline of a connection for invalidations: carries out what `InvalidationStateMachine` decides.
///
/// `@unchecked Sendable` because it is used on its channel's event loop only.
final class InvalidationHandler: ChannelInboundHandler, @unchecked Sendable {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    /// What the connection tells its owner.
    enum Event {
        /// The subscription stands.
        case ready(clientID: Int64)
        /// These keys have changed.
        case invalidated([[UInt8]])
        /// Every key may have changed.
        case invalidatedEverything
        /// The connection is gone. Said once.
        case closed(RedisError)
    }

    private let configuration: RedisConfiguration
    private var machine: InvalidationStateMachine
    private var decoder = RESPDecoder()
    private var context: ChannelHandlerContext?
    private var notify: ((Event) -> Void)?
    private var pings = CircularBuffer<EventLoopPromise<Void>>()
    /// What the transport said before it closed.
    private var cause: (any Error)?
    private var wasReady = false

    init(configuration: RedisConfiguration, handshake: Handshake) {
        self.configuration = configuration
        machine = InvalidationStateMachine(handshake: handshake)
    }

    // MARK: Called by the owner

    /// Begins the handshake.
    ///
    /// Events go to the owner from here on.
    func start(_ notify: @escaping (Event) -> Void) {
        self.notify = notify
        send(machine.start())
    }

    /// Asks for a sign of life.
    ///
    /// The promise is kept behind every event for what had changed before; it fails with the connection.
    func ping(_ promise: EventLoopPromise<Void>) {
        guard let command = machine.ping() else {
            promise.fail(lost())
            return
        }
        pings.append(promise)
        send([command])
    }

    /// Ends the connection.
    func close(_ error: RedisError) {
        machine.close()
        let notify = self.notify
        self.notify = nil
        let pings = self.pings
        self.pings.removeAll()
        context?.close(promise: nil)
        notify?(.closed(error))
        for ping in pings {
            ping.fail(error)
        }
    }

    private func send(_ commands: [RedisCommand]) {
        guard let context, context.channel.isActive else {
            close(lost())
            return
        }
        var encoder = RESPEncoder()
        do {
            encoder.encode(commands, bound: try RESPEncoder.bound(of: commands))
        } catch {
            close(error)
            return
        }
        context.writeAndFlush(wrapOutboundOut(encoder.buffer), promise: nil)
    }

    // MARK: Called by the channel

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        close(lost())
        self.context = nil
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        do {
            try decoder.decode(unwrapInboundIn(data), received)
        } catch {
            close(RedisError(.protocolViolation, "cannot read what \(configuration) sends: \(error.message)"))
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        if cause == nil {
            cause = error
        }
        close(lost())
    }

    func channelInactive(context: ChannelHandlerContext) {
        close(lost())
        context.fireChannelInactive()
    }

    private func received(_ reply: RedisReply) {
        do {
            switch try machine.received(reply) {
            case .none:
                break
            case .ready(let clientID):
                wasReady = true
                notify?(.ready(clientID: clientID))
            case .invalidated(let keys):
                notify?(.invalidated(keys))
            case .invalidatedEverything:
                notify?(.invalidatedEverything)
            case .alive:
                pings.popFirst()?.succeed()
            }
        } catch {
            if error.code == .protocolViolation {
                close(RedisError(.protocolViolation, "\(configuration) sent \(error.message)"))
            } else {
                close(error)
            }
        }
    }

    private func lost() -> RedisError {
        let reason = cause.map(TransportCause.describe) ?? "the server closed it"
        return RedisError(
            wasReady ? .connectionLost : .cannotConnect,
            "the connection for invalidations to \(configuration) was lost: \(reason)",
            underlying: cause
        )
    }
}
