import NIOConcurrencyHelpers
import NIOCore
import NIOEmbedded
import Testing

@testable import Redis

/// A pair of connections on an event loop that stands still.
@Suite struct TrackedConnectionCoreTests {
    /// `@unchecked Sendable` because a test uses it on its own thread only.
    private final class Pair: @unchecked Sendable {
        let loop = EmbeddedEventLoop()
        let core: TrackedConnectionCore
        let told = NIOLockedValueBox<[String]>([])
        private let attempts: Attempts
        private(set) var opened: EventLoopFuture<Void>

        /// `@unchecked Sendable` because a test uses it on its own thread only.
        private final class Attempts: @unchecked Sendable {
            var all: [(prepare: Connector.Prepare, promise: EventLoopPromise<any Channel>)] = []
        }

        init() {
            let attempts = Attempts()
            self.attempts = attempts
            let told = told
            core = TrackedConnectionCore(
                configuration: .local,
                connector: Connector { eventLoop, prepare in
                    let promise = eventLoop.makePromise(of: (any Channel).self)
                    attempts.all.append((prepare, promise))
                    return promise.futureResult
                },
                eventLoop: loop,
                report: { event in
                    let text =
                        switch event {
                        case .invalidated(let key): String(decoding: key, as: UTF8.self)
                        case .invalidatedEverything: "everything"
                        case .lost(let error): "lost: \(error.code)"
                        }
                    told.withLockedValue { $0.append(text) }
                }
            )
            opened = core.open()
        }

        var attemptCount: Int { attempts.all.count }
        var events: [String] { told.withLockedValue { $0 } }

        /// The last attempt reaches the server.
        func connect() throws -> EmbeddedChannel {
            let attempt = try #require(attempts.all.last)
            let channel = EmbeddedChannel(loop: loop)
            try attempt.prepare(channel).wait()
            channel.connect(to: try SocketAddress(ipAddress: "127.0.0.1", port: 6379), promise: nil)
            attempt.promise.succeed(channel)
            loop.run()
            return channel
        }

        /// Both connections stand.
        func open() throws -> (invalidations: EmbeddedChannel, data: EmbeddedChannel) {
            let invalidations = try connect()
            let name = try #require(try invalidations.sentCommands().first?.split(separator: " ").last)
            try invalidations.reply("+OK\r\n:7\r\n" + subscribed)
            let data = try connect()
            _ = try data.sentCommands()
            try data.reply("+OK\r\n+OK\r\n" + TrackedConnectionCoreTests.client(named: name))
            try opened.wait()
            return (invalidations, data)
        }

        func submit(_ command: RedisCommand, timeLimit: TimeAmount = .seconds(2)) throws -> Submission {
            let submission = try Submission(command, timeLimit: timeLimit)
            core.submit(submission.request, submission.complete)
            loop.run()
            return submission
        }
    }

    private static let subscribed = "*3\r\n$9\r\nsubscribe\r\n$20\r\n__redis__:invalidate\r\n:1\r\n"

    /// A reply to CLIENT LIST.
    private static func client(named name: some StringProtocol) -> String {
        let line = "id=7 addr=127.0.0.1:1 name=\(name) age=1"
        return "$\(line.utf8.count)\r\n\(line)\r\n"
    }

    private static func message(_ key: String) -> String {
        "*3\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n*1\r\n$\(key.utf8.count)\r\n\(key)\r\n"
    }

    private static let pong = "*2\r\n$4\r\npong\r\n$0\r\n\r\n"

    @Test func `nothing is tracked before somebody listens`() throws {
        let pair = Pair()
        let invalidations = try pair.connect()
        let sent = try invalidations.sentCommands()
        #expect(sent.dropFirst() == ["CLIENT ID", "SUBSCRIBE __redis__:invalidate"])
        let name = try #require(sent.first?.split(separator: " ").last)
        #expect(sent.first?.hasPrefix("CLIENT SETNAME freshet-invalidations-") == true)
        try invalidations.reply("+OK\r\n:7\r\n")
        #expect(pair.attemptCount == 1)
        try invalidations.reply(Self.subscribed)
        #expect(pair.attemptCount == 2)
        let data = try pair.connect()
        #expect(
            try data.sentCommands()
                == ["CLIENT SETNAME freshet-tracked", "CLIENT TRACKING ON REDIRECT 7 OPTIN", "CLIENT LIST ID 7"]
        )
        try data.reply("+OK\r\n+OK\r\n" + Self.client(named: name))
        try pair.opened.wait()
        #expect(pair.events.isEmpty)
    }

    @Test func `what is invalidated is reported, and a sign of life comes behind it`() throws {
        let pair = Pair()
        let (invalidations, _) = try pair.open()
        let isAlive = NIOLockedValueBox(false)
        pair.core.ping(timeLimit: .seconds(2)).whenSuccess {
            #expect(pair.events == ["a", "b"])
            isAlive.withLockedValue { $0 = true }
        }
        #expect(try invalidations.sentCommands() == ["PING"])
        try invalidations.reply(Self.message("a"))
        #expect(!isAlive.withLockedValue { $0 })
        try invalidations.reply(Self.message("b") + Self.pong)
        #expect(isAlive.withLockedValue { $0 })
    }

    @Test func `the loss of the connection for invalidations is the loss of both`() throws {
        let pair = Pair()
        let (invalidations, data) = try pair.open()
        let reading = try pair.submit(RedisCommand("GET", "a"))
        invalidations.close(promise: nil)
        pair.loop.run()
        #expect(pair.events == ["lost: connectionLost"])
        #expect(!data.isActive)
        #expect(reading.error?.code == .connectionLost)
        #expect(try pair.submit(RedisCommand("GET", "a")).error?.code == .connectionLost)
    }

    @Test func `the loss of the connection that reads is the loss of both`() throws {
        let pair = Pair()
        let (invalidations, data) = try pair.open()
        data.close(promise: nil)
        pair.loop.run()
        #expect(pair.events == ["lost: connectionLost"])
        #expect(!invalidations.isActive)
        #expect(throws: RedisError.self) { try pair.core.ping(timeLimit: .seconds(2)).wait() }
    }

    @Test func `the loss is reported before anybody learns that a read has failed`() throws {
        let pair = Pair()
        let (_, data) = try pair.open()
        let request = try Submission(RedisCommand("GET", "a")).request
        let failed = NIOLockedValueBox(false)
        pair.core.submit(request) { _ in
            #expect(pair.events.count == 1)
            failed.withLockedValue { $0 = true }
        }
        data.close(promise: nil)
        pair.loop.run()
        #expect(failed.withLockedValue { $0 })
    }

    @Test func `a read without a reply in time ends the pair`() throws {
        let pair = Pair()
        let (invalidations, _) = try pair.open()
        let reading = try pair.submit(RedisCommand("GET", "a"), timeLimit: .seconds(1))
        pair.loop.advanceTime(by: .seconds(1))
        #expect(reading.error?.code == .timedOut)
        #expect(pair.events.count == 1)
        #expect(!invalidations.isActive)
    }

    @Test func `a missing sign of life ends the pair`() throws {
        let pair = Pair()
        let (_, data) = try pair.open()
        let sign = pair.core.ping(timeLimit: .seconds(1))
        pair.loop.advanceTime(by: .seconds(1))
        #expect(throws: RedisError.self) { try sign.wait() }
        #expect(pair.events == ["lost: timedOut"])
        #expect(!data.isActive)
    }

    @Test func `a pair that does not open in time is given up, and reports nothing`() throws {
        let pair = Pair()
        let invalidations = try pair.connect()
        try invalidations.reply("+OK\r\n:7\r\n" + Self.subscribed)
        pair.loop.advanceTime(by: .seconds(5))
        #expect(throws: RedisError.self) { try pair.opened.wait() }
        #expect(!invalidations.isActive)
        #expect(pair.events.isEmpty)
        #expect(throws: (any Error).self) { try pair.connect() }
    }

    @Test func `closing reports the loss once`() throws {
        let pair = Pair()
        let (invalidations, data) = try pair.open()
        let closed = pair.core.close()
        pair.loop.run()
        try closed.wait()
        _ = pair.core.close()
        #expect(pair.events == ["lost: closed"])
        #expect(!invalidations.isActive)
        #expect(!data.isActive)
    }
}
