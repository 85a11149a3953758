public import Logging
public import NIOCore
internal import NIOPosix

/// One Redis server behind one connection, shared by everybody who calls.
///
/// Calls are pipelined: each is written at once, and none waits for another's reply. The connection is opened by the
/// first call and reopened by the first call after it was lost. Callers without a connection wait for the one attempt
/// under way; after a failed attempt they fail at once, with its reason, until a pause of 250 ms to 5 s is over.
///
/// A call whose time limit passes closes the connection, because all replies behind the missing one are late as well.
/// A call is never repeated by itself.
public final class RedisNode: RedisClient {
    private let configuration: RedisConfiguration
    /// The configuration's, in the event loop's unit: to convert it takes as long as encoding a command.
    private let commandTimeLimit: TimeAmount
    private let core: NodeCore
    private let scripts = ScriptCache()

    /// Runs tasks on the connection's own event loop, where a call needs no change of threads.
    ///
    /// A call from elsewhere wakes the event loop's thread, and its replies wake one of the pool's: on a machine that has
    /// to wake a core for that, these two cost more than Redis does. For a task that mostly waits for Redis:
    ///
    /// ```swift
    /// try await withTaskExecutorPreference(redis.executor) { try await lookup.workflows(ofDetectors: [1]) }
    /// ```
    ///
    /// The connection stands still while a job runs there, so run nothing on it that computes for long, and nothing that
    /// blocks.
    public let executor: any TaskExecutor

    /// A client of one server.
    ///
    /// Nothing is sent before the first call.
    ///
    /// - Parameters:
    ///   - configuration: The server, the login and the time limits.
    ///   - eventLoopGroup: Where the connection runs; nil is the process's own. It must outlive the client.
    ///   - logger: Told about lost connections and failed attempts, once each time it begins.
    public convenience init(
        _ configuration: RedisConfiguration,
        eventLoopGroup: (any EventLoopGroup)? = nil,
        logger: Logger
    ) {
        let group = eventLoopGroup ?? MultiThreadedEventLoopGroup.singleton
        self.init(configuration, connector: Connector(configuration), eventLoop: group.next(), logger: logger)
    }

    init(_ configuration: RedisConfiguration, connector: Connector, eventLoop: any EventLoop, logger: Logger) {
        self.configuration = configuration
        commandTimeLimit = TimeAmount(configuration.commandTimeLimit)
        core = NodeCore(configuration: configuration, connector: connector, eventLoop: eventLoop, logger: logger)
        executor = EventLoopExecutor(eventLoop)
    }

    deinit {
        // Whoever forgets to close leaves no socket behind either.
        let core = self.core
        core.eventLoop.execute {
            _ = core.close()
        }
    }

    /// Sends all batches in one pipeline and returns a reply for each command.
    ///
    /// A second round trip is made only for scripts that the server has forgotten.
    public func send(
        _ batches: [RedisBatch],
        timeLimit: Duration? = nil
    ) async throws(RedisError) -> [[RedisReply]] {
        let limit = timeLimit.map { TimeAmount($0) } ?? commandTimeLimit
        // Only scripts may need a second round trip within the limit.
        let start = batches.contains(where: \.hasScript) ? NIODeadline.now() : nil
        let pipeline = Pipeline(batches, hash: scripts.hash)
        guard !pipeline.commands.isEmpty else {
            return batches.map { _ in [] }
        }
        var outcome = try pipeline.outcome(
            of: try await core.replies(to: pipeline.commands, timeLimit: limit),
            batches: batches
        )
        scripts.learn(outcome.learned)
        guard !outcome.unknown.isEmpty else { return outcome.replies }

        let commands = Pipeline.resending(outcome.unknown, of: batches)
        let rest = limit - (start.map { .now() - $0 } ?? .zero)
        guard rest > .zero else {
            throw RedisError(.timedOut, "no time left to resend the scripts that \(configuration) does not know")
        }
        for (address, reply) in zip(outcome.unknown, try await core.replies(to: commands, timeLimit: rest)) {
            outcome.replies[address.batch][address.element] = reply
        }
        return outcome.replies
    }

    /// Sends one command, which needs no routing here.
    public func send(
        _ command: RedisCommand,
        key _: String,
        timeLimit: Duration? = nil
    ) async throws(RedisError) -> RedisReply {
        let replies = try await core.replies(
            to: [command],
            timeLimit: timeLimit.map { TimeAmount($0) } ?? commandTimeLimit
        )
        guard let reply = replies.first else { throw RedisError(.protocolViolation, "\(command.name) got no reply") }
        return reply
    }

    /// Fails the calls under way with `.closed`, and closes the connection.
    ///
    /// Returns when no socket is left.
    ///
    /// Later calls fail at once. Closing again does nothing.
    public func close() async {
        let core = self.core
        do {
            try await core.eventLoop.flatSubmit { core.close() }.get()
        } catch {
            // The event loop has been shut down, and its sockets with it.
            return
        }
    }
}

extension RedisNode: CustomStringConvertible {
    /// The server as a URL, without user and password.
    public var description: String { configuration.description }
}
