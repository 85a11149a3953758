internal import Glibc
internal import NIOCore

/// The end of one connection's channel pipeline: carries out what the `ConnectionStateMachine` decides.
///
/// `@unchecked Sendable` because it is used on its channel's event loop only.
final class ConnectionHandler: ChannelInboundHandler, @unchecked Sendable {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    /// What the connection tells its owner.
    enum Event {
        /// The handshake is through.
        case ready
        /// A caller got its replies.
        case served
        /// The connection is gone. Said once.
        case closed(RedisError)
    }

    /// What is sent in one turn is written when it has so many bytes, those of some twenty commands.
    private static let earlyWriteByteCount = 2_048

    private let configuration: RedisConfiguration
    // Unchecked, because no access to it calls back: each is over before anything else can come here. A reply makes ten of
    // them, and the checks were a tenth of what a reply costs.
    @exclusivity(unchecked) private var machine: ConnectionStateMachine<Request>
    private var decoder = RESPDecoder()
    private var context: ChannelHandlerContext?
    private var notify: ((Event) -> Void)?
    /// What the transport said before it closed.
    private var cause: (any Error)?
    private var wasReady = false
    /// What was sent in this turn of the event loop, and goes out at its end at the latest.
    ///
    /// Unchecked for the same reason.
    @exclusivity(unchecked) private var unwritten = RESPEncoder()

    init(configuration: RedisConfiguration, handshake: Handshake? = nil) {
        self.configuration = configuration
        machine = ConnectionStateMachine(handshake: handshake ?? Handshake(configuration))
    }

    // MARK: Called by the owner

    /// Begins the handshake.
    ///
    /// Events go to the owner from here on.
    func start(_ notify: @escaping (Event) -> Void) {
        self.notify = notify
        guard let context, context.channel.isActive else {
            close(lost())
            return
        }
        let commands = machine.start()
        do {
            unwritten.encode(commands, bound: try RESPEncoder.bound(of: commands))
        } catch {
            close(error)
            return
        }
        write()
    }

    /// The requests that wait for replies, in order.
    var pending: [Request] { machine.callers }

    /// Sends a request.
    ///
    /// Returns false if the connection does not accept it.
    func send(_ request: Request) -> Bool {
        guard let context, let place = machine.submit(request, replyCount: request.commands.count) else {
            return false
        }
        request.sent(on: self, place: place)
        // One write for all that is sent in this turn of the event loop. The closure runs in the same turn, behind the
        // requests that are queued already, so that nobody waits for it.
        if unwritten.buffer.readableBytes == 0 {
            context.eventLoop.assumeIsolated().execute { [self] in
                write()
            }
        }
        unwritten.encode(request.commands, bound: request.byteBound)
        // But no more than the server can begin with: it works on that while the rest of this turn is run here.
        if unwritten.buffer.readableBytes >= Self.earlyWriteByteCount { write() }
        return true
    }

    private func write() {
        let byteCount = unwritten.buffer.readableBytes
        guard byteCount > 0 else { return }
        context?.writeAndFlush(wrapOutboundOut(unwritten.buffer), promise: nil)
        // Nobody adds to it meanwhile: what comes back from a write that fails has closed the machine, which takes no more.
        assert(unwritten.buffer.readableBytes == byteCount, "bytes would be lost whose replies are waited for")
        unwritten.clear()
    }

    /// The caller of a place was cancelled.
    ///
    /// Its replies are awaited until its time is over all the same: a hanging server must lose the connection.
    func cancelled(_ place: UInt64, deadline: NIODeadline) {
        machine.abandon(place)
        // Without the request, which is free to go: two words until the limit is over.
        context?.eventLoop.assumeIsolated().scheduleTask(deadline: deadline) { [self] in
            guard machine.isWaiting(place) else { return }
            close(
                RedisError(
                    .connectionLost,
                    "the connection to \(configuration) was closed because a cancelled call had no reply in time"
                )
            )
        }
    }

    /// The time of the caller of a place is over, and so the connection's: all behind it is late as well.
    ///
    /// Returns what the caller is to be told.
    func timedOut(_ place: UInt64, limit: TimeAmount) -> RedisError {
        let limit = "\(limit.nanoseconds / 1_000_000) ms"
        machine.abandon(place)
        close(
            RedisError(
                .connectionLost,
                "the connection to \(configuration) was closed because another call had no reply within \(limit)"
            )
        )
        return RedisError(.timedOut, "no reply from \(configuration) within the time limit of \(limit)")
    }

    /// Ends the connection: every caller that is left fails with this.
    func close(_ error: RedisError) {
        let callers = machine.close()
        let notify = self.notify
        self.notify = nil
        // Only now: closing may come back here, as the channel's last news, within this call.
        context?.close(promise: nil)
        // The owner first, so that a caller that tries again at once meets the new state.
        notify?(.closed(error))
        for caller in callers {
            caller.complete(.failure(error))
        }
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
            let hint = wasReady ? "" : encryptionHint
            close(RedisError(.protocolViolation, "cannot read what \(configuration) sends: \(error.message)\(hint)"))
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        // The first is the cause; what follows is its wake.
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
        switch machine.received(reply) {
        case .none:
            break
        case .becomeReady:
            wasReady = true
            notify?(.ready)
        case .complete(let request, let replies):
            notify?(.served)
            request.complete(.success(replies))
        case .fail(let error):
            if error.code == .protocolViolation {
                close(RedisError(.protocolViolation, "\(configuration) sent \(error.message)"))
            } else {
                close(error)
            }
        }
    }

    /// A server that wants TLS hangs up on plain text, or replies with something that is no reply.
    private var encryptionHint: String {
        if case .tcp = configuration.endpoint, configuration.tls == nil {
            return "; is it a Redis server, and does it want TLS (rediss://)?"
        }
        return ""
    }

    private func lost() -> RedisError {
        if wasReady {
            let reason = cause.map(TransportCause.describe) ?? "the server closed it"
            return RedisError(
                .connectionLost,
                "the connection to \(configuration) was lost: \(reason)",
                underlying: cause
            )
        }
        let reason = cause.map(TransportCause.describe) ?? "the server closed the connection"
        let hint = cause == nil || (cause as? IOError)?.errnoCode == ECONNRESET ? encryptionHint : ""
        return RedisError(.cannotConnect, "cannot connect to \(configuration): \(reason)\(hint)", underlying: cause)
    }
}
