import Logging
import NIOCore
import NIOEmbedded
import TestSupport
import Testing

@testable import Redis

/// A call of the client, cancelled before its first step, before its second, and so on, until it ends without having been cancelled.
///
/// Everything happens on the thread of the test: the jobs of the callers, which wait for their turn, and the event loop, which
/// stands still between two steps of it. So nothing is waited for, and where no step is left the call has been forgotten.
@Suite struct SendCancellationTests {
    struct Situation: Sendable, CustomTestStringConvertible {
        var testDescription: String
        var batches = [RedisBatch(key: "k", commands: [RedisCommand("ECHO", "subject")])]
        var expected: [[RedisReply]] = [[.bulk(Array("subject".utf8))]]
        /// Whether a connection stands already.
        var isConnected = true
        /// Whether the server forgets its scripts once it has told their hashes.
        var forgetsScripts = false
        /// What goes wrong.
        var fault: Fault?
    }

    enum Fault: Sendable {
        case refusal, hangUp, silence

        /// What the call may end with.
        var codes: [RedisError.Code] {
            switch self {
            case .refusal: [.cannotConnect]
            case .hangUp: [.connectionLost]
            // Of two whose time is over at the same moment, one ends the connection, and the other loses it.
            case .silence: [.timedOut, .connectionLost]
            }
        }
    }

    private static let script = RedisScript(name: "script", source: "return 7")
    private static var scriptCall: RedisBatch {
        var batch = RedisBatch(key: "k")
        batch.append(RedisCommand("ECHO", "before"))
        batch.append(script, keys: ["k"])
        return batch
    }

    static let situations = [
        Situation(testDescription: "the first call, which connects", isConnected: false),
        Situation(testDescription: "a call over a connection that stands"),
        Situation(
            testDescription: "a transaction between commands",
            batches: [
                RedisBatch(key: "a", commands: [RedisCommand("ECHO", "1")]),
                RedisBatch(
                    key: "b",
                    commands: [RedisCommand("ECHO", "2"), RedisCommand("ECHO", "3")],
                    isTransaction: true
                ),
            ],
            expected: [[.bulk([0x31])], [.bulk([0x32]), .bulk([0x33])]]
        ),
        Situation(
            testDescription: "a script that is new to the client",
            batches: [scriptCall],
            expected: [[.bulk(Array("before".utf8)), .integer(7)]]
        ),
        Situation(
            testDescription: "a script that the server has forgotten",
            batches: [scriptCall],
            expected: [[.bulk(Array("before".utf8)), .integer(7)]],
            forgetsScripts: true
        ),
        Situation(testDescription: "a server that refuses", isConnected: false, fault: .refusal),
        Situation(testDescription: "a server that hangs up", fault: .hangUp),
        Situation(testDescription: "a server that says nothing", fault: .silence),
    ]

    @Test(arguments: situations)
    func `a call that is cancelled at any step ends, and leaves nothing behind`(_ situation: Situation) throws {
        var step = 0
        while try play(situation, cancellingBefore: step) { step += 1 }
        // Fewer would mean that it was not the call that was stepped.
        #expect(step >= 3)
    }

    /// Plays a situation once.
    ///
    /// - Returns: Whether the call was still under way at that step, and was cancelled.
    private func play(_ situation: Situation, cancellingBefore last: Int) throws -> Bool {
        let place: Comment = "cancelled before step \(last)"
        let world = SteppedServer()
        if situation.isConnected {
            // With the script, so that its hash is known.
            let first = Call(
                world,
                situation.forgetsScripts
                    ? [Self.scriptCall] : [RedisBatch(key: "k", commands: [RedisCommand("ECHO", "0")])]
            )
            while first.result == nil { try #require(try world.step()) }
            world.knowsScripts = !situation.forgetsScripts
        }
        world.fault = situation.fault
        let subject = Call(world, situation.batches)
        // Its reply comes behind those of the subject, whatever becomes of that.
        let neighbour = Call(world, [RedisBatch(key: "k", commands: [RedisCommand("ECHO", "neighbour")])])
        var (step, isCancelled) = (0, false)
        while subject.result == nil || neighbour.result == nil {
            if step == last, subject.result == nil {
                subject.cancel()
                isCancelled = true
            }
            try #require(try world.step(), place)
            step += 1
        }
        switch (subject.result, situation.fault) {
        case (.failure(let error), _) where isCancelled && error.code == .cancelled: break
        case (.failure(let error), let fault?): #expect(fault.codes.contains(error.code), place)
        case (let result, _): #expect(try result?.get() == situation.expected, place)
        }
        if situation.fault == nil {
            #expect(try neighbour.result?.get() == [[.bulk(Array("neighbour".utf8))]], place)
            while try world.step() {}
            // Also when every time limit is over: what nobody waits for has been replied to all the same.
            world.loop.advanceTime(by: .hours(1))
            #expect(world.channel?.isActive == true, place)
        } else {
            #expect(throws: RedisError.self, place) { try neighbour.result?.get() }
        }
        try world.close()
        #expect(world.isForgotten, place)
        return isCancelled
    }
}

/// A call that is made step by step.
///
/// `@unchecked Sendable` because all its jobs run on the thread of the test.
private final class Call: @unchecked Sendable {
    private(set) var result: Result<[[RedisReply]], RedisError>?
    private var task: Task<Void, Never>?

    init(_ world: SteppedServer, _ batches: [RedisBatch]) {
        let node = world.node
        task = Task(executorPreference: world.executor) {
            do throws(RedisError) {
                self.result = .success(try await node.send(batches))
            } catch {
                self.result = .failure(error)
            }
        }
    }

    func cancel() { task?.cancel() }
}

/// A client and its server on an event loop that stands still between two steps.
///
/// `@unchecked Sendable` because it is used on the thread of the test only.
private final class SteppedServer: @unchecked Sendable {
    /// What only the client retains.
    private final class Sentinel: Sendable {}

    /// `@unchecked Sendable` because it is used on the thread of the test only.
    private final class Attempts: @unchecked Sendable {
        var open: [(prepare: Connector.Prepare, promise: EventLoopPromise<any Channel>)] = []
    }

    let loop = EmbeddedEventLoop()
    let executor = SteppingExecutor()
    var fault: SendCancellationTests.Fault?
    var knowsScripts = true
    private(set) var channel: EmbeddedChannel?
    private var client: RedisNode?
    private weak var sentinel: Sentinel?
    private let attempts = Attempts()
    private var unanswered: [[String]] = []
    private var queued = -1

    init() {
        let (attempts, sentinel) = (attempts, Sentinel())
        self.sentinel = sentinel
        let connector = Connector { eventLoop, prepare in
            withExtendedLifetime(sentinel) {
                let promise = eventLoop.makePromise(of: (any Channel).self)
                attempts.open.append((prepare, promise))
                return promise.futureResult
            }
        }
        client = RedisNode(
            .local,
            connector: connector,
            eventLoop: loop,
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        )
    }

    var node: RedisNode {
        guard let client else { preconditionFailure("the client has been closed") }
        return client
    }

    /// Whether nothing is left of the client.
    var isForgotten: Bool { sentinel == nil }

    /// Does the next thing that there is to do: runs a job, runs the event loop, connects, or answers one command.
    ///
    /// - Returns: False where there is nothing.
    func step() throws -> Bool {
        if executor.step() { return true }
        loop.run()
        while let sent = try channel?.readOutbound(as: ByteBuffer.self) {
            var decoder = RESPDecoder()
            try decoder.decode(sent) { reply in
                unanswered.append((reply.array ?? []).map { $0.string ?? "" })
            }
        }
        if let attempt = attempts.open.popLast() {
            try connect(attempt)
        } else if !unanswered.isEmpty {
            try answer()
        } else {
            // A turn of the event loop alone, if it made anything ready.
            return executor.step()
        }
        return true
    }

    private func connect(_ attempt: (prepare: Connector.Prepare, promise: EventLoopPromise<any Channel>)) throws {
        guard fault != .refusal else {
            attempt.promise.fail(IOError(errnoCode: 111, reason: "connect"))
            return
        }
        let channel = EmbeddedChannel(loop: loop)
        try attempt.prepare(channel).wait()
        channel.connect(to: try SocketAddress(ipAddress: "127.0.0.1", port: 6379), promise: nil)
        self.channel = channel
        attempt.promise.succeed(channel)
    }

    private func answer() throws {
        switch fault {
        case .hangUp:
            unanswered = []
            channel?.close(promise: nil)
        case .silence:
            unanswered = []
            loop.advanceTime(by: .hours(1))
        case .refusal, nil:
            try channel?.writeInbound(ByteBuffer(string: reply(to: unanswered.removeFirst())))
        }
    }

    private func reply(to command: [String]) -> String {
        if queued >= 0, command[0] != "EXEC" {
            queued += 1
            echoes.append(command[1])
            return "+QUEUED\r\n"
        }
        switch command[0] {
        case "ECHO": return bulk(command[1])
        case "SCRIPT": return bulk(String(repeating: "a", count: 40))
        case "EVAL": return ":7\r\n"
        case "EVALSHA": return knowsScripts ? ":7\r\n" : "-NOSCRIPT No matching script.\r\n"
        case "MULTI":
            queued = 0
            return "+OK\r\n"
        case "EXEC":
            defer { (queued, echoes) = (-1, []) }
            return "*\(queued)\r\n" + echoes.map(bulk).joined()
        default: return "+OK\r\n"
        }
    }

    private var echoes: [String] = []

    private func bulk(_ text: String) -> String { "$\(text.utf8.count)\r\n\(text)\r\n" }

    /// Lets the client go, and everything happen that still can.
    func close() throws {
        client = nil
        loop.advanceTime(by: .hours(1))
        while try step() {}
        loop.advanceTime(by: .hours(1))
    }
}
