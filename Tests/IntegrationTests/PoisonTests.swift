import Freshet
import InvalidationWorker
import Keyspace
import LocalServices
import Logging
import Metrics
import MetricsTestKit
import Postgres
import Redis
import TestSupport
import Testing

/// What others put under our keys and into our channel: an error is counted and told once, nothing stale is served, nothing
/// crashes, and the worker goes on with everything else.
@Suite struct PoisonTests {
    private static let change = "UPDATE workflow_engine_workflow SET enabled = false WHERE id = 11"

    /// Detectors 1 and 2 with workflow 10, global, and 11, in environment 5; all cached.
    private func scenario(
        limits: KeyspaceLimits = KeyspaceLimits(),
        pollInterval: Duration = .milliseconds(50),
        _ body: @Sendable (Scenario, RunningWorker, TestMetrics, LogProbe) async throws -> Void
    ) async throws {
        let metrics = TestMetrics()
        let log = LogProbe()
        try await withMetricsFactory(metrics) {
            try await Scenario.run(limits: limits) { scenario in
                try await prepare(scenario)
                let worker = try await scenario.startWorker(logger: log.logger) { $0.pollInterval = pollInterval }
                try await scenario.drain(worker)
                try await warm(scenario)
                try await body(scenario, worker, metrics, log)
            }
        }
    }

    private func prepare(_ scenario: Scenario) async throws {
        try await scenario.insert(detectors: [1, 2], workflows: [(10, nil), (11, 5)])
    }

    private func warm(_ scenario: Scenario) async throws {
        try await scenario.warm([1, 2], [.environment(5)])
        // At once, where nothing is as short as a pause of a busy machine.
        _ = try await eventually("a hit") {
            try await scenario.read(1, .environment(5)).environment == .hit ? true : nil
        }
    }

    // MARK: Notifications

    @Test func `forged notifications invalidate nothing and disturb nothing`() async throws {
        try await scenario { scenario, worker, _, log in
            let reports = worker.reports.count
            let forger = try await scenario.connect(user: Servers.Roles.writer)
            for payload in ["''", "'1'", "'{\"detector\": 1}'", "repeat('x', 7999)", "E'\\u2028\\n; DROP TABLE x'"] {
                _ = try await forger.query("SELECT pg_notify('freshet_change', \(payload))")
            }
            // Payloads that differ are not folded.
            try await forger.run(
                script: "SELECT pg_notify('freshet_change', n || repeat('x', 1000)) FROM generate_series(1, 5000) AS n"
            )
            await forger.close()
            try await worker.catchUp()
            #expect(worker.reports.count == reports)
            #expect(try await scenario.read(1, .environment(5)).environment == .hit)
            try await scenario.execute(Self.change)
            try await worker.catchUp()
            #expect(try await scenario.read(1, .environment(5)).ids == [10])
            #expect(try await scenario.trust() == .healthy)
            #expect(log.messages(from: .warning) == [])
        }
    }

    @Test func `a flood of notifications is one look at the journal, not one for each`() async throws {
        // Nothing but notifications makes it look.
        let limits = KeyspaceLimits(lease: .seconds(3600))
        try await scenario(limits: limits, pollInterval: .seconds(900)) { scenario, worker, _, _ in
            worker.gate.hold(.claiming)
            try await scenario.execute("UPDATE workflow_engine_detector SET name = 'other' WHERE id = 2")
            try await worker.gate.stopped(at: .claiming)
            try await scenario.execute("SELECT pg_notify('freshet_change', n::text) FROM generate_series(1, 5000) AS n")
            try await scenario.execute(Self.change)
            let (claims, passes) = (worker.gate.steps.count(of: .claiming), worker.reports.count)
            worker.gate.open(.claiming)
            _ = try await eventually("the change to be applied") { worker.reports.count == passes + 1 ? true : nil }
            #expect(try await scenario.read(1, .environment(5)).ids == [10])
            // Behind all of the flood.
            try await scenario.execute("UPDATE workflow_engine_detector SET name = 'another' WHERE id = 2")
            _ = try await eventually("the last to be applied") { worker.reports.count == passes + 2 ? true : nil }
            // The one that was held is counted already. One for the last change, and two for what the flood has left.
            #expect(worker.gate.steps.count(of: .claiming) - claims <= 3)
        }
    }

    // MARK: Entries

    enum Damage: CaseIterable, Sendable {
        case empty, text, unknownVersion, truncated, flippedBit, longer, oversized, impossibleLength, foreignPayload

        func apply(to entry: Entry) -> [UInt8] {
            var bytes = EntryCodec.encode(entry)
            switch self {
            case .empty: return []
            case .text: return Array("hello".utf8)
            case .unknownVersion: bytes[1] = 200
            case .truncated: bytes.removeLast(5)
            case .flippedBit: bytes[bytes.count - 20] ^= 1
            case .longer: bytes.append(0)
            case .oversized: bytes += [UInt8](repeating: 7, count: 8 << 20)
            case .impossibleLength: bytes.replaceSubrange(58..<62, with: [255, 255, 255, 255])
            case .foreignPayload:
                // Well framed, rightly summed, and yet no set of workflows: it claims four billion of them.
                return EntryCodec.encode(Entry(stamp: entry.stamp, payload: [255, 255, 255, 255, 0, 0]))
            }
            return bytes
        }
    }

    @Test(arguments: Damage.allCases)
    func `a damaged entry is a miss that is counted, and is replaced`(damage: Damage) async throws {
        try await scenario { scenario, _, metrics, _ in
            let entry = try #require(try await scenario.entry(1, .environment(5)))
            let bytes = damage.apply(to: entry)
            try await scenario.command("HSET", .string(scenario.key(1)), "e:5", .bytes(bytes))
            let found = try await scenario.read(1, .environment(5))
            #expect(found.ids == [10, 11])
            #expect(found.environment == .miss(.damaged))
            #expect(found.global == .hit)
            #expect(found.trust == .healthy)
            #expect(try await scenario.read(1, .environment(5)).environment == .hit)
            let dimensions = [("namespace", scenario.namespace.description), ("reason", "damaged")]
            #expect(metrics.counterTotal(label: "freshet_misses_total", dimensions: dimensions) == 1)
        }
    }

    // MARK: Keys

    /// Lua, so that a poison replaces the key whatever it was.
    enum Poison: String, CaseIterable, Sendable {
        case string = "redis.call('SET', KEYS[1], 'poison')"
        case list = "redis.call('RPUSH', KEYS[1], 'a', 'b')"
        case set = "redis.call('SADD', KEYS[1], 'a', 'b')"
        case sortedSet = "redis.call('ZADD', KEYS[1], 1, 'a')"
        case stream = "redis.call('XADD', KEYS[1], '1-1', 'a', 'b')"

        func apply(to key: String, of scenario: Scenario) async throws {
            let script = "redis.call('DEL', KEYS[1]) \(rawValue)"
            try await scenario.command("EVAL", .string(script), 1, .string(key))
        }
    }

    @Test(arguments: Poison.allCases)
    func `a key of another type is a miss, and is healed`(poison: Poison) async throws {
        try await scenario { scenario, _, _, _ in
            try await poison.apply(to: scenario.key(1), of: scenario)
            let found = try await scenario.read(1, .environment(5))
            #expect(found.ids == [10, 11])
            #expect(found.global == .miss(.damaged))
            #expect(found.environment == .miss(.damaged))
            #expect(found.trust == .healthy)
            #expect(try await scenario.read(2, .environment(5)).environment == .hit)
            #expect(try await scenario.read(1, .environment(5)).environment == .hit)
        }
    }

    @Test(arguments: Poison.allCases)
    func `the worker removes a key of another type, counts and tells it once, and bumps the rest`(
        poison: Poison
    ) async throws {
        try await scenario { scenario, worker, metrics, log in
            try await poison.apply(to: scenario.key(1), of: scenario)
            try await scenario.execute(Self.change)
            try await worker.catchUp()
            #expect(try await scenario.command("EXISTS", .string(scenario.key(1))) == .integer(0))
            for detector in [1, 2] as [Int64] {
                let found = try await scenario.read(detector, .environment(5))
                #expect(found.ids == [10])
                #expect(found.trust == .healthy)
            }
            try await worker.catchUp()
            #expect(metrics.counterTotal(label: "freshet_damaged_keys_total") == 1)
            #expect(log.messages(from: .warning) == ["Removed keys that hold something else"])
            #expect(worker.events.count(of: .failingRedis) == 0)
        }
    }

    @Test(arguments: Poison.allCases, [true, false])
    func `a head of another type promises nothing, and is replaced`(poison: Poison, readersFirst: Bool) async throws {
        try await scenario { scenario, worker, _, _ in
            worker.gate.hold(.observing)
            try await worker.gate.stopped(at: .observing)
            try await poison.apply(to: scenario.headKey, of: scenario)
            try await scenario.execute(Self.change)
            if readersFirst {
                #expect(try await scenario.trust() == .degraded)
                for _ in 0..<2 {
                    let found = try await scenario.read(1, .environment(5))
                    #expect(found.ids == [10])
                    #expect(found.trust == .degraded)
                }
            }
            let applied = worker.events.count(of: .applied)
            worker.gate.open(.observing)
            try await scenario.reach(.healthy)
            // Readers may rely on it before the worker has told.
            try await worker.events.wait(for: .applied, count: applied + 1)
            #expect(worker.reports.last?.resetBuckets == [0])
            #expect(worker.events.count(of: .failingRedis) == 0)
            try await scenario.expectConsistent(detectors: [1, 2], environments: [5])
            #expect(try await scenario.read(1, .environment(5)).environment == .hit)
        }
    }

    // MARK: Fields

    static let garbage: [[UInt8]] =
        [
            "", "0", "banana", "1", "1.", ".0123456789abcdef", "0.0123456789abcdef", "01.0123456789abcdef",
            "1.0123456789ABCDEF", "1.0123456789abcdeg", "-1.0123456789abcdef", "1e3.0123456789abcdef",
            "18446744073709551615.0123456789abcdef", "99999999999999999999999.0123456789abcdef", " 1.0123456789abcdef",
        ].map { Array($0.utf8) } + [[0, 255, 254], [UInt8](repeating: 57, count: 100_000)]

    @Test(arguments: ["g", "g:5", "g:-"])
    func `a generation that is garbage is a miss, and a change behind it is never missed`(field: String) async throws {
        try await scenario { scenario, worker, _, _ in
            for (index, garbage) in Self.garbage.enumerated() {
                try await scenario.command("HSET", .string(scenario.key(1)), .string(field), .bytes(garbage))
                let before: [Int64] = index.isMultiple(of: 2) ? [10, 11] : [10]
                let after: [Int64] = index.isMultiple(of: 2) ? [10] : [10, 11]
                #expect(try await scenario.read(1, .environment(5)).ids == before, "\(garbage.prefix(40))")
                #expect(try await scenario.read(1, .environment(5)).ids == before, "\(garbage.prefix(40))")
                try await scenario.command("HSET", .string(scenario.key(1)), .string(field), .bytes(garbage))
                try await scenario.execute("UPDATE workflow_engine_workflow SET enabled = NOT enabled WHERE id = 11")
                try await worker.catchUp()
                let found = try await scenario.read(1, .environment(5))
                #expect(found.ids == after, "\(garbage.prefix(40))")
                #expect(found.trust == .healthy)
                #expect(try await scenario.read(2, .environment(5)).ids == after)
            }
            // A bump of the detector as a whole heals whatever is left.
            try await scenario.execute("UPDATE workflow_engine_detector SET name = 'new' WHERE id = 1")
            try await worker.catchUp()
            try await scenario.warm([1], [.environment(5)])
            let found = try await scenario.read(1, .environment(5))
            #expect(found.global == .hit)
            #expect(found.environment == .hit)
            #expect(worker.events.count(of: .failingRedis) == 0)
        }
    }

    @Test func `entries whose key has lost its generation are not valid`() async throws {
        try await scenario { scenario, _, _, _ in
            try await scenario.command("HDEL", .string(scenario.key(1)), "g")
            let found = try await scenario.read(1, .environment(5))
            #expect(found.environment == .miss(.stale(.entity)))
            #expect(found.ids == [10, 11])
        }
    }

    @Test func `a namespace generation that is garbage makes everything a miss, and is replaced`() async throws {
        try await scenario { scenario, worker, _, _ in
            // A counter beyond what Lua counts is odd, but a generation.
            for garbage in Self.garbage where Generation(utf8: garbage) == nil {
                try await scenario.command("HSET", .string(scenario.headKey), "gen", .bytes(garbage))
                let found = try await scenario.read(1, .environment(5))
                #expect(found.ids == [10, 11], "\(garbage.prefix(40))")
                #expect(found.trust == .degraded)
                #expect(found.environment == .miss(.stale(.namespace)))
                #expect(try await scenario.read(1, .environment(5)).environment == .hit)
                try await worker.catchUp()
                #expect(try await scenario.trust() == .healthy)
            }
            try await scenario.command("HSET", .string(scenario.headKey), "gen", "banana")
            try await scenario.execute("SELECT freshet.invalidate_all()")
            try await worker.catchUp()
            #expect(try await scenario.trust() == .healthy)
            #expect(worker.events.count(of: .failingRedis) == 0)
        }
    }

    @Test(arguments: [
        ["vouched", "soon"], ["vouched", ""], ["vouched", "99999999999999999999"], ["vouched", "9223372036854775807"],
        ["vouched", "-9223372036854775808"], ["lease", "-1"], ["lease", "0"], ["lease", "1e99"],
        ["lease", "9223372036854775807"], ["lease", ""],
    ])
    func `a promise that cannot be read is none`(poison: [String]) async throws {
        try await scenario { scenario, worker, _, _ in
            worker.gate.hold(.observing)
            try await worker.gate.stopped(at: .observing)
            try await scenario.command("HSET", .string(scenario.headKey), .string(poison[0]), .string(poison[1]))
            #expect(try await scenario.trust() == .degraded)
            #expect(try await scenario.read(1, .environment(5)).ids == [10, 11])
            worker.gate.open(.observing)
            try await scenario.reach(.healthy)
        }
    }

    @Test(arguments: ["mark", "pg"])
    func `a head with somebody else's signature is reset`(field: String) async throws {
        try await scenario { scenario, worker, _, _ in
            let reports = worker.reports.count
            try await scenario.command("HSET", .string(scenario.headKey), .string(field), .bytes([0, 255, 10]))
            _ = try await eventually("the reset") { worker.reports.count > reports ? true : nil }
            #expect(worker.reports.last?.resetBuckets == [0])
            #expect(try await scenario.read(1, .environment(5)).environment == .miss(.stale(.namespace)))
            try await worker.catchUp()
            #expect(try await scenario.trust() == .healthy)
        }
    }

    // MARK: Servers that refuse

    @Test func `a Redis that became read-only is told once, and everything is applied when it is writable`()
        async throws
    {
        let limits = KeyspaceLimits(lease: .seconds(1))
        let options = CacheOptions(degradedAge: .seconds(1))
        let metrics = TestMetrics()
        let log = LogProbe()
        try await withMetricsFactory(metrics) {
            try await Scenario.withOwnRedis(listensOnTCP: true, limits: limits, options: options) { scenario, redis in
                try await prepare(scenario)
                let worker = try await scenario.startWorker(logger: log.logger)
                try await worker.catchUp()
                try await warm(scenario)
                // A replica of its own data.
                let primary = try await LocalRedis.start(
                    listensOnTCP: true,
                    contents: .snapshot(path: try await redis.saveSnapshot()),
                    logger: testLogger
                )
                do {
                    try await redis.replicate(primary)
                    try await worker.events.wait(for: .failingRedis, count: 1)
                    try await scenario.execute(Self.change)
                    // Nothing can be bumped, seeded or filled; what there is grows too old.
                    _ = try await eventually("the old entry to be refused") {
                        let found = try await scenario.read(1, .environment(5))
                        return found.ids == [10] && found.trust == .degraded ? true : nil
                    }
                    #expect(try await scenario.read(7, .environment(5)).ids == [])
                    let tries = metrics.counterTotal(label: "freshet_errors_total")
                    _ = try await eventually("two more tries") {
                        metrics.counterTotal(label: "freshet_errors_total") >= tries + 2 ? true : nil
                    }
                    #expect(log.messages(from: .error) == ["redis fails; trying again"])
                    #expect(worker.events.count(of: .failingRedis) == 1)
                    try await redis.replicate(nil)
                } catch {
                    await primary.destroy()
                    throw error
                }
                await primary.destroy()
                try await scenario.reach(.healthy)
                #expect(try await scenario.read(1, .environment(5)).ids == [10])
                try await scenario.expectConsistent(detectors: [1, 2], environments: [5])
                #expect(try await scenario.read(1, .environment(5)).environment == .hit)
                #expect(worker.events.count(of: .failingPostgres) == 0)
            }
        }
    }

    @Test func `in a full Redis invalidation works, and readers add nothing`() async throws {
        try await Scenario.withOwnRedis { scenario, redis in
            try await prepare(scenario)
            let worker = try await scenario.startWorker()
            try await worker.catchUp()
            try await warm(scenario)
            try await redis.command("CONFIG", "SET", "maxmemory", "1")
            let refused = await #expect(throws: RedisServerError.self) {
                try await scenario.command("SET", "anything", "else")
            }
            #expect(refused?.code == .outOfMemory)
            let warm = try await scenario.read(1, .environment(5))
            #expect(warm.trust == .healthy)
            #expect(warm.environment == .hit)

            for sql in [
                Self.change, "UPDATE workflow_engine_detector SET name = 'new' WHERE id = 1",
                "UPDATE workflow_engine_workflow SET enabled = true WHERE id = 11; SELECT freshet.invalidate_all()",
            ] {
                try await scenario.execute(sql)
                try await worker.catchUp()
                try await scenario.expectConsistent(detectors: [1, 2], environments: [5])
                #expect(try await scenario.trust() == .healthy)
            }
            let keys = try await scenario.command("DBSIZE")
            for detector in [50, 51, 52] as [Int64] {
                #expect(try await scenario.read(detector, .environment(5)).ids == [])
            }
            #expect(try await scenario.command("DBSIZE") == keys)
            #expect(worker.events.count(of: .failingRedis) == 0)

            try await redis.command("CONFIG", "SET", "maxmemory", "0")
            try await scenario.warm([1], [.environment(5)])
            #expect(try await scenario.read(1, .environment(5)).environment == .hit)
        }
    }
}
