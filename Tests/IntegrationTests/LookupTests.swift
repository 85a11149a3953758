import Foundation
import Freshet
import InvalidationWorker
import Keyspace
import LocalServices
import Metrics
import MetricsTestKit
import Postgres
import Redis
import Synchronization
import Testing

/// What the lookup library promises its callers, on real servers.
@Suite struct LookupTests {
    private func scenario(
        limits: KeyspaceLimits = KeyspaceLimits(),
        _ body: @Sendable (Scenario, RunningWorker) async throws -> Void
    ) async throws {
        try await Scenario.run(limits: limits) { scenario in
            try await scenario.insert(detectors: [1, 2], workflows: [(10, nil), (11, 5), (12, 6)])
            let worker = try await scenario.startWorker()
            try await worker.catchUp()
            try await body(scenario, worker)
        }
    }

    // MARK: Trust

    @Test func `a cache that is switched off is neither read nor filled, until it is switched on`() async throws {
        try await scenario { scenario, _ in
            try await scenario.warm([1], [.environment(5)])
            try await scenario.command("HSET", .string(scenario.headKey), "switch", "off")
            for detector in [1, 2] as [Int64] {
                let found = try await scenario.read(detector, .environment(5))
                #expect(found.ids == [10, 11])
                #expect(found.trust == .disabled)
                #expect(found.global == .miss(.disabled))
                #expect(found.environment == .miss(.disabled))
            }
            #expect(try await scenario.command("EXISTS", .string(scenario.key(2))) == .integer(0))
            try await scenario.command("HDEL", .string(scenario.headKey), "switch")
            let found = try await scenario.read(1, .environment(5))
            #expect(found.trust == .healthy)
            #expect(found.environment == .hit)
        }
    }

    @Test func `without Redis a lookup answers from Postgres`() async throws {
        try await Scenario.run { scenario in
            try await scenario.insert(detectors: [1], workflows: [(10, nil), (11, 5)])
            let away = RedisNode(
                try RedisConfiguration(url: "unix://\(scenario.servers.postgres.socketDirectory)/nobody.sock"),
                logger: testLogger
            )
            let answer = try await scenario.reader(redis: away).workflows(ofDetectors: [1], in: .environment(5))
            #expect(answer.trust == .unreachable)
            #expect(answer.workflows.map(\.id) == [10, 11])
            #expect(answer.detectors.first?.global == .miss(.unreachable))
            await away.close()
        }
    }

    @Test(arguments: ["replica", "1/1/another", nil])
    func `what another Postgres answers is answered, but never stored`(identity: String?) async throws {
        try await scenario { scenario, _ in
            let reader = try scenario.reader { keys in
                LoadedValues(values: try await scenario.loads.load(keys).values, postgres: identity)
            }
            for _ in 0..<2 {
                let answer = try await reader.workflows(ofDetectors: [1], in: .environment(5))
                #expect(answer.workflows.map(\.id) == [10, 11])
                #expect(answer.detectors.first?.environment == .miss(.absent))
            }
            #expect(try await scenario.entry(1, .environment(5)) == nil)
            #expect(try await scenario.entry(1, .global) == nil)
        }
    }

    @Test func `where the schema was taken away, a lookup answers from Postgres and stores nothing`() async throws {
        try await scenario { scenario, worker in
            try await scenario.warm([1], [.environment(5)])
            try await worker.stop()
            try await scenario.execute("DROP SCHEMA freshet CASCADE")
            let found = try await scenario.read(2, .environment(5))
            #expect(found.ids == [10, 11])
            #expect(try await scenario.entry(2, .environment(5)) == nil)
        }
    }

    @Test func `without a worker a lookup serves entries that are young, and loads those that are not`() async throws {
        try await Scenario.run { scenario in
            try await scenario.insert(detectors: [1], workflows: [(10, nil)])
            _ = try await scenario.read(1)
            let young = try await scenario.read(1)
            #expect(young.trust == .degraded)
            #expect(young.global == .hit)
            // As it would be a minute later.
            var entry = try #require(try await scenario.entry(1, .global))
            entry.stamp.readAt = RedisTime(microseconds: entry.stamp.readAt.microseconds - 61_000_000)
            try await scenario.command(
                "HSET",
                .string(scenario.key(1)),
                "e:-",
                .bytes(EntryCodec.encode(entry))
            )
            #expect(try await scenario.read(1).global == .miss(.degraded))
            #expect(try await scenario.read(1).global == .hit)
        }
    }

    @Test func `a degraded limit of zero serves nothing that nobody vouches for`() async throws {
        try await Scenario.run { scenario in
            try await scenario.insert(detectors: [1], workflows: [(10, nil)])
            _ = try await scenario.read(1)
            #expect(try await scenario.read(1).global == .hit)
            let careful = try scenario.reader(options: CacheOptions(degradedAge: .zero))
            for _ in 0..<2 {
                let answer = try await careful.workflows(ofDetectors: [1])
                #expect(answer.detectors.first?.global == .miss(.degraded))
                #expect(answer.workflows.map(\.id) == [10])
            }
        }
    }

    @Test func `an entry from the future is not served while nobody vouches for it`() async throws {
        try await Scenario.run { scenario in
            try await scenario.insert(detectors: [1], workflows: [(10, nil)])
            _ = try await scenario.read(1)
            var entry = try #require(try await scenario.entry(1, .global))
            entry.stamp.readAt = RedisTime(microseconds: entry.stamp.readAt.microseconds + 3_600_000_000)
            let bytes = EntryCodec.encode(entry)
            try await scenario.command("HSET", .string(scenario.key(1)), "e:-", .bytes(bytes))
            #expect(try await scenario.read(1).global == .miss(.degraded))
        }
    }

    // MARK: Round trips and loads

    @Test(arguments: [1, 1_200])
    func `a warm lookup is one round trip, and a cold one a single load`(count: Int) async throws {
        try await scenario { scenario, _ in
            let probe = RedisProbe(scenario.redis)
            let reader = try scenario.reader(redis: probe)
            let detectors = Array(1...Int64(count))
            let cold = try await reader.workflows(ofDetectors: detectors, in: .environment(5))
            #expect(cold.detectors.count == count)
            #expect(scenario.loads.calls == [2 * count])
            // Read, seed, fill.
            #expect(probe.sent.count == 3)
            let warm = try await reader.workflows(ofDetectors: detectors, in: .environment(5))
            #expect(probe.sent.count == 4)
            #expect(scenario.loads.calls.count == 1)
            #expect(warm.detectors.allSatisfy { $0.global == .hit && $0.environment == .hit })
            #expect(warm.workflows == cold.workflows)
            #expect(warm.workflows.map(\.id) == [10, 11])
        }
    }

    @Test func `fifty lookups of one missing key at once are one load`() async throws {
        try await scenario { scenario, _ in
            // The entity has a generation, so that all of them read the same.
            _ = try await scenario.read(1, .environment(6))
            let calls = scenario.loads.calls.count
            let metrics = TestMetrics()
            let reader = try withMetricsFactory(metrics) { try scenario.reader() }
            let hold = scenario.loads.holdNext()
            try await withThrowingTaskGroup(of: [Int64].self) { tasks in
                for _ in 0..<50 {
                    tasks.addTask {
                        try await reader.workflows(ofDetectors: [1], in: .environment(5)).workflows.map(\.id)
                    }
                }
                try await hold.queried()
                let shared = try metrics.expectCounter(
                    "freshet_shared_loads_total",
                    [("namespace", scenario.namespace.description)]
                )
                _ = try await eventually("all to have joined") { shared.totalValue == 49 ? true : nil }
                hold.release()
                for try await ids in tasks { #expect(ids == [10, 11]) }
            }
            #expect(scenario.loads.calls.count - calls == 1)
        }
    }

    @Test func `lookups that read different generations never share a load`() async throws {
        try await scenario { scenario, worker in
            let hold = scenario.loads.holdNext()
            async let early = scenario.read(1, .environment(5))
            try await hold.queried()
            try await scenario.execute(
                "UPDATE workflow_engine_workflow SET enabled = false WHERE id = 11; SELECT freshet.invalidate_detector(1)"
            )
            try await worker.catchUp()
            // The first load is held still: who waited for it would not come back.
            #expect(try await scenario.read(1, .environment(5)).ids == [10])
            hold.release()
            let answered = try await early
            #expect(answered.ids == [10, 11])
            #expect(try await scenario.read(1, .environment(5)).ids == [10])
        }
    }

    @Test func `a load that fails reaches the caller, and is not cached`() async throws {
        struct Broken: Error {}
        try await scenario { scenario, _ in
            let isBroken = Mutex(true)
            let reader = try scenario.reader { keys in
                if isBroken.withLock({ $0 }) { throw Broken() }
                return try await scenario.loads.load(keys)
            }
            for _ in 0..<2 {
                await #expect(throws: Broken.self) { try await reader.workflows(ofDetectors: [1]) }
            }
            isBroken.withLock { $0 = false }
            let loaded = try await reader.workflows(ofDetectors: [1])
            #expect(loaded.workflows.map(\.id) == [10])
            #expect(loaded.detectors.first?.global == .miss(.absent))
            let cached = try await reader.workflows(ofDetectors: [1])
            #expect(cached.detectors.first?.global == .hit)
        }
    }

    @Test func `a lookup that is cancelled while it waits ends, and leaves the next one unharmed`() async throws {
        try await scenario { scenario, _ in
            let hold = scenario.loads.holdNext()
            let waiting = Task { try await scenario.read(1, .environment(5)).ids }
            try await hold.queried()
            waiting.cancel()
            // The load is held for good: only cancellation can end this.
            await #expect(throws: CancellationError.self) {
                try await withTimeLimit(.seconds(10), "the cancelled lookup to end") { try await waiting.value }
            }
            #expect(try await scenario.read(1, .environment(5)).ids == [10, 11])
            #expect(try await scenario.read(1, .environment(5)).environment == .hit)
        }
    }

    @Test func `of two lookups that share a load, the cancelled one ends and the other is answered`() async throws {
        try await scenario { scenario, _ in
            _ = try await scenario.read(1, .environment(6))
            let probe = RedisProbe(scenario.redis)
            let reader = try scenario.reader(redis: probe)
            let hold = scenario.loads.holdNext()
            let first = Task { try await reader.workflows(ofDetectors: [1], in: .environment(5)) }
            try await hold.queried()
            let second = Task { try await reader.workflows(ofDetectors: [1], in: .environment(5)).workflows.map(\.id) }
            _ = try await eventually("the second to have read") { probe.sent.count >= 2 ? true : nil }
            first.cancel()
            await #expect(throws: CancellationError.self) { try await first.value }
            hold.release()
            #expect(try await second.value == [10, 11])
        }
    }

    // MARK: Values

    @Test func `bumps of environments that nobody asks for do not keep a detector from being cached`() async throws {
        try await scenario { scenario, worker in
            try await scenario.warm([1], [.environment(5)])
            // One statement that moves a workflow to an environment each, and many after it.
            try await scenario.execute(
                """
                INSERT INTO workflow_engine_workflow (id, environment_id) SELECT n, n FROM generate_series(1000, 1129) AS n;
                INSERT INTO workflow_engine_detectorworkflow (detector_id, workflow_id)
                SELECT 1, n FROM generate_series(1000, 1129) AS n
                """
            )
            try await worker.catchUp()
            _ = try await scenario.read(1, .environment(5))
            #expect(try await scenario.read(1, .environment(5)).environment == .hit)
            for environment in 1000...1129 {
                try await scenario.execute(
                    "UPDATE workflow_engine_workflow SET name = 'new' WHERE id = \(environment)"
                )
                if environment.isMultiple(of: 8) { try await worker.catchUp() }
            }
            try await worker.catchUp()
            _ = try await scenario.read(1, .environment(5))
            #expect(try await scenario.read(1, .environment(5)).environment == .hit)
        }
    }

    @Test func `a workflow that moved between an answer's two sets stands in it once`() async throws {
        try await Scenario.run { scenario in
            try await scenario.insert(detectors: [1], workflows: [(10, nil)])
            // No worker: the global set stays as it was read first.
            try await scenario.warm([1], [.global])
            try await scenario.execute("UPDATE workflow_engine_workflow SET environment_id = 5")
            #expect(try await scenario.read(1, .environment(5)).ids == [10])
        }
    }

    @Test func `a workflow of several detectors stands in the union once`() async throws {
        try await scenario { scenario, _ in
            for _ in 0..<2 {
                let answer = try await scenario.lookup.workflows(ofDetectors: [2, 1, 2, 777], in: .environment(5))
                #expect(answer.detectors.map(\.id) == [1, 2, 777])
                #expect(answer.detectors.map { $0.workflows.map(\.id) } == [[10, 11], [10, 11], []])
                #expect(answer.workflows.map(\.id) == [10, 11])
            }
        }
    }

    @Test func `all columns come back exactly, from the database as from the cache`() async throws {
        try await scenario { scenario, worker in
            try await scenario.execute(
                """
                UPDATE workflow_engine_workflow SET
                    name = E'W\\u00f6rkflow ''"\\\\ \\U0001F600', status = -32768,
                    config = '{"b": [1, 2.50, null], "a": "\\u00e9\\"", "n": 123456789012345678901234567890}',
                    organization_id = 9223372036854775807, when_condition_group_id = -1, owner_user_id = 1,
                    owner_team_id = 9007199254740993, created_by_id = 0,
                    date_added = '2001-02-03 04:05:06.000001+00', date_updated = '2038-01-19 03:14:08.999999+00'
                WHERE id = 11;
                UPDATE workflow_engine_workflow SET name = '', config = 'null', organization_id = -9223372036854775808,
                    date_added = '1969-12-31 23:59:59.999999+00', date_updated = '1970-01-01 00:00:00+00'
                WHERE id = 10
                """
            )
            try await worker.catchUp()
            // What the database itself says, past the loader.
            let config = try await scenario.admin.query(
                "SELECT config::text FROM workflow_engine_workflow WHERE id = 11"
            )
            let full = Workflow(
                id: 11,
                name: "Wörkflow '\"\\ 😀",
                isEnabled: true,
                status: .min,
                config: config.string(0, 0) ?? "",
                organizationID: .max,
                environmentID: 5,
                whenConditionGroupID: -1,
                ownerUserID: 1,
                ownerTeamID: 9_007_199_254_740_993,
                createdByID: 0,
                dateAdded: Date(microsecondsSince1970: 981_173_106_000_001),
                dateUpdated: Date(microsecondsSince1970: 2_147_483_648_999_999)
            )
            let bare = Workflow(
                id: 10,
                name: "",
                isEnabled: true,
                status: 0,
                config: "null",
                organizationID: .min,
                environmentID: nil,
                whenConditionGroupID: nil,
                ownerUserID: nil,
                ownerTeamID: nil,
                createdByID: nil,
                dateAdded: Date(microsecondsSince1970: -1),
                dateUpdated: Date(microsecondsSince1970: 0)
            )
            for expected in [AnswerSource.miss(.absent), .hit] {
                let answer = try await scenario.lookup.workflows(ofDetectors: [1], in: .environment(5))
                #expect(answer.detectors.first?.environment == expected)
                #expect(answer.workflows == [bare, full])
                #expect(answer.workflows.map(\.dateAdded.microsecondsSince1970) == [-1, 981_173_106_000_001])
                #expect(answer.workflows.last?.dateUpdated.microsecondsSince1970 == 2_147_483_648_999_999)
            }
        }
    }

    @Test func `a further column disturbs neither the lookup nor the invalidation`() async throws {
        try await scenario { scenario, worker in
            try await scenario.execute(
                """
                ALTER TABLE workflow_engine_workflow ADD COLUMN extra json DEFAULT '{}';
                ALTER TABLE workflow_engine_detectorworkflow ADD COLUMN extra text;
                ALTER TABLE workflow_engine_detector ADD COLUMN extra text[]
                """
            )
            try await worker.catchUp()
            try await scenario.warm([1], [.environment(5)])
            #expect(try await scenario.read(1, .environment(5)).environment == .hit)
            try await scenario.execute("UPDATE workflow_engine_workflow SET extra = '{\"a\": 1}', enabled = id <> 11")
            try await worker.catchUp()
            #expect(try await scenario.read(1, .environment(5)).ids == [10])
            #expect(try await scenario.trust() == .healthy)
        }
    }

    // MARK: Buckets

    @Test func `a namespace of several buckets is read, filled, bumped and vouched for as a whole`() async throws {
        try await Scenario.run(bucketCount: 4) { scenario in
            let detectors = Array(1...40 as ClosedRange<Int64>)
            try await scenario.insert(detectors: detectors, workflows: [(10, nil), (11, 5)])
            let worker = try await scenario.startWorker()
            try await worker.catchUp()
            #expect(Set(detectors.map { scenario.namespace.bucket(of: Entity($0)) }).count == 4)
            try await scenario.warm(detectors, [.environment(5)])
            let warm = try await scenario.lookup.workflows(ofDetectors: detectors, in: .environment(5))
            #expect(warm.trust == .healthy)
            #expect(warm.detectors.allSatisfy { $0.global == .hit && $0.environment == .hit })

            try await scenario.execute("UPDATE workflow_engine_workflow SET enabled = false WHERE id = 11")
            try await worker.catchUp()
            let changed = try await scenario.lookup.workflows(ofDetectors: detectors, in: .environment(5))
            #expect(changed.detectors.allSatisfy { $0.global == .hit && $0.environment == .miss(.absent) })
            #expect(changed.workflows.map(\.id) == [10])

            try await scenario.execute("TRUNCATE workflow_engine_detectorworkflow")
            try await worker.catchUp()
            let emptied = try await scenario.lookup.workflows(ofDetectors: detectors, in: .environment(5))
            #expect(emptied.detectors.allSatisfy { $0.global == .miss(.stale(.namespace)) })
            #expect(emptied.workflows.isEmpty)

            // One bucket alone is lost: it is reset, and the others keep what they have.
            try await scenario.warm(detectors, [.global])
            let lost = scenario.namespace.bucket(of: Entity(1))
            try await scenario.command("DEL", .string(scenario.namespace.headKey(bucket: lost)))
            try await worker.catchUp()
            #expect(worker.reports.last?.resetBuckets == [lost])
            let rest = try await scenario.lookup.workflows(ofDetectors: detectors)
            #expect(rest.trust == .healthy)
            for found in rest.detectors {
                let isLost = scenario.namespace.bucket(of: Entity(found.id)) == lost
                #expect(found.global == (isLost ? .miss(.stale(.namespace)) : .hit))
            }
        }
    }
}
