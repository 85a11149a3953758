import Logging
import Testing

@testable import Redis

/// The client as its callers see it, against a server in this process.
@Suite(.timeLimit(.minutes(1))) struct RedisNodeTests {
    private let script = RedisScript(name: "one", source: "return 1")
    private let hash = String(repeating: "a", count: 40)

    private func withNode(
        change: (inout RedisConfiguration) -> Void = { _ in },
        _ body: (RedisNode, FakeServer) async throws -> Void
    ) async throws {
        let server = try await FakeServer()
        var configuration = try server.configuration
        // Long, so that nothing passes here because a limit ran out.
        configuration.commandTimeLimit = .seconds(50)
        change(&configuration)
        let node = RedisNode(configuration, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        try await body(node, server)
        await node.close()
        try await server.close()
    }

    @Test func `a call without commands needs no server`() async throws {
        try await withNode { node, server in
            try await server.close()
            #expect(try await node.send([]) == [])
            #expect(try await node.send([RedisBatch(key: "a")]) == [[]])
        }
    }

    @Test func `many callers share one connection and each gets its own reply`() async throws {
        try await withNode { node, server in
            try await withThrowingTaskGroup { group in
                for number in 0..<500 {
                    group.addTask {
                        let reply = try await node.send(RedisCommand("ECHO", .init(number)), key: "")
                        #expect(reply.int64 == Int64(number))
                    }
                }
                for _ in 0..<500 {
                    let (peer, words) = try await server.next()
                    peer.reply("$\(words[1].utf8.count)\r\n\(words[1])\r\n")
                }
                try await group.waitForAll()
            }
        }
    }

    @Test func `a new script is loaded, then known, and resent with its text when the server forgot it`() async throws {
        try await withNode { node, server in
            let batch = RedisBatch(key: "k", commands: [.script(script, keys: ["k"], arguments: [5])])
            async let first = node.send([batch])
            #expect(try await server.next().words == ["SCRIPT", "LOAD", "return 1"])
            let (peer, words) = try await server.next()
            #expect(words == ["EVAL", "return 1", "1", "k", "5"])
            peer.reply("$40\r\n\(hash)\r\n:1\r\n")
            #expect(try await first == [[.integer(1)]])

            async let second = node.send([batch])
            #expect(try await server.next().words == ["EVALSHA", hash, "1", "k", "5"])
            peer.reply("-NOSCRIPT No matching script.\r\n")
            #expect(try await server.next().words == ["EVAL", "return 1", "1", "k", "5"])
            peer.reply(":2\r\n")
            #expect(try await second == [[.integer(2)]])
        }
    }

    @Test func `a task that is cancelled already sends nothing`() async throws {
        try await withNode { node, server in
            let task = Task {
                // Waits until the cancellation below is certain to have happened.
                await withTaskCancellationHandler {
                    for await _ in AsyncStream<Void>.makeStream().stream {}
                } onCancel: {
                }
                return await code { try await node.send(RedisCommand("PING"), key: "") }
            }
            task.cancel()
            #expect(await task.value == .cancelled)
            async let reply = node.send(RedisCommand("GET", "b"), key: "")
            let (peer, words) = try await server.next()
            #expect(words == ["GET", "b"])
            peer.reply(":2\r\n")
            #expect(try await reply == .integer(2))
        }
    }

    @Test func `a cancelled caller returns at once and its reply reaches nobody else`() async throws {
        try await withNode { node, server in
            let task = Task {
                await code { try await node.send(RedisCommand("GET", "a"), key: "") }
            }
            let (peer, _) = try await server.next()
            task.cancel()
            #expect(await task.value == .cancelled)
            async let reply = node.send(RedisCommand("GET", "b"), key: "")
            _ = try await server.next()
            peer.reply(":1\r\n:2\r\n")
            #expect(try await reply == .integer(2))
        }
    }

    @Test func `a caller can be cancelled while its scripts are resent`() async throws {
        try await withNode { node, server in
            let batch = RedisBatch(key: "k", commands: [.script(script, keys: [], arguments: [])])
            async let first = node.send([batch])
            _ = try await server.next()
            let (peer, _) = try await server.next()
            peer.reply("$40\r\n\(hash)\r\n:1\r\n")
            _ = try await first
            let task = Task { await code { _ = try await node.send([batch]) } }
            _ = try await server.next()
            peer.reply("-NOSCRIPT No matching script.\r\n")
            #expect(try await server.next().words.first == "EVAL")
            task.cancel()
            #expect(await task.value == .cancelled)
        }
    }

    @Test func `a time limit of the call's own closes the connection, and the next call opens another`() async throws {
        try await withNode { node, server in
            // The connection stands first: otherwise the limit might run out while it is made.
            async let first = node.send(RedisCommand("GET", "a"), key: "")
            try await server.next().peer.reply(":1\r\n")
            _ = try await first
            let failure = await code {
                try await node.send(RedisCommand("GET", "a"), key: "", timeLimit: .milliseconds(50))
            }
            #expect(failure == .timedOut)
            let (peer, _) = try await server.next()
            try await peer.waitForClose()
            async let reply = node.send(RedisCommand("GET", "b"), key: "")
            try await server.next().peer.reply(":2\r\n")
            #expect(try await reply == .integer(2))
        }
    }

    @Test func `a server that hangs up fails the callers, and the next call reaches it again`() async throws {
        try await withNode { node, server in
            async let first = node.send(RedisCommand("GET", "a"), key: "")
            try await server.next().peer.reply(":1\r\n")
            _ = try await first
            async let lost = code { try await node.send(RedisCommand("GET", "b"), key: "") }
            try await server.next().peer.close()
            #expect(await lost == .connectionLost)
            async let reply = node.send(RedisCommand("GET", "c"), key: "")
            try await server.next().peer.reply(":3\r\n")
            #expect(try await reply == .integer(3))
        }
    }

    @Test func `closing fails the calls under way and hangs up`() async throws {
        try await withNode { node, server in
            async let failure = code { try await node.send(RedisCommand("GET", "a"), key: "") }
            let (peer, _) = try await server.next()
            await node.close()
            #expect(await failure == .closed)
            try await peer.waitForClose()
            #expect(await code { try await node.send(RedisCommand("GET", "a"), key: "") } == .closed)
        }
    }

    @Test func `a client that nobody keeps hangs up`() async throws {
        let server = try await FakeServer()
        var node: RedisNode? = RedisNode(try server.configuration, logger: Logger(label: "test"))
        let task = Task { [node] in try await node?.send(RedisCommand("GET", "a"), key: "") }
        let (peer, _) = try await server.next()
        peer.reply(":1\r\n")
        #expect(try await task.value == .integer(1))
        node = nil
        try await peer.waitForClose()
        try await server.close()
    }

    @Test func `a server that is not there is named, with the reason`() async throws {
        let server = try await FakeServer()
        let configuration = try server.configuration
        try await server.close()
        let node = RedisNode(configuration, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        do {
            _ = try await node.send(RedisCommand("PING"), key: "", timeLimit: .seconds(30))
            Issue.record("nobody listens")
        } catch {
            #expect(error.code == .cannotConnect)
            #expect(error.message == "cannot connect to \(configuration): Connection refused")
        }
        await node.close()
    }
}

/// The code with which a call fails; nil if it does not.
private func code(_ body: () async throws -> some Sendable) async -> RedisError.Code? {
    do {
        _ = try await body()
        return nil
    } catch {
        return (error as? RedisError)?.code
    }
}
