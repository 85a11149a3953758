import Keyspace
import Redis
import Synchronization
import Testing

@testable import InvalidationWorker

private func applied(_ counts: Int64...) -> RedisReply {
    .array([.bulk(Array("applied".utf8)), .bulk(Array("1.00000000000000aa".utf8))] + counts.map { .integer($0) })
}

/// What a server answers that is not, or not any more, what this worker takes it for.
struct HeadStoreTests {
    /// A Redis that answers every command with the same.
    private struct Parrot: RedisClient {
        let reply: RedisReply

        func send(_ batches: [RedisBatch], timeLimit: Duration?) async throws(RedisError) -> [[RedisReply]] {
            batches.map { $0.commands.map { _ in reply } }
        }
    }

    /// A Redis that answers a script with how many came before it, unless it is told what else to say.
    private final class Counter: RedisClient {
        private let keys = Mutex<[[String]]>([])
        private let answer: RedisReply?

        init(answer: RedisReply? = nil) {
            self.answer = answer
        }

        /// The keys of each pipeline.
        var pipelines: [[String]] { keys.withLock { $0 } }

        func send(_ batches: [RedisBatch], timeLimit: Duration?) async throws(RedisError) -> [[RedisReply]] {
            let before = keys.withLock { keys in
                defer { keys.append(batches.map(\.key)) }
                return keys.joined().count
            }
            return batches.indices.map { place in [answer ?? applied(Int64(before + place), 0, 0, 0)] }
        }
    }

    private func plan(in namespace: CacheNamespace = .workflows) throws -> PassPlan {
        PassPlan(
            claim: CacheClaim(cache: "workflows"),
            snapshot: "10:20:",
            heads: [ObservedHead(fence: .init(mark: "", postgres: ""), time: RedisTime(microseconds: 1))],
            identity: try #require(PostgresIdentity("7/1/a")),
            nextMark: "next",
            namespace: namespace,
            limits: KeyspaceLimits()
        )
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

    @Test(arguments: [0, 1, 16, 17, 80, 81, 200])
    func `more scripts than one pipeline holds are sent in several, in order`(count: Int) async throws {
        let redis = Counter()
        let store = HeadStore(redis: redis, limits: KeyspaceLimits())
        let namespaces = try (0..<count).map { try CacheNamespace(prefix: "n\($0)") }
        let outcomes = try await store.apply(try namespaces.map { try plan(in: $0) })
        #expect(outcomes.map(\.bumpedEntities) == (0..<count).map(Int64.init))
        #expect(redis.pipelines.joined().elementsEqual(namespaces.map { $0.headKey(bucket: 0) }))
        let sizes = redis.pipelines.map(\.count)
        #expect(sizes.first ?? 0 == min(16, count))
        #expect(sizes.dropFirst().dropLast().allSatisfy { $0 == 64 } && sizes.allSatisfy { (1...64).contains($0) })
    }

    @Test func `behind a script that was fenced no further pipeline is sent`() async throws {
        let redis = Counter(answer: .array([.bulk(Array("fenced".utf8)), .bulk([]), .bulk([])]))
        let store = HeadStore(redis: redis, limits: KeyspaceLimits())
        let plans = try (0..<100).map { try plan(in: try CacheNamespace(prefix: "n\($0)")) }
        let error = await #expect(throws: HeadStore.Failure.self) { try await store.apply(plans) }
        guard case .fenced? = error else {
            Issue.record("\(String(describing: error))")
            return
        }
        #expect(redis.pipelines.count == 1)
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
