public import NIOCore
internal import NIOPosix

/// A connection whose server tells which of the keys that were read on it have changed since.
///
/// It is a pair of physical connections: what is read goes over one, and the other is told of changes. Neither is ever
/// opened again: with either of them the tracking is over, and ``Event/lost(_:)`` says so. Then open another pair, and
/// forget all that was read on this one.
///
/// Only keys are tracked that a transaction reads behind ``trackWhatFollows``. Each is told of once: after that it is
/// tracked again when it is read again. What this pair itself changes is told as well.
///
/// An invalidation may arrive before the reply that it concerns, because the two come over different connections. So
/// remember what is being read, and do not keep a reply whose key was invalidated since it was asked for.
public final class TrackedConnection: Sendable {
    /// What is told, in the order of the server.
    public enum Event: Sendable {
        /// This key has changed, or is gone.
        case invalidated(key: [UInt8])
        /// Every key may have changed: the dataset was emptied or replaced.
        case invalidatedEverything
        /// Nothing is tracked any more, and nothing told. The last event, unless the pair never opened.
        case lost(RedisError)
    }

    /// In a transaction: what the commands behind this one read is tracked.
    public static let trackWhatFollows = RedisCommand("CLIENT", "CACHING", "YES")

    /// What `CLIENT LIST` calls the connection for what is read.
    public static let dataConnectionName = "freshet-tracked"
    /// What the name begins with by which `CLIENT LIST` calls the connection that is told of changes.
    public static let invalidationConnectionName = "freshet-invalidations"

    private let configuration: RedisConfiguration
    private let core: TrackedConnectionCore

    private init(configuration: RedisConfiguration, core: TrackedConnectionCore) {
        self.configuration = configuration
        self.core = core
    }

    deinit {
        // Whoever forgets to close leaves no socket behind either.
        let core = self.core
        core.eventLoop.execute {
            _ = core.close()
        }
    }

    /// Opens a pair.
    ///
    /// - Parameters:
    ///   - configuration: The server, the login and the time limits; `connectTimeLimit` is for both together.
    ///   - eventLoopGroup: Where the connections run; nil is the process's own. It must outlive the pair.
    ///   - report: Is told what happens, one event after the other, on an event loop: it must return at once.
    /// - Throws: ``RedisError`` where the server cannot be reached, or the user may not track keys. It needs `CLIENT`,
    ///   `SUBSCRIBE`, `PING` and the channel `__redis__:invalidate`.
    public static func open(
        _ configuration: RedisConfiguration,
        eventLoopGroup: (any EventLoopGroup)? = nil,
        report: @escaping @Sendable (Event) -> Void
    ) async throws(RedisError) -> TrackedConnection {
        let group = eventLoopGroup ?? MultiThreadedEventLoopGroup.singleton
        let core = TrackedConnectionCore(
            configuration: configuration,
            connector: Connector(configuration),
            eventLoop: group.next(),
            report: report
        )
        let connection = TrackedConnection(configuration: configuration, core: core)
        try await Self.result(of: core) { core.open() }
        return connection
    }

    /// Sends batches without scripts in one pipeline and returns a reply for each command, as `RedisClient` does.
    ///
    /// - Throws: ``RedisError`` when the pair or the time is over, or when the task was cancelled. Where the time is over,
    ///   the pair is as well.
    public func send(
        _ batches: [RedisBatch],
        timeLimit: Duration? = nil
    ) async throws(RedisError) -> [[RedisReply]] {
        let pipeline = Pipeline(batches) { _ in nil }
        guard !pipeline.commands.isEmpty else { return batches.map { _ in [] } }
        let limit = TimeAmount(timeLimit ?? configuration.commandTimeLimit)
        let replies = try await core.replies(to: pipeline.commands, timeLimit: limit)
        return try pipeline.outcome(of: replies, batches: batches).replies
    }

    /// Returns when the server has told all that had changed before this call, and every such event has been reported.
    ///
    /// - Throws: ``RedisError`` when the pair is over. Where no answer comes within the time limit of a command, and where
    ///   the task is cancelled, it is.
    public func catchUp() async throws(RedisError) {
        let core = self.core
        let limit = TimeAmount(configuration.commandTimeLimit)
        try await Self.result(of: core) { core.ping(timeLimit: limit) }
    }

    /// Closes both connections, and reports it as a loss.
    ///
    /// Returns when no socket is left.
    public func close() async {
        let core = self.core
        do {
            try await core.eventLoop.flatSubmit { core.close() }.get()
        } catch {
            // The event loop has been shut down, and its sockets with it.
            return
        }
    }

    /// Waits for a future of the core, whose errors are all ours.
    private static func result(
        of core: TrackedConnectionCore,
        _ begin: @escaping @Sendable () -> EventLoopFuture<Void>
    ) async throws(RedisError) {
        do {
            try await withTaskCancellationHandler {
                try await core.eventLoop.flatSubmit(begin).get()
            } onCancel: {
                core.eventLoop.execute { _ = core.close() }
            }
        } catch let error as RedisError {
            throw Task.isCancelled ? .cancelled() : error
        } catch {
            throw RedisError(.closed, "the event loop of the connection was shut down", underlying: error)
        }
    }
}
