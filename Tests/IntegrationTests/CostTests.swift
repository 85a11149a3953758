import CAllocationCount
import Freshet
import InvalidationWorker
import Keyspace
import LocalServices
import NIOCore
import NIOPosix
import Postgres
import Redis
import Testing

/// What things cost, in counts that are the same on every machine: round trips, statements, commands, bytes.
///
/// Times are measured by `deploy/bench`, and not asserted.
@Suite struct CostTests {
    // MARK: Readers

    /// Lookups of detectors with two workflows each, one of them global, through a client that counts.
    ///
    /// What the worker has promised holds for all that time, and it sends nothing more.
    private func reading(
        detectors: [Int64],
        _ body: @Sendable (Scenario, LocalRedis, RedisProbe, WorkflowLookup) async throws -> Void
    ) async throws {
        try await Scenario.withOwnRedis(limits: KeyspaceLimits(lease: .seconds(600))) { scenario, redis in
            try await scenario.insert(detectors: detectors, workflows: [(10, nil), (11, 5)])
            let worker = try await scenario.startWorker()
            try await worker.catchUp()
            try await worker.stop()
            let probe = RedisProbe(scenario.redis)
            try await body(scenario, redis, probe, try scenario.reader(redis: probe))
            #expect(try await scenario.trust() == .healthy)
        }
    }

    @Test(arguments: [1, 100])
    func `a warm lookup is one round trip, with a command for each detector and two for all`(count: Int) async throws {
        let detectors = Array(Int64(1_001)...Int64(1_000 + count))
        try await reading(detectors: detectors) { scenario, redis, probe, lookup in
            for _ in 1...2 { _ = try await lookup.workflows(ofDetectors: detectors, in: .environment(5)) }
            let cold = probe.sent.count
            let loads = scenario.loads.calls.count
            for _ in 1...3 {
                let answer = try await lookup.workflows(ofDetectors: detectors, in: .environment(5))
                #expect(answer.detectors.allSatisfy { $0.workflows.count == 2 })
            }
            #expect(probe.sent.dropFirst(cold) == [2 + count, 2 + count, 2 + count])
            #expect(scenario.loads.calls.count == loads)
        }
    }

    @Test func `a lookup that misses is three round trips and one query, however many detectors miss`() async throws {
        let detectors = Array(Int64(1_001)...1_020)
        try await reading(detectors: detectors) { scenario, _, probe, lookup in
            _ = try await lookup.workflows(ofDetectors: detectors, in: .environment(5))
            // Read; claim, a script for each detector; fill, a script for each entry.
            #expect(probe.sent == [2 + 20, 20, 40])
            #expect(scenario.loads.calls == [40])
        }
    }

    @Test func `a warm lookup of one detector sends and receives no more than so many bytes`() async throws {
        try await reading(detectors: [1_001]) { scenario, redis, _, lookup in
            for _ in 1...2 { _ = try await lookup.workflows(ofDetectors: [1_001], in: .environment(5)) }
            let lookups: Int64 = 200
            let bytes = try await traffic(of: redis) {
                for _ in 0..<lookups { _ = try await lookup.workflows(ofDetectors: [1_001], in: .environment(5)) }
            }
            // Counted: 258 and 522 bytes, the answer with two workflows; what INFO adds is shared by all.
            #expect((250...265).contains(bytes.received / lookups), "\(bytes)")
            #expect((510...540).contains(bytes.sent / lookups), "\(bytes)")
        }
    }

    @Test func `a miss of one detector sends and receives no more than so many bytes`() async throws {
        try await reading(detectors: Array(Int64(1_001)...1_100)) { _, redis, _, lookup in
            _ = try await lookup.workflows(ofDetectors: [1_001], in: .environment(5))
            let bytes = try await traffic(of: redis) {
                for detector in Int64(1_002)...1_100 {
                    _ = try await lookup.workflows(ofDetectors: [detector], in: .environment(5))
                }
            }
            // Counted: 1,676 and 324 bytes, of which the two scripts' keys and arguments are most.
            #expect((1_500...1_800).contains(bytes.received / 99), "\(bytes)")
            #expect((250...400).contains(bytes.sent / 99), "\(bytes)")
        }
    }

    /// How often a lookup allocates memory on the thread that it runs on: the mean of so many.
    private func allocations(_ lookups: Int, _ lookup: () async throws -> Void) async throws -> Int {
        let before = allocation_count()
        for _ in 0..<lookups { try await lookup() }
        return Int(allocation_count() - before) / lookups
    }

    @Test func `an answer from memory allocates once, and one from Redis no more than so many times`() async throws {
        try await Scenario.withOwnRedis(limits: KeyspaceLimits(lease: .seconds(60))) { scenario, _ in
            try await scenario.insert(detectors: [1], workflows: [(10, nil), (11, 5)])
            let worker = try await scenario.startWorker(hears: false)
            try await scenario.drain(worker)
            try await scenario.withNearReader { near in
                try await near.warm(1)
                let count = try await allocations(100) {
                    _ = try await near.lookup.workflows(ofDetector: 1, in: .environment(5))
                }
                #expect(count == 1)
            }
            // All of it on the connection's thread, which nobody else has.
            let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
            let node = RedisNode(
                try RedisConfiguration(url: scenario.servers.redis.url),
                eventLoopGroup: group,
                logger: testLogger
            )
            let lookup = try scenario.reader(redis: node)
            try await withTaskExecutorPreference(node.executor) {
                for _ in 1...2 { _ = try await lookup.workflows(ofDetectors: [1], in: .environment(5)) }
                let count = try await allocations(100) {
                    _ = try await lookup.workflows(ofDetectors: [1], in: .environment(5))
                }
                // Counted: 282, in a debug build.
                #expect((1...310).contains(count), "\(count)")
            }
            await node.close()
            try await group.shutdownGracefully()
        }
    }

    /// What Redis receives and sends meanwhile, in bytes.
    private func traffic(
        of redis: LocalRedis,
        _ body: () async throws -> Void
    ) async throws -> (received: Int64, sent: Int64) {
        let client = RedisNode(try RedisConfiguration(url: redis.url), logger: testLogger)
        func figures() async throws -> [Int64] {
            let stats = try await info("stats", from: client)
            return try ["total_net_input_bytes", "total_net_output_bytes"].map { name in
                try #require(stats[name].flatMap { Int64($0) })
            }
        }
        let before = try await figures()
        try await body()
        let after = try await figures()
        await client.close()
        return (after[0] - before[0], after[1] - before[1])
    }

    /// A section of what Redis tells of itself, by name.
    private func info(_ section: String, from client: RedisNode) async throws -> [String: Substring] {
        let text = try await client.send(RedisCommand("INFO", .string(section)), key: "").string ?? ""
        let lines = text.split(whereSeparator: \.isNewline).compactMap { line -> (name: String, text: Substring)? in
            line.firstIndex(of: ":").map { (String(line[..<$0]), line[line.index(after: $0)...]) }
        }
        return Dictionary(lines, uniquingKeysWith: { first, _ in first })
    }

    // MARK: Worker and writers

    /// Counts statements by the role that executes them, and what the worker sends to Redis.
    private func counting(
        hears: Bool,
        _ body: @Sendable (Scenario, LocalRedis, RedisProbe, RunningWorker) async throws -> Void
    ) async throws {
        try await Scenario.withOwnServers(
            postgresSettings: [
                "shared_preload_libraries": "pg_stat_statements", "pg_stat_statements.track": "all",
                "pg_stat_statements.track_utility": "on",
            ]
        ) { scenario in
            try await scenario.execute("CREATE EXTENSION pg_stat_statements")
            try await scenario.insert(detectors: [1, 2], workflows: [(10, nil), (11, 5)])
            // Only what is notified begins a pass.
            let probe = RedisProbe(scenario.redis)
            let worker = try await scenario.startWorker(redis: probe, hears: hears) {
                $0.pollInterval = .seconds(3_600)
            }
            try await worker.events.wait(for: .committed, count: 1)
            try await scenario.warm([1, 2], [.environment(5)])
            if hears {
                // When the session for hints is there, the other ceases to listen, behind a pass that is nobody's.
                _ = try await eventually("the pump to leave the listening to the lane") {
                    try await scenario.admin.query("SELECT 1 FROM pg_stat_statements WHERE query LIKE 'UNLISTEN%'")
                        .rowCount > 0 ? true : nil
                }
            }
            // The first of its kind prepares statements, and loads scripts.
            try await change(scenario, worker)
            try await body(scenario, scenario.servers.redis, probe, worker)
        }
    }

    /// What is changed, and what its bump takes in Redis: commands, by name.
    struct Change: Sendable, CustomTestStringConvertible {
        var sql: String
        /// The statements of the worker for a hint.
        var lookUps: Int64
        var bump: [String: Int]

        var testDescription: String { sql }

        /// A workflow that two detectors trigger, of which both are cached.
        static let workflow = Change(
            sql: "UPDATE workflow_engine_workflow SET enabled = NOT enabled WHERE id = 11",
            lookUps: 1,
            bump: ["hmget": 2, "hlen": 2, "hdel": 2, "hset": 2]
        )
        /// Of a detector all variants.
        static let detector = Change(
            sql: "UPDATE workflow_engine_detector SET enabled = NOT enabled WHERE id = 1",
            lookUps: 0,
            bump: ["hmget": 1, "unlink": 1, "hset": 1, "pexpire": 1]
        )
        /// One that is there, and then is not, or the other way round.
        static let link = Change(
            sql: """
                WITH gone AS (DELETE FROM workflow_engine_detectorworkflow WHERE detector_id = 1 AND workflow_id = 11)
                INSERT INTO workflow_engine_detectorworkflow (detector_id, workflow_id) SELECT 1, 11
                WHERE NOT EXISTS (SELECT FROM workflow_engine_detectorworkflow WHERE detector_id = 1 AND workflow_id = 11)
                """,
            lookUps: 1,
            bump: ["hmget": 1, "hlen": 1, "hdel": 1, "hset": 1]
        )
    }

    /// What a pass takes beside bumps: the time, the head, and a script that compares and writes the head.
    private static let pass = ["time": 1, "hmget": 1, "evalsha": 1, "hget": 3, "hdel": 1, "hset": 3]
    /// What a hint adds: a script, which leaves its mark; and its pass looks at that.
    private static let hint = ["evalsha": 1, "hget": 2, "hdel": 1, "hset": 1]

    private static func sum(_ counts: [String: Int]...) -> [String: Int] {
        counts.reduce(into: [:]) { $0.merge($1, uniquingKeysWith: +) }
    }

    private func change(_ scenario: Scenario, _ worker: RunningWorker, _ change: Change = .workflow) async throws {
        let count = worker.reports.count
        let writer = try await scenario.connect(user: Servers.Roles.writer)
        try await writer.run(script: change.sql)
        await writer.close()
        _ = try await eventually("the change to be claimed") { worker.reports.dropFirst(count).first }
    }

    /// How often a role has executed statements of its own, and how often its triggers have.
    private func statements(_ scenario: Scenario, of role: String) async throws -> (own: Int64, nested: Int64) {
        let found = try await scenario.admin.query(
            """
            SELECT coalesce(sum(calls) FILTER (WHERE toplevel), 0)::bigint, coalesce(sum(calls) FILTER (WHERE NOT toplevel), 0)::bigint
            FROM pg_stat_statements JOIN pg_roles ON pg_roles.oid = userid
            WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
                AND (rolname = $1 OR NOT toplevel)
            """,
            [PostgresParameter(role)]
        )
        return (try found.requiredInt64(0, 0), try found.requiredInt64(0, 1))
    }

    /// How often Redis has executed each command, since its counts were reset; but for what asks for them.
    private func commands(_ redis: LocalRedis) async throws -> [String: Int] {
        let client = RedisNode(try RedisConfiguration(url: redis.url), logger: testLogger)
        let stats = try await info("commandstats", from: client)
        await client.close()
        var counts: [String: Int] = [:]
        for (name, figures) in stats where name.hasPrefix("cmdstat_") {
            counts[String(name.dropFirst("cmdstat_".count))] = figures.split(separator: ",").first.flatMap {
                Int($0.dropFirst("calls=".count))
            }
        }
        return counts.filter {
            !["config|resetstat", "hello", "client|setname", "client|setinfo", "info"].contains($0.key)
        }
    }

    private func reset(_ scenario: Scenario) async throws {
        _ = try await scenario.admin.query("SELECT pg_stat_statements_reset()")
        try await scenario.command("CONFIG", "RESETSTAT")
    }

    @Test(arguments: [Change.workflow, .detector, .link])
    func `a change without a hint costs a pass: three statements, and two round trips of three commands to Redis`(
        change: Change
    ) async throws {
        try await counting(hears: false) { scenario, redis, probe, worker in
            try await self.change(scenario, worker, change)
            try await scenario.warm([1, 2], [.environment(5)])
            try await reset(scenario)
            let before = probe.sent.count
            try await self.change(scenario, worker, change)
            // The time and the head; a script.
            #expect(probe.sent.dropFirst(before) == [2, 1])
            // BEGIN, the claim, COMMIT.
            #expect(try await statements(scenario, of: Servers.Roles.worker).own == 3)
            let counts = try await commands(redis)
            #expect(counts == Self.sum(Self.pass, change.bump), "\(counts)")
        }
    }

    /// A pass over two detectors, and a hint before it.
    @Test(arguments: [false, true])
    func `a pass, a hint and what tells of a change are no more than so many bytes`(hears: Bool) async throws {
        try await counting(hears: hears) { scenario, redis, _, worker in
            let passes = worker.gate.steps.count(of: .waiting)
            let listener = try await scenario.connect()
            try await listener.run(script: "LISTEN freshet_change")
            let bytes = try await traffic(of: redis) {
                try await change(scenario, worker)
                try await worker.gate.steps.wait(for: .waiting, count: passes + 1)
            }
            let payload = try await listener.nextNotification(until: .now + .seconds(20))?.payload ?? ""
            await listener.close()
            // Counted: 649 and 896 bytes, with the question how many there were.
            #expect((hears ? 700...950 : 500...690).contains(bytes.received), "\(bytes)")
            // Counted: 128 bytes.
            #expect((1...130).contains(payload.utf8.count), "\(payload)")
        }
    }

    @Test(arguments: [Change.workflow, .detector, .link])
    func
        `a hint costs a round trip of one script more, and a statement where it has to look up, and its pass bumps nothing`(
            change: Change
        ) async throws
    {
        try await counting(hears: true) { scenario, redis, probe, worker in
            try await self.change(scenario, worker, change)
            try await scenario.warm([1, 2], [.environment(5)])
            try await reset(scenario)
            let before = probe.sent.count
            try await self.change(scenario, worker, change)
            #expect(probe.sent.dropFirst(before) == [1, 2, 1])
            #expect(try await statements(scenario, of: Servers.Roles.worker).own == 3 + change.lookUps)
            // Each detector once: what the hint has bumped the pass leaves alone.
            let counts = try await commands(redis)
            #expect(counts == Self.sum(Self.pass, Self.hint, change.bump), "\(counts)")
        }
    }

    @Test func `a changed row costs its writer one row of the journal and so many statements in the trigger`()
        async throws
    {
        try await counting(hears: true) { scenario, _, _, worker in
            try await reset(scenario)
            let rows = "SELECT last_value FROM freshet.change_id_seq"
            let before = try await scenario.admin.query(rows).requiredInt64(0, 0)
            try await change(scenario, worker)
            #expect(try await scenario.admin.query(rows).requiredInt64(0, 0) == before + 1)
            let counts = try await statements(scenario, of: Servers.Roles.writer)
            #expect(counts.own == 1)
            #expect(counts.nested <= 8, "\(counts)")
        }
    }
}
