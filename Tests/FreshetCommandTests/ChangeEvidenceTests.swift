import Keyspace
import Redis
import Synchronization
import Testing

@testable import ChangeFeed
@testable import FreshetCommand

/// What is read of a stream that goes on, and what is done where it does not.
@Suite struct ChangeEvidenceTests {
    private let redis = StreamRedis()

    private func evidence(limit: Int = 100) -> ChangeEvidence {
        ChangeEvidence(of: .workflows, redis: redis, limit: limit)
    }

    /// The ids of what is known; nil where nothing is.
    private func known(to evidence: ChangeEvidence) async -> [String]? {
        guard case .known(let entries)? = await evidence.changes(of: "workflows") else { return nil }
        return entries.map { "\($0.id)" }
    }

    @Test func `a stream is read once, and then for what is new, also of the same millisecond`() async throws {
        let evidence = evidence()
        #expect(await known(to: evidence) == nil)
        try redis.append("5-0", "6-0")
        #expect(await known(to: evidence) == ["5-0", "6-0"])
        #expect(redis.lowestAsked == "-")
        try redis.append("6-1", "7-0")
        #expect(await known(to: evidence) == ["5-0", "6-0", "6-1", "7-0"])
        #expect(redis.lowestAsked == "6-0")
        #expect(await known(to: evidence) == ["5-0", "6-0", "6-1", "7-0"])
        #expect(redis.lowestAsked == "7-0")
    }

    @Test func `no more than the newest are kept`() async throws {
        let evidence = evidence(limit: 3)
        try redis.append("1-0", "2-0", "3-0", "4-0")
        #expect(await known(to: evidence) == ["2-0", "3-0", "4-0"])
        try redis.append("5-0")
        #expect(await known(to: evidence) == ["3-0", "4-0", "5-0"])
        try redis.append("6-0", "7-0", "8-0", "9-0")
        #expect(await known(to: evidence) == ["7-0", "8-0", "9-0"])
    }

    @Test func `what Redis holds no more is forgotten, whatever ids the next have`() async throws {
        let evidence = evidence()
        try redis.append("5-0", "6-0")
        #expect(await known(to: evidence) == ["5-0", "6-0"])
        redis.empty()
        #expect(await known(to: evidence) == nil)
        for ids in [["5-0", "6-0"], ["2-0", "3-0"], ["2-0"], ["9-0"]] {
            redis.empty()
            for id in ids { try redis.append(id) }
            #expect(await known(to: evidence) == ids)
        }
    }
}

/// A Redis that holds one stream, and answers XREVRANGE alone.
private final class StreamRedis: RedisClient {
    private struct State {
        var entries: [(id: ChangeID, record: [UInt8])] = []
        var lowestAsked: String?
    }

    private let state = Mutex(State())

    /// Where the last reading was to end.
    var lowestAsked: String? { state.withLock { $0.lowestAsked } }

    func append(_ ids: String...) throws {
        let change = AppliedChange(
            namespace: "freshet:workflows",
            atMicroseconds: 1,
            table: "detector",
            operation: "update",
            rows: 1,
            changes: 1
        )
        let record = try ChangeStream.encoded(change)
        let entries = ids.compactMap { ChangeID($0) }.map { (id: $0, record: record) }
        state.withLock { $0.entries += entries }
    }

    func empty() {
        state.withLock { $0.entries = [] }
    }

    func send(_ batches: [RedisBatch], timeLimit: Duration?) async throws(RedisError) -> [[RedisReply]] {
        batches.map { batch in
            batch.commands.map { element in
                guard case .command(let command) = element, command.name == "XREVRANGE" else { return .null }
                return reply(command.arguments.dropFirst(2).map { String(decoding: $0, as: UTF8.self) })
            }
        }
    }

    /// - Parameter arguments: The highest id, the lowest, `COUNT`, and how many.
    private func reply(_ arguments: [String]) -> RedisReply {
        let (top, lowest, count) = (arguments[0], arguments[1], Int(arguments[3]) ?? 0)
        let entries = state.withLock { state in
            state.lowestAsked = lowest
            return state.entries
        }
        // Nil for what has no bound.
        let isExclusive = top.hasPrefix("(")
        let (last, first) = (ChangeID(isExclusive ? String(top.dropFirst()) : top), ChangeID(lowest))
        let wanted = entries.reversed().filter { entry in
            if let last, isExclusive ? entry.id >= last : entry.id > last { return false }
            return first.map { entry.id >= $0 } ?? true
        }
        let replies = wanted.prefix(count).map { entry -> RedisReply in
            let record = RedisReply.array([.bulk(Array(ChangeStream.field.utf8)), .bulk(entry.record)])
            return .array([.bulk(Array("\(entry.id)".utf8)), record])
        }
        return .array(replies)
    }
}
