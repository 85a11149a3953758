import Testing

@testable import Redis

@Suite struct PipelineTests {
    private let script = RedisScript(name: "one", source: "return 1")
    private let hash = String(repeating: "a", count: 40)

    private func words(_ commands: [RedisCommand]) -> [String] {
        commands.map { $0.arguments.map { String(decoding: $0, as: UTF8.self) }.joined(separator: " ") }
    }

    private func outcome(
        _ batches: [RedisBatch],
        _ replies: [RedisReply],
        hash: String? = nil
    ) throws(RedisError) -> Pipeline.Outcome {
        try Pipeline(batches, hash: { _ in hash }).outcome(of: replies, batches: batches)
    }

    private func error(_ line: String) -> RedisReply {
        .error(RedisServerError(line: line))
    }

    @Test func `batches go out in order and their replies come back apart`() throws {
        let batches = [
            RedisBatch(key: "a", commands: [RedisCommand("GET", "a"), RedisCommand("GET", "b")]),
            RedisBatch(key: "b", commands: [RedisCommand]()),
            RedisBatch(key: "c", commands: [RedisCommand("GET", "c")]),
        ]
        #expect(words(Pipeline(batches, hash: { _ in nil }).commands) == ["GET a", "GET b", "GET c"])
        let outcome = try outcome(batches, [.integer(1), error("OOM full"), .null])
        #expect(outcome.replies == [[.integer(1), error("OOM full")], [], [.null]])
    }

    @Test func `a transaction is flattened to the replies of its commands`() throws {
        let batches = [
            RedisBatch(
                key: "a",
                commands: [RedisCommand("INCR", "a"), RedisCommand("LPUSH", "a", 1)],
                isTransaction: true
            ),
            RedisBatch(key: "a", commands: [RedisCommand]()),
            RedisBatch(key: "a", commands: [RedisCommand]([]), isTransaction: true),
            RedisBatch(key: "b", commands: [RedisCommand("GET", "b")]),
        ]
        #expect(
            words(Pipeline(batches, hash: { _ in nil }).commands) == ["MULTI", "INCR a", "LPUSH a 1", "EXEC", "GET b"]
        )
        let queued = RedisReply.simple("QUEUED")
        let result = RedisReply.array([.integer(2), error("WRONGTYPE no list")])
        let outcome = try outcome(batches, [.simple("OK"), queued, queued, result, .null])
        #expect(outcome.replies == [[.integer(2), error("WRONGTYPE no list")], [], [], [.null]])
    }

    @Test func `an aborted transaction is an error for each command, and the culprit keeps its own`() throws {
        let batches = [
            RedisBatch(key: "a", commands: [RedisCommand("INCR", "a"), RedisCommand("NO")], isTransaction: true)
        ]
        let aborted = error("EXECABORT Transaction discarded because of previous errors.")
        let unknown = error("ERR unknown command")
        let outcome = try outcome(batches, [.simple("OK"), .simple("QUEUED"), unknown, aborted])
        #expect(outcome.replies == [[aborted, unknown]])
    }

    @Test func `a transaction without a result is an error for each command`() throws {
        let batches = [RedisBatch(key: "a", commands: [RedisCommand("INCR", "a")], isTransaction: true)]
        let outcome = try outcome(batches, [.simple("OK"), .simple("QUEUED"), .null])
        #expect(outcome.replies.first?.first?.error?.code == .transactionAborted)
    }

    @Test func `a refused MULTI is the error of every command that was not executed in one`() throws {
        let batches = [RedisBatch(key: "a", commands: [RedisCommand("INCR", "a")], isTransaction: true)]
        let outcome = try outcome(batches, [error("NOPERM no multi"), .integer(1), error("ERR EXEC without MULTI")])
        #expect(outcome.replies == [[error("NOPERM no multi")]])
    }

    @Test(arguments: [RedisReply.array([]), .integer(1)])
    func `a result that does not fit its transaction is a protocol violation`(result: RedisReply) {
        let batches = [RedisBatch(key: "a", commands: [RedisCommand("INCR", "a")], isTransaction: true)]
        #expect {
            try outcome(batches, [.simple("OK"), .simple("QUEUED"), result])
        } throws: {
            ($0 as? RedisError)?.code == .protocolViolation
        }
    }

    @Test func `a script that is new is loaded once and sent with its text`() throws {
        var batch = RedisBatch(key: "a", commands: [RedisCommand("GET", "a")])
        batch.append(script, keys: ["k"], arguments: [5])
        batch.append(script, keys: [])
        let other = RedisBatch(key: "b", commands: [.script(script, keys: [], arguments: [])])
        let expected = [
            "SCRIPT LOAD return 1", "GET a", "EVAL return 1 1 k 5", "EVAL return 1 0", "EVAL return 1 0",
        ]
        #expect(words(Pipeline([batch, other], hash: { _ in nil }).commands) == expected)
        let loaded = RedisReply.bulk(Array(hash.utf8))
        let outcome = try outcome([batch, other], [loaded, .null, .integer(1), .integer(2), .integer(3)])
        #expect(outcome.replies == [[.null, .integer(1), .integer(2)], [.integer(3)]])
        #expect(outcome.learned == [script: hash])
        #expect(outcome.unknown.isEmpty)
    }

    @Test func `a server that refuses to load teaches nothing and costs nothing`() throws {
        let batches = [RedisBatch(key: "a", commands: [.script(script, keys: [], arguments: [])])]
        let outcome = try outcome(batches, [error("NOPERM no script"), .integer(1)])
        #expect(outcome.learned.isEmpty)
        #expect(outcome.replies == [[.integer(1)]])
    }

    @Test func `a known script goes by its hash, and what the server forgot is resent in order`() throws {
        var batch = RedisBatch(key: "a", commands: [RedisCommand("GET", "a")])
        batch.append(script, keys: ["k"], arguments: [5])
        let other = RedisBatch(
            key: "b",
            commands: [.script(script, keys: ["x"], arguments: []), .command(RedisCommand("EVALSHA", "0", 0))]
        )
        let batches = [batch, other]
        let expected = ["GET a", "EVALSHA \(hash) 1 k 5", "EVALSHA \(hash) 1 x", "EVALSHA 0 0"]
        #expect(words(Pipeline(batches, hash: { _ in hash }).commands) == expected)
        let forgotten = error("NOSCRIPT No matching script.")
        let outcome = try outcome(batches, [.null, forgotten, forgotten, forgotten], hash: hash)
        // The last is a plain command: its caller asked for that hash, and gets the error.
        #expect(outcome.unknown == [.init(batch: 0, element: 1), .init(batch: 1, element: 0)])
        #expect(
            words(Pipeline.resending(outcome.unknown, of: batches)) == ["EVAL return 1 1 k 5", "EVAL return 1 1 x"]
        )
    }
}
