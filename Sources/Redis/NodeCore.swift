internal import Logging
internal import NIOCore

// What a `RedisNode` does on its event loop. Requests come in, find the connection or wait for the attempt, and leave
// with replies or an error. Who gets what is decided by `ReconnectionStateMachine` and `ConnectionStateMachine`.
//
// A request is in one of three places: in `waiting` (for the attempt under way), in the queue of a connection, or done.
// Its timer runs from submission until it is done, wherever it is.
//
// Everything runs to its end without waiting, except that completions call out; they only resume a continuation.

/// The event loop's side of a node.
///
/// `@unchecked Sendable` because, `eventLoop` apart, everything is used on that event loop only.
final class NodeCore: RequestSink, @unchecked Sendable {
    let eventLoop: any EventLoop
    private let configuration: RedisConfiguration
    private let connector: Connector
    private let logger: Logger
    private let jitter: () -> Double

    private var machine = ReconnectionStateMachine()
    private lazy var deadlines = Deadlines(eventLoop: eventLoop) { [weak self] in
        guard let self else { return [] }
        return waiting + (connection?.pending ?? [])
    } expire: { [weak self] in
        self?.timeOut($0)
    }
    private var waiting: [Request] = []
    private var connection: ConnectionHandler?
    /// The channels of the attempt under way: a name may have several addresses, which are then tried in parallel.
    private var attemptChannels: [any Channel] = []
    private var attemptTimer: Scheduled<Void>?
    /// Channels that are not yet closed, so that closing the node can wait for them.
    private var openChannels: [ObjectIdentifier: any Channel] = [:]

    init(
        configuration: RedisConfiguration,
        connector: Connector,
        eventLoop: any EventLoop,
        logger: Logger,
        jitter: @escaping () -> Double = { .random(in: 0..<1) }
    ) {
        self.configuration = configuration
        self.connector = connector
        self.eventLoop = eventLoop
        self.logger = logger
        self.jitter = jitter
    }

    // MARK: Requests

    /// Sends a request, now or when the attempt to connect has succeeded.
    ///
    /// The completion is called exactly once.
    func submit(_ request: Request, _ completion: @escaping Request.Completion) {
        eventLoop.assertInEventLoop()
        guard request.begin(completion) else { return }
        let action = machine.demand(now: eventLoop.now)
        switch action {
        case .refuse:
            request.complete(.failure(.closed(configuration)))
            return
        case .fail(let error):
            request.complete(.failure(error))
            return
        case .send, .join, .connect:
            break
        }
        deadlines.watch(request)
        switch action {
        case .send:
            send(request)
        case .join:
            waiting.append(request)
        case .connect(let attempt):
            waiting.append(request)
            connect(attempt)
        case .refuse, .fail:
            break
        }
    }

    /// The caller was cancelled.
    func cancel(_ request: Request) {
        eventLoop.assertInEventLoop()
        guard !request.cancelBeforeSubmission(), request.isPending else { return }
        if let (connection, place) = request.place {
            connection.cancelled(place, deadline: request.deadline)
        } else {
            waiting.removeAll { $0 === request }
        }
        request.complete(.failure(.cancelled()))
    }

    private func timeOut(_ request: Request) {
        guard request.isPending else { return }
        guard let (connection, place) = request.place else {
            let limit = "\(request.timeLimit.nanoseconds / 1_000_000) ms"
            // The attempt goes on: it has its own limit, and others may wait longer.
            waiting.removeAll { $0 === request }
            let hint = configuration.tls == nil ? "" : "; does it speak TLS?"
            request.complete(
                .failure(
                    RedisError(.timedOut, "no connection to \(configuration) within the time limit of \(limit)\(hint)")
                )
            )
            return
        }
        request.complete(.failure(connection.timedOut(place, limit: request.timeLimit)))
    }

    private func send(_ request: Request) {
        guard let connection, connection.send(request) else {
            // The connection closes just now: its owner's news is on the way, or came while another request was written.
            request.complete(
                .failure(RedisError(.connectionLost, "the connection to \(configuration) was lost"))
            )
            return
        }
    }

    // MARK: Connecting

    private func connect(_ attempt: ReconnectionStateMachine.Attempt) {
        let limit = TimeAmount(configuration.connectTimeLimit)
        attemptTimer = eventLoop.assumeIsolated().scheduleTask(in: limit) { [self] in
            let text = "cannot connect to \(configuration): no answer within \(limit.nanoseconds / 1_000_000) ms"
            failed(attempt, RedisError(.cannotConnect, text))
        }
        let prepare: Connector.Prepare = { [self] channel in
            channel.eventLoop.makeCompletedFuture {
                guard machine.isConnecting(attempt) else { throw RedisError.closed(configuration) }
                try channel.pipeline.syncOperations.addHandler(ConnectionHandler(configuration: configuration))
                track(channel)
                attemptChannels.append(channel)
            }
        }
        connector.connect(on: eventLoop, prepare: prepare).assumeIsolated().whenComplete { [self] result in
            switch result {
            case .success(let channel):
                opened(channel, attempt)
            case .failure(let error):
                let text = "cannot connect to \(configuration): \(TransportCause.describe(error))"
                failed(attempt, RedisError(.cannotConnect, text, underlying: error))
            }
        }
    }

    private func opened(_ channel: any Channel, _ attempt: ReconnectionStateMachine.Attempt) {
        guard machine.isConnecting(attempt) else {
            // Its time was up, or the node is closed.
            channel.close(promise: nil)
            return
        }
        do {
            let handler = try channel.pipeline.syncOperations.handler(type: ConnectionHandler.self)
            handler.start { [self] event in
                switch event {
                case .ready: ready(handler, attempt)
                case .served: machine.served(attempt)
                case .closed(let error): failed(attempt, error)
                }
            }
        } catch {
            channel.close(promise: nil)
            let text = "cannot connect to \(configuration): \(TransportCause.describe(error))"
            failed(attempt, RedisError(.cannotConnect, text, underlying: error))
        }
    }

    private func ready(_ handler: ConnectionHandler, _ attempt: ReconnectionStateMachine.Attempt) {
        guard machine.connected(attempt) else { return }
        endAttempt()
        connection = handler
        logger.log(
            level: machine.failures > 0 ? .info : .debug,
            "connected to \(configuration)",
            metadata: ["failures": "\(machine.failures)"]
        )
        let requests = waiting
        waiting = []
        for request in requests {
            send(request)
        }
    }

    private func failed(_ attempt: ReconnectionStateMachine.Attempt, _ error: RedisError) {
        let wasConnecting = machine.isConnecting(attempt)
        guard machine.failed(attempt, error, now: eventLoop.now, jitter: jitter()) else { return }
        // One line when it begins; what repeats is for those who look closely.
        let level: Logger.Level = machine.failures > 1 ? .debug : .warning
        logger.log(
            level: level,
            "\(error.message)",
            metadata: ["code": "\(error.code)", "failures": "\(machine.failures)"]
        )
        connection = nil
        let channels = attemptChannels
        endAttempt()
        guard wasConnecting else { return }
        for channel in channels {
            channel.close(promise: nil)
        }
        let requests = waiting
        waiting = []
        for request in requests {
            request.complete(.failure(error))
        }
    }

    private func endAttempt() {
        attemptTimer?.cancel()
        attemptTimer = nil
        attemptChannels = []
    }

    private func track(_ channel: any Channel) {
        let identifier = ObjectIdentifier(channel)
        openChannels[identifier] = channel
        channel.closeFuture.assumeIsolated().whenComplete { [self] _ in
            openChannels[identifier] = nil
        }
    }

    // MARK: Closing

    /// Fails everything that is pending and closes the connection.
    ///
    /// The future succeeds when no socket is left.
    func close() -> EventLoopFuture<Void> {
        eventLoop.assertInEventLoop()
        if machine.close() {
            let requests = waiting
            waiting = []
            endAttempt()
            let connection = self.connection
            self.connection = nil
            connection?.close(.closed(configuration))
            for request in requests {
                request.complete(.failure(.closed(configuration)))
            }
        }
        let channels = Array(openChannels.values)
        for channel in channels {
            channel.close(promise: nil)
        }
        return EventLoopFuture.andAllComplete(channels.map(\.closeFuture), on: eventLoop)
    }
}
