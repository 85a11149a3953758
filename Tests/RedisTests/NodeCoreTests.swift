import NIOCore
import NIOEmbedded
import Testing

@testable import Redis

@Suite struct NodeCoreTests {
    private let ping = RedisCommand("PING")

    @Test func `nothing connects before the first call`() throws {
        let node = EmbeddedNode()
        node.loop.advanceTime(by: .hours(1))
        #expect(node.attemptCount == 0)
    }

    @Test func `callers join the one attempt and are sent in order once it stands`() throws {
        let node = EmbeddedNode()
        let first = try node.submit(RedisCommand("GET", "a"))
        let second = try node.submit(RedisCommand("GET", "b"))
        #expect(node.attemptCount == 1)
        let channel = try node.openAndGreet()
        #expect(try channel.sentCommands() == ["GET a", "GET b"])
        try channel.reply(":1\r\n")
        #expect(first.replies == [.integer(1)])
        #expect(second.result == nil)
        try channel.reply(":2\r\n")
        #expect(second.replies == [.integer(2)])
    }

    @Test func `callers of one turn of the event loop share a flush`() throws {
        let node = EmbeddedNode()
        let first = try node.submit(ping)
        let channel = try node.openAndGreet()
        _ = try channel.sentCommands()
        try channel.reply("+PONG\r\n")
        let counter = FlushCounter()
        try channel.pipeline.syncOperations.addHandler(counter, position: .first)
        let others = try (0..<3).map { _ in try Submission(ping) }
        for other in others {
            node.core.submit(other.request, other.complete)
        }
        #expect(counter.count == 0)
        node.loop.run()
        #expect(counter.count == 1)
        #expect(try channel.sentCommands().count == 3)
        #expect(first.replies == [.simple("PONG")])
    }

    @Test func `much that is sent in one turn of the event loop begins to go out before its end, in order`() throws {
        let node = EmbeddedNode()
        let first = try node.submit(ping)
        let channel = try node.openAndGreet()
        _ = try channel.sentCommands()
        try channel.reply("+PONG\r\n")
        #expect(first.replies == [.simple("PONG")])
        let others = try (0..<100).map { try Submission(RedisCommand("GET", .string("\($0) of a hundred keys"))) }
        for other in others {
            node.core.submit(other.request, other.complete)
        }
        let early = try channel.sentCommands()
        #expect((20..<100).contains(early.count))
        node.loop.run()
        let sent = try early + channel.sentCommands()
        #expect(sent == (0..<100).map { "GET \($0) of a hundred keys" })
        try channel.reply((0..<100).map { ":\($0)\r\n" }.joined())
        #expect(others.map { $0.replies } == (0..<100).map { [.integer($0)] })
    }

    @Test func `a refused attempt fails all who wait, and those who call during the pause`() throws {
        let node = EmbeddedNode()
        let first = try node.submit(ping)
        let second = try node.submit(ping)
        try node.refuse(IOError(errnoCode: 111, reason: "connect"))
        for submission in [first, second, try node.submit(ping)] {
            #expect(submission.error?.code == .cannotConnect)
            #expect(submission.error?.message == "cannot connect to redis://localhost:6379: Connection refused")
            #expect(submission.error?.underlying is IOError)
        }
        #expect(node.attemptCount == 1)
        node.loop.advanceTime(by: .milliseconds(249))
        #expect(try node.submit(ping).error != nil)
        node.loop.advanceTime(by: .milliseconds(1))
        #expect(try node.submit(ping).result == nil)
        #expect(node.attemptCount == 2)
    }

    @Test func `nobody tries to connect while nobody calls`() throws {
        let node = EmbeddedNode()
        _ = try node.submit(ping)
        try node.refuse(ChannelError.eof)
        node.loop.advanceTime(by: .hours(1))
        #expect(node.attemptCount == 1)
    }

    @Test func `an attempt that takes too long is given up, and closed when it comes through after all`() throws {
        let node = EmbeddedNode()
        let submission = try node.submit(ping, timeLimit: .hours(1))
        node.loop.advanceTime(by: .seconds(5))
        #expect(submission.error?.message == "cannot connect to redis://localhost:6379: no answer within 5000 ms")
        #expect(throws: RedisError.self) { try node.open() }
    }

    @Test func `a handshake that gets no reply is part of the attempt's time`() throws {
        let node = EmbeddedNode()
        let submission = try node.submit(ping, timeLimit: .hours(1))
        let channel = try node.open()
        node.loop.advanceTime(by: .seconds(5))
        #expect(submission.error?.code == .cannotConnect)
        #expect(!channel.isActive)
    }

    @Test func `a caller waits for an attempt no longer than its own time limit`() throws {
        let node = EmbeddedNode()
        let short = try node.submit(ping, timeLimit: .seconds(1))
        let long = try node.submit(ping, timeLimit: .seconds(4))
        node.loop.advanceTime(by: .seconds(1))
        #expect(short.error?.code == .timedOut)
        #expect(long.result == nil)
        let channel = try node.openAndGreet()
        #expect(try channel.sentCommands() == ["PING"])
        try channel.reply("+PONG\r\n")
        #expect(long.replies == [.simple("PONG")])
    }

    @Test func `a failed login fails the callers and the next ones until the pause is over`() throws {
        var configuration = RedisConfiguration.local
        configuration.password = "hunter2"
        let node = EmbeddedNode(configuration)
        let submission = try node.submit(ping)
        let channel = try node.open()
        #expect(try channel.sentCommands() == ["AUTH hunter2", "CLIENT SETNAME freshet"])
        try channel.reply("-WRONGPASS invalid\r\n-NOAUTH Authentication required.\r\n")
        #expect(submission.error?.code == .authenticationFailed)
        #expect(submission.error?.message.contains("hunter2") == false)
        #expect(!channel.isActive)
        #expect(try node.submit(ping).error?.code == .authenticationFailed)
    }

    @Test func `a caller without a reply times out, and the connection goes with all that wait behind it`() throws {
        let node = EmbeddedNode()
        let first = try node.submit(ping, timeLimit: .seconds(1))
        let second = try node.submit(ping, timeLimit: .seconds(2))
        let channel = try node.openAndGreet()
        node.loop.advanceTime(by: .seconds(1))
        #expect(first.error?.code == .timedOut)
        #expect(second.error?.code == .connectionLost)
        #expect(!channel.isActive)
    }

    @Test func `a lost connection fails who waits for replies, and the next caller connects at once`() throws {
        let node = EmbeddedNode()
        let first = try node.submit(ping)
        let channel = try node.openAndGreet()
        try channel.reply("+PONG\r\n")
        let second = try node.submit(ping)
        channel.pipeline.fireErrorCaught(IOError(errnoCode: 104, reason: "read"))
        node.loop.run()
        #expect(first.replies != nil)
        #expect(second.error?.code == .connectionLost)
        #expect(
            second.error?.message == "the connection to redis://localhost:6379 was lost: Connection reset by peer"
        )
        #expect(!channel.isActive)
        let third = try node.submit(ping)
        #expect(node.attemptCount == 2)
        let next = try node.openAndGreet()
        try next.reply("+PONG\r\n")
        #expect(third.replies == [.simple("PONG")])
    }

    @Test func `a server that hangs up during the handshake is a failed attempt`() throws {
        let node = EmbeddedNode()
        let submission = try node.submit(ping)
        let channel = try node.open()
        channel.close(promise: nil)
        node.loop.run()
        #expect(submission.error?.code == .cannotConnect)
        #expect(submission.error?.message.contains("does it want TLS") == true)
    }

    @Test(arguments: ["+PONG\r\n+PONG\r\n", "HTTP/1.1 200 OK\r\n"])
    func `a peer that does not keep to the protocol loses the connection`(bytes: String) throws {
        let node = EmbeddedNode()
        let first = try node.submit(ping)
        let channel = try node.openAndGreet()
        try channel.reply(bytes)
        #expect(first.replies == [.simple("PONG")] || first.error?.code == .protocolViolation)
        #expect(!channel.isActive)
    }

    @Test func `cancelling before the request arrives completes it when it does`() throws {
        let node = EmbeddedNode()
        let submission = try Submission(ping)
        node.core.cancel(submission.request)
        #expect(submission.result == nil)
        node.core.submit(submission.request, submission.complete)
        #expect(submission.error?.code == .cancelled)
        #expect(node.attemptCount == 0)
    }

    @Test func `cancelling while the attempt is under way leaves the attempt to the others`() throws {
        let node = EmbeddedNode()
        let first = try node.submit(RedisCommand("GET", "a"))
        let second = try node.submit(RedisCommand("GET", "b"))
        node.core.cancel(first.request)
        #expect(first.error?.code == .cancelled)
        let channel = try node.openAndGreet()
        #expect(try channel.sentCommands() == ["GET b"])
        try channel.reply(":2\r\n")
        #expect(second.replies == [.integer(2)])
    }

    @Test func `cancelling while the reply is awaited drops the reply when it comes`() throws {
        let node = EmbeddedNode()
        let first = try node.submit(RedisCommand("GET", "a"))
        let second = try node.submit(RedisCommand("GET", "b"))
        let channel = try node.openAndGreet()
        node.core.cancel(first.request)
        #expect(first.error?.code == .cancelled)
        // Its time limit is over with it: the connection stays.
        try channel.reply(":1\r\n:2\r\n")
        #expect(second.replies == [.integer(2)])
        node.loop.advanceTime(by: .hours(1))
        #expect(channel.isActive)
    }

    @Test func `a hanging server loses the connection also when every caller is cancelled before its limit`() throws {
        let node = EmbeddedNode()
        let first = try node.submit(ping, timeLimit: .seconds(2))
        let channel = try node.openAndGreet()
        node.loop.advanceTime(by: .seconds(1))
        node.core.cancel(first.request)
        let second = try node.submit(ping, timeLimit: .seconds(2))
        node.loop.advanceTime(by: .milliseconds(999))
        #expect(channel.isActive)
        node.loop.advanceTime(by: .milliseconds(1))
        #expect(!channel.isActive)
        #expect(second.error?.code == .connectionLost)
    }

    @Test func `cancelling what is done changes nothing`() throws {
        let node = EmbeddedNode()
        let submission = try node.submit(ping)
        let channel = try node.openAndGreet()
        try channel.reply("+PONG\r\n")
        node.core.cancel(submission.request)
        #expect(submission.replies == [.simple("PONG")])
    }

    @Test func `a finished request is kept by nobody`() throws {
        let node = EmbeddedNode()
        var done: Submission? = try node.submit(ping)
        var cancelled: Submission? = try node.submit(ping)
        let channel = try node.openAndGreet()
        weak let doneRequest = done?.request
        weak let cancelledRequest = cancelled?.request
        if let request = cancelled?.request { node.core.cancel(request) }
        cancelled = nil
        #expect(cancelledRequest == nil)
        try channel.reply("+PONG\r\n")
        #expect(done?.replies != nil)
        done = nil
        #expect(doneRequest == nil)
    }

    @Test func `closing fails what is pending and closes the connection`() throws {
        let node = EmbeddedNode()
        let submission = try node.submit(ping)
        let channel = try node.openAndGreet()
        let closed = node.core.close()
        node.loop.run()
        try closed.wait()
        #expect(submission.error?.code == .closed)
        #expect(!channel.isActive)
        #expect(try node.submit(ping).error?.code == .closed)
        try node.core.close().wait()
    }

    @Test func `closing during an attempt fails who waits, and the attempt finds nobody`() throws {
        let node = EmbeddedNode()
        let submission = try node.submit(ping)
        try node.core.close().wait()
        #expect(submission.error?.code == .closed)
        #expect(throws: RedisError.self) { try node.open() }
        node.loop.advanceTime(by: .hours(1))
        #expect(node.attemptCount == 1)
    }

    @Test func `closing during the handshake closes the socket`() throws {
        let node = EmbeddedNode()
        let submission = try node.submit(ping)
        let channel = try node.open()
        let closed = node.core.close()
        node.loop.run()
        try closed.wait()
        #expect(submission.error?.code == .closed)
        #expect(!channel.isActive)
    }
}

/// Counts the flushes that reach the transport.
///
/// `@unchecked Sendable` because a test uses it on its own thread only.
private final class FlushCounter: ChannelOutboundHandler, @unchecked Sendable {
    typealias OutboundIn = ByteBuffer

    private(set) var count = 0

    func flush(context: ChannelHandlerContext) {
        count += 1
        context.flush()
    }
}
