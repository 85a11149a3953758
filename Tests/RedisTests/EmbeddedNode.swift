import Logging
import NIOCore
import NIOEmbedded
import Testing

@testable import Redis

/// A `NodeCore` on an event loop that stands still, and whose channels the test opens, feeds and closes.
///
/// `@unchecked Sendable` because a test uses it on its own thread only.
final class EmbeddedNode: @unchecked Sendable {
    let loop = EmbeddedEventLoop()
    let core: NodeCore
    private let attempts = Attempts()

    /// `@unchecked Sendable` because a test uses it on its own thread only.
    private final class Attempts: @unchecked Sendable {
        var all: [(prepare: Connector.Prepare, promise: EventLoopPromise<any Channel>)] = []
    }

    init(_ configuration: RedisConfiguration = .local) {
        let attempts = self.attempts
        let connector = Connector { eventLoop, prepare in
            let promise = eventLoop.makePromise(of: (any Channel).self)
            attempts.all.append((prepare, promise))
            return promise.futureResult
        }
        core = NodeCore(
            configuration: configuration,
            connector: connector,
            eventLoop: loop,
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() },
            jitter: { 0 }
        )
    }

    /// How many attempts to connect have been made.
    var attemptCount: Int { attempts.all.count }

    /// The last attempt reaches the server; the handshake is still to come.
    func open() throws -> EmbeddedChannel {
        let attempt = try #require(attempts.all.last)
        let channel = EmbeddedChannel(loop: loop)
        try attempt.prepare(channel).wait()
        channel.connect(to: try SocketAddress(ipAddress: "127.0.0.1", port: 6379), promise: nil)
        attempt.promise.succeed(channel)
        loop.run()
        return channel
    }

    /// The last attempt fails.
    func refuse(_ error: any Error) throws {
        try #require(attempts.all.last).promise.fail(error)
        loop.run()
    }

    /// The last attempt reaches the server, and the handshake is done.
    func openAndGreet() throws -> EmbeddedChannel {
        let channel = try open()
        #expect(try channel.sentCommands() == ["CLIENT SETNAME freshet"])
        try channel.reply("+OK\r\n")
        return channel
    }

    /// Submits a command.
    func submit(_ command: RedisCommand, timeLimit: TimeAmount = .seconds(2)) throws -> Submission {
        let submission = try Submission(command, timeLimit: timeLimit)
        core.submit(submission.request, submission.complete)
        loop.run()
        return submission
    }
}

/// A request and its result, once it has one.
final class Submission {
    let request: Request
    private(set) var result: Result<[RedisReply], RedisError>?

    init(_ command: RedisCommand, timeLimit: TimeAmount = .seconds(2)) throws {
        let bound = try RESPEncoder.bound(of: [command])
        request = Request(commands: [command], byteBound: bound, timeLimit: timeLimit)
    }

    func complete(_ result: Result<[RedisReply], RedisError>) {
        #expect(self.result == nil, "completed twice")
        self.result = result
    }

    var replies: [RedisReply]? {
        if case .success(let replies) = result { replies } else { nil }
    }

    var error: RedisError? {
        if case .failure(let error) = result { error } else { nil }
    }
}

extension EmbeddedChannel {
    /// The commands that have been flushed since the last call, as words.
    func sentCommands() throws -> [String] {
        var commands: [String] = []
        var decoder = RESPDecoder()
        while let buffer = try readOutbound(as: ByteBuffer.self) {
            try decoder.decode(buffer) { reply in
                commands.append((reply.array ?? []).map { $0.string ?? "" }.joined(separator: " "))
            }
        }
        return commands
    }

    /// Bytes arrive from the server.
    func reply(_ text: String) throws {
        try writeInbound(ByteBuffer(string: text))
        embeddedEventLoop.run()
    }
}
