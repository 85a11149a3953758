import Keyspace
import Redis
import Testing

@testable import Freshet

/// The division of a near cache into shards.
struct NearCacheSpreadTests {
    /// Connections that nothing is sent over.
    private struct Silence: TrackingSession {
        func send(_ batches: [RedisBatch]) async throws(RedisError) -> [[RedisReply]] {
            batches.map { _ in [] }
        }

        func catchUp() async throws(RedisError) {}

        func close() async {}
    }

    private static let generation = Generation(counter: 1, nonce: 1)

    private func workflows() -> CacheDefinition<DetectorWorkflowsKey, [Workflow]> {
        WorkflowLookup.definition(namespace: .workflows, limits: KeyspaceLimits()) { _ in
            LoadedValues(values: [:], postgres: nil)
        }
    }

    @Test(arguments: [1, 8, 1_000, 1 << 20] as [Int64])
    func `ids that are all multiples of something fill every shard`(step: Int64) {
        let definition = workflows()
        // Eight shards, of 256 values each: as many as there are keys, and half as many again.
        let limits = NearCacheLimits(count: 2_048, bytes: 64 << 20)
        let near = NearCache<DetectorWorkflowsKey, Int64>(
            namespace: .workflows,
            limits: limits,
            spread: definition.spread
        )
        let session = NearCache<DetectorWorkflowsKey, Int64>.Session(number: 1, connection: Silence())
        near.begin(session)
        let end = LocalTime.now + .seconds(60)
        near.extend(1, generations: [0: Self.generation], until: end)
        for number in 0..<1_365 as Range<Int64> {
            let key = DetectorWorkflowsKey(detectorID: number * step, environment: .global)
            guard let ticket = near.ticket(for: key, of: Entity(key.detectorID), session: session) else { continue }
            let candidate = NearCacheShard<DetectorWorkflowsKey, Int64>.Candidate(
                value: number,
                byteCount: 1,
                bucket: 0,
                namespace: Self.generation,
                expires: end
            )
            near.redeem(ticket, for: key, with: candidate)
        }
        #expect(near.size.count == 1_365)
    }

    @Test func `two sets of a detector are found together, also in different shards`() {
        let spreads: [@Sendable (DetectorWorkflowsKey) -> UInt] = [
            workflows().spread,
            { key in key.environment == .global ? 0 : .max },
        ]
        for spread in spreads {
            let near = NearCache<DetectorWorkflowsKey, Int64>(
                namespace: .workflows,
                limits: NearCacheLimits(count: 2_048, bytes: 64 << 20),
                spread: spread
            )
            let session = NearCache<DetectorWorkflowsKey, Int64>.Session(number: 1, connection: Silence())
            near.begin(session)
            let now = LocalTime.now
            near.extend(1, generations: [0: Self.generation], until: now + .seconds(60))
            let keys = [DetectorEnvironment.global, .environment(5), .environment(6)].map {
                DetectorWorkflowsKey(detectorID: 7, environment: $0)
            }
            for (key, value) in zip(keys.dropLast(), [10, 20] as [Int64]) {
                let candidate = NearCacheShard<DetectorWorkflowsKey, Int64>.Candidate(
                    value: value,
                    byteCount: 1,
                    bucket: 0,
                    namespace: Self.generation,
                    expires: now + .seconds(60)
                )
                guard let ticket = near.ticket(for: key, of: Entity(7), session: session) else { continue }
                near.redeem(ticket, for: key, with: candidate)
            }
            let found = near.values(for: keys[0], and: keys[1], at: now)
            #expect(found?.0 == 10 && found?.1 == 20)
            #expect(near.values(for: keys[0], and: keys[2], at: now) == nil)
            #expect(near.values(for: keys[0], and: keys[1], at: now + .seconds(60)) == nil)
        }
    }
}
