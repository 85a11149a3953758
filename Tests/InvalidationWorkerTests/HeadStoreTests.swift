import Keyspace
import Redis
import Testing

@testable import InvalidationWorker

/// What a server answers that is not, or not any more, what this worker takes it for.
struct HeadStoreTests {
    /// A Redis that answers every command with the same.
    private struct Parrot: RedisClient {
        let reply: RedisReply

        func send(_ batches: [RedisBatch], timeLimit: Duration?) async throws(RedisError) -> [[RedisReply]] {
            batches.map { $0.commands.map { _ in reply } }
        }
    }

    private func plan() throws -> PassPlan {
        PassPlan(
            claim: CacheClaim(cache: "workflows"),
            snapshot: "10:20:",
            heads: [ObservedHead(fence: .init(mark: "", postgres: ""), time: RedisTime(microseconds: 1))],
            identity: try #require(PostgresIdentity("7/1/a")),
            nextMark: "next",
            namespace: .workflows,
            limits: KeyspaceLimits()
        )
    }

    private func applied(_ counts: Int64...) -> RedisReply {
        .array([.bulk(Array("applied".utf8)), .bulk(Array("1.00000000000000aa".utf8))] + counts.map { .integer($0) })
    }

    @Test func `what the script answers is summed up`() async throws {
        let store = HeadStore(redis: Parrot(reply: applied(1, 2, 3, 4)), limits: KeyspaceLimits())
        let outcomes = try await store.apply([plan(), plan()])
        let each = PassOutcome(
            generation: "1.00000000000000aa",
            bumpedEntities: 1,
            bumpedVariants: 2,
            absentEntities: 3,
            damagedKeys: 4
        )
        #expect(outcomes == [each, each])
    }

    @Test(arguments: [.max, -1, 1 << 40] as [Int64])
    func `counts that no script answers are refused`(count: Int64) async throws {
        let store = HeadStore(redis: Parrot(reply: applied(0, 0, count, 0)), limits: KeyspaceLimits())
        await #expect(throws: WorkerError.self) { try await store.apply([plan()]) }
    }

    @Test func `an answer of any length is told in a few words`() async throws {
        let answer = RedisReply.bulk(Array(repeating: 0x61, count: 1 << 20))
        let store = HeadStore(redis: Parrot(reply: answer), limits: KeyspaceLimits())
        let error = await #expect(throws: WorkerError.self) { try await store.apply([plan()]) }
        #expect(error.map { $0.description.utf8.count < 400 } == true)
    }
}
