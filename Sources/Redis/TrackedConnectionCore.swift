internal import NIOCore

// What a `TrackedConnection` does on its event loop. Both channels live on it, so that everything here has one order.
//
//     idle ──▶ subscribing ──client id──▶ tracking ──▶ open ──▶ closed      closed also from anywhere, when either channel ends
//
// The subscription stands before the tracking begins: no key is ever tracked for a client that does not listen yet. One
// channel's end is the other's, whichever it is: without the first nothing is tracked, without the second nobody is told, and
// the server mentions neither to the one that is left.

/// The event loop's side of a tracked connection.
///
/// `@unchecked Sendable` because, `eventLoop` apart, everything is used on that event loop only.
final class TrackedConnectionCore: RequestSink, @unchecked Sendable {
    private enum State {
        case idle
        case opening(EventLoopPromise<Void>)
        case open
        case closed(RedisError)
    }

    let eventLoop: any EventLoop
    private let configuration: RedisConfiguration
    private let connector: Connector
    private let report: @Sendable (TrackedConnection.Event) -> Void
    private var state = State.idle
    private lazy var deadlines = Deadlines(eventLoop: eventLoop) { [weak self] in
        self?.data?.pending ?? []
    } expire: { request in
        guard request.isPending, let (connection, place) = request.place else { return }
        request.complete(.failure(connection.timedOut(place, limit: request.timeLimit)))
    }
    private var invalidations: InvalidationHandler?
    private var data: ConnectionHandler?
    private var openTimer: Scheduled<Void>?
    /// Channels that are not yet closed: a name may have several addresses, which are then tried in parallel.
    private var channels: [ObjectIdentifier: any Channel] = [:]

    init(
        configuration: RedisConfiguration,
        connector: Connector,
        eventLoop: any EventLoop,
        report: @escaping @Sendable (TrackedConnection.Event) -> Void
    ) {
        self.configuration = configuration
        self.connector = connector
        self.eventLoop = eventLoop
        self.report = report
    }

    // MARK: Opening

    /// Opens both channels; called once.
    func open() -> EventLoopFuture<Void> {
        eventLoop.assertInEventLoop()
        let promise = eventLoop.makePromise(of: Void.self)
        guard case .idle = state else {
            promise.fail(RedisError.closed(configuration))
            return promise.futureResult
        }
        state = .opening(promise)
        let limit = TimeAmount(configuration.connectTimeLimit)
        openTimer = eventLoop.assumeIsolated().scheduleTask(in: limit) { [self] in
            let text = "cannot connect to \(configuration): no answer within \(limit.nanoseconds / 1_000_000) ms"
            end(RedisError(.cannotConnect, text))
        }
        let name = "\(TrackedConnection.invalidationConnectionName)-\(UInt64.random(in: .min ... .max))"
        let handshake = Handshake(configuration, name: name)
        connect {
            InvalidationHandler(configuration: $0, handshake: handshake)
        } then: { [self] handler in
            invalidations = handler
            handler.start { [self] event in
                switch event {
                case .ready(let clientID): track(redirectingTo: Handshake.Tracker(clientID: clientID, name: name))
                case .invalidated(let keys): for key in keys { report(.invalidated(key: key)) }
                case .invalidatedEverything: report(.invalidatedEverything)
                case .closed(let error): end(error)
                }
            }
        }
        return promise.futureResult
    }

    private func track(redirectingTo tracker: Handshake.Tracker) {
        let handshake = Handshake(
            configuration,
            name: TrackedConnection.dataConnectionName,
            redirectingTo: tracker
        )
        connect {
            ConnectionHandler(configuration: $0, handshake: handshake)
        } then: { [self] handler in
            data = handler
            handler.start { [self] event in
                switch event {
                case .ready: opened()
                case .served: break
                case .closed(let error): end(error)
                }
            }
        }
    }

    private func opened() {
        guard case .opening(let promise) = state else { return }
        state = .open
        openTimer?.cancel()
        openTimer = nil
        promise.succeed()
    }

    private func connect<Handler: ChannelHandler>(
        _ make: @escaping @Sendable (RedisConfiguration) -> Handler,
        then use: @escaping @Sendable (Handler) -> Void
    ) {
        let prepare: Connector.Prepare = { [self] channel in
            channel.eventLoop.makeCompletedFuture {
                guard isOpening else { throw RedisError.closed(configuration) }
                try channel.pipeline.syncOperations.addHandler(make(configuration))
                keep(channel)
            }
        }
        connector.connect(on: eventLoop, prepare: prepare).assumeIsolated().whenComplete { [self] result in
            do {
                let channel = try result.get()
                guard isOpening else {
                    channel.close(promise: nil)
                    return
                }
                use(try channel.pipeline.syncOperations.handler(type: Handler.self))
            } catch {
                let text = "cannot connect to \(configuration): \(TransportCause.describe(error))"
                end(RedisError(.cannotConnect, text, underlying: error))
            }
        }
    }

    private var isOpening: Bool {
        if case .opening = state { true } else { false }
    }

    private func keep(_ channel: any Channel) {
        let identifier = ObjectIdentifier(channel)
        channels[identifier] = channel
        channel.closeFuture.assumeIsolated().whenComplete { [self] _ in
            channels[identifier] = nil
        }
    }

    // MARK: Using

    func submit(_ request: Request, _ completion: @escaping Request.Completion) {
        eventLoop.assertInEventLoop()
        guard request.begin(completion) else { return }
        guard case .open = state, let data else {
            request.complete(.failure(reasonToRefuse))
            return
        }
        deadlines.watch(request)
        if !data.send(request) {
            request.complete(.failure(reasonToRefuse))
        }
    }

    func cancel(_ request: Request) {
        eventLoop.assertInEventLoop()
        guard !request.cancelBeforeSubmission(), request.isPending else { return }
        if let (connection, place) = request.place {
            connection.cancelled(place, deadline: request.deadline)
        }
        request.complete(.failure(.cancelled()))
    }

    /// Asks the connection for invalidations for a sign of life.
    ///
    /// Without one in time both connections are closed.
    func ping(timeLimit: TimeAmount) -> EventLoopFuture<Void> {
        eventLoop.assertInEventLoop()
        let promise = eventLoop.makePromise(of: Void.self)
        guard case .open = state, let invalidations else {
            promise.fail(reasonToRefuse)
            return promise.futureResult
        }
        let timer = eventLoop.assumeIsolated().scheduleTask(in: timeLimit) { [self] in
            let limit = "\(timeLimit.nanoseconds / 1_000_000) ms"
            let text = "the connection for invalidations to \(configuration) gave no sign of life within \(limit)"
            end(RedisError(.timedOut, text))
        }
        promise.futureResult.assumeIsolated().whenComplete { _ in timer.cancel() }
        invalidations.ping(promise)
        return promise.futureResult
    }

    private var reasonToRefuse: RedisError {
        if case .closed(let error) = state { return error }
        return RedisError(.connectionLost, "the connection to \(configuration) was lost")
    }

    // MARK: Closing

    /// The end of both channels; only the first has an effect.
    private func end(_ error: RedisError) {
        let before = state
        if case .closed = before { return }
        state = .closed(error)
        openTimer?.cancel()
        openTimer = nil
        // The owner before any caller, so that who fails now and reads on finds nothing that may be old.
        if case .open = before { report(.lost(error)) }
        invalidations?.close(error)
        data?.close(error)
        invalidations = nil
        data = nil
        for channel in channels.values {
            channel.close(promise: nil)
        }
        if case .opening(let promise) = before { promise.fail(error) }
    }

    /// Closes both channels.
    ///
    /// The future succeeds when no socket is left.
    func close() -> EventLoopFuture<Void> {
        eventLoop.assertInEventLoop()
        end(.closed(configuration))
        let channels = Array(self.channels.values)
        return EventLoopFuture.andAllComplete(channels.map(\.closeFuture), on: eventLoop)
    }
}
