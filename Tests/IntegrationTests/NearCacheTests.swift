import Freshet
import InvalidationWorker
import Keyspace
import LocalServices
import Redis
import Testing

/// Answers from memory, against a real Redis: each way in which one could be older than one from Redis.
@Suite struct NearCacheTests {
    private static let change = "UPDATE workflow_engine_workflow SET enabled = false WHERE id = 11"

    /// So long that whatever ends an answer within a test was told, not found by a poll.
    private static let never = Duration.seconds(40)
    private static let longLease = KeyspaceLimits(lease: .seconds(60))

    /// Detectors 1 and 2 with workflow 10, global, and 11, in environment 5.
    ///
    /// Detector 1 is in memory.
    private func scenario(
        limits: KeyspaceLimits = KeyspaceLimits(),
        pollInterval: Duration = .milliseconds(500),
        _ body: @Sendable (Scenario, LocalRedis, RunningWorker, NearReader) async throws -> Void
    ) async throws {
        try await Scenario.withOwnRedis(limits: limits) { scenario, redis in
            try await scenario.insert(detectors: [1, 2], workflows: [(10, nil), (11, 5)])
            let worker = try await scenario.startWorker(hears: false)
            try await worker.catchUp()
            try await scenario.withNearReader(pollInterval: pollInterval) { near in
                try await near.warm(1)
                #expect(try await near.read(1).ids == [10, 11])
                try await body(scenario, redis, worker, near)
            }
        }
    }

    @Test func `an answer from memory needs no server`() async throws {
        try await scenario(limits: Self.longLease, pollInterval: Self.never) { _, redis, _, near in
            try redis.suspend()
            let found = try await near.read(1)
            try redis.resume()
            #expect(found.ids == [10, 11])
            #expect(found.global == .near)
            #expect(found.environment == .near)
            #expect(found.trust == .healthy)
        }
    }

    @Test func `lookups of several detectors take what is in memory, and the rest from Redis`() async throws {
        try await scenario { scenario, _, _, near in
            try await scenario.warm([2], [.environment(5)])
            let found = try await near.lookup.workflows(ofDetectors: [1, 2], in: .environment(5))
            #expect(found.detectors.map(\.global) == [.near, .hit])
            #expect(found.detectors.map { $0.workflows.map(\.id) } == [[10, 11], [10, 11]])
            let again = try await near.lookup.workflows(ofDetectors: [1, 2], in: .environment(5))
            #expect(again.detectors.map(\.global) == [.near, .near])
        }
    }

    @Test func `without the part that keeps it right nothing is answered from memory`() async throws {
        try await scenario { scenario, _, _, _ in
            var options = scenario.options
            options.nearCache = NearCacheOptions(redis: try RedisConfiguration(url: scenario.servers.redis.url))
            let reader = NearReader(lookup: try scenario.reader(options: options))
            for _ in 1...3 { #expect(try await reader.read(1).global == .hit) }
        }
    }

    // MARK: Bumps

    @Test(arguments: [
        // A variant, an entity, the namespace.
        change, "UPDATE workflow_engine_detector SET name = 'other' WHERE id = 1; \(change)",
        "SELECT freshet.invalidate_all()",
    ])
    func `a bump ends an answer from memory as fast as Redis tells of it`(statement: String) async throws {
        try await scenario(limits: Self.longLease, pollInterval: Self.never) { scenario, _, worker, near in
            try await scenario.execute(statement)
            try await scenario.drain(worker)
            let found = try await near.coolsDown()
            #expect(found.ids == (statement.contains("enabled") ? [10] : [10, 11]))
        }
    }

    @Test func `a bump of the namespace that nobody tells of is found by the next poll`() async throws {
        try await scenario(limits: Self.longLease) { scenario, _, worker, near in
            worker.gate.hold(.observing)
            try await worker.gate.stopped(at: .observing)
            try await scenario.command("HSET", .string(scenario.headKey), "gen", "99.00000000000000ab")
            let found = try await near.coolsDown()
            #expect(found.trust == .healthy)
            worker.gate.open(.observing)
        }
    }

    @Test func `a fill of our own does not end the tracking of what it stands beside`() async throws {
        try await scenario(limits: Self.longLease, pollInterval: Self.never) { scenario, _, worker, near in
            #expect(try await near.read(1, .environment(6)).environment == .miss(.absent))
            try await near.warm(1)
            #expect(try await near.read(1, .environment(7)).environment == .miss(.absent))
            try await scenario.execute(Self.change)
            try await scenario.drain(worker)
            let found = try await near.coolsDown()
            #expect(found.ids == [10])
        }
    }

    @Test func `while many write and read, no answer from memory outlives its bump`() async throws {
        try await scenario(limits: Self.longLease, pollInterval: Self.never) { scenario, _, worker, near in
            for round in 1...30 {
                let isEnabled = round.isMultiple(of: 2)
                try await near.warm(1)
                async let others: Void = {
                    for _ in 1...20 { _ = try await near.read(1) }
                }()
                try await scenario.execute("UPDATE workflow_engine_workflow SET enabled = \(isEnabled) WHERE id = 11")
                try await scenario.drain(worker)
                try await others
                // Behind the bump in Redis there is only the way of the push: nothing else would end the answer within the time limit.
                let expected: [Int64] = isEnabled ? [10, 11] : [10]
                _ = try await eventually("the change to be seen", within: .seconds(20), every: .milliseconds(1)) {
                    try await near.read(1).ids == expected ? true : nil
                }
                for _ in 1...20 { #expect(try await near.read(1).ids == expected) }
            }
        }
    }

    // MARK: Connections

    @Test(arguments: [TrackedConnection.dataConnectionName, TrackedConnection.invalidationConnectionName])
    func `losing either connection ends all answers from memory until there are two again`(
        name: String
    ) async throws {
        try await scenario(limits: Self.longLease, pollInterval: Self.never) { scenario, _, worker, near in
            try await scenario.killClients(named: name)
            try await near.coolsDown()
            try await scenario.execute(Self.change)
            try await scenario.drain(worker)
            #expect(try await near.read(1).ids == [10])
            try await near.warm(1)
            #expect(try await near.read(1).ids == [10])
            try await scenario.execute("UPDATE workflow_engine_workflow SET enabled = true WHERE id = 11")
            try await scenario.drain(worker)
            try await near.coolsDown()
            #expect(try await near.read(1).ids == [10, 11])
        }
    }

    @Test func `invalidations that never arrive make an answer no older than the lease`() async throws {
        let limits = KeyspaceLimits(lease: .seconds(8))
        try await Scenario.withOwnRedis(limits: limits) { scenario, redis in
            let proxy = try await HoldingProxy.start(to: redis.socketPath)
            try await scenario.insert(detectors: [1], workflows: [(10, nil), (11, 5)])
            let worker = try await scenario.startWorker()
            try await worker.catchUp()
            try await scenario.withNearReader(
                pollInterval: .milliseconds(100),
                url: "redis://127.0.0.1:\(proxy.port)"
            ) { near in
                try await near.warm(1)
                proxy.hold("invalidate", .toClient)
                try await scenario.execute(Self.change)
                let changed = ContinuousClock.now
                try await scenario.drain(worker)
                try await proxy.sees("invalidate", .toClient)
                #expect(try await near.read(1).ids == [10, 11], "the test holds back nothing")
                let found = try await eventually("the change to be seen") {
                    let began = ContinuousClock.now
                    let found = try await near.read(1)
                    if found.ids == [10, 11] { #expect(changed.duration(to: began) < limits.lease) }
                    return found.ids == [10] ? found.trust : nil
                }
                #expect(found == .healthy)
            }
            try await proxy.close()
        }
    }

    @Test func `a user who may not track keys is answered from Redis`() async throws {
        let redis = try await LocalRedis.start(
            listensOnTCP: true,
            accessList: ["user default on nopass ~* &* +@all", "user reader on >secret ~* +@all -client|tracking"],
            logger: testLogger
        )
        do {
            let servers = Servers(postgres: try await Servers.shared().postgres, redis: redis)
            try await Scenario.run(on: servers) { scenario in
                try await scenario.insert(detectors: [1], workflows: [(10, nil), (11, 5)])
                let worker = try await scenario.startWorker()
                try await worker.catchUp()
                let url = redis.url(user: "reader", password: "secret")
                try await scenario.withNearReader(url: url) { near in
                    _ = try await near.read(1)
                    try await scenario.redisTimePasses(.seconds(1))
                    let found = try await near.read(1)
                    #expect(found.global == .hit)
                    #expect(found.ids == [10, 11])
                }
            }
        } catch {
            await redis.destroy()
            throw error
        }
        await redis.destroy()
    }

    // MARK: The dataset

    @Test func `FLUSHALL ends all answers from memory at once`() async throws {
        try await scenario(limits: Self.longLease, pollInterval: Self.never) { scenario, _, worker, near in
            worker.gate.hold(.observing)
            try await worker.gate.stopped(at: .observing)
            try await scenario.execute(Self.change)
            try await scenario.command("FLUSHALL")
            let found = try await near.coolsDown()
            #expect(found.ids == [10])
            worker.gate.open(.observing)
        }
    }

    @Test func `a server that is started again is read from, not remembered`() async throws {
        try await scenario { scenario, redis, worker, near in
            worker.gate.hold(.observing)
            try await worker.gate.stopped(at: .observing)
            let snapshot = try await redis.saveSnapshot()
            try await redis.kill()
            try await near.coolsDown()
            try await scenario.execute(Self.change)
            try await redis.startAgain(with: .snapshot(path: snapshot))
            worker.gate.open(.observing)
            _ = try await eventually("the change to be seen from memory") {
                let found = try await near.read(1)
                return found.ids == [10] && found.global == .near ? true : nil
            }
            #expect(try await near.read(1).ids == [10])
        }
    }

    @Test func `a dataset that is exchanged in silence is noticed by the next poll`() async throws {
        try await scenario { scenario, _, worker, near in
            worker.gate.hold(.observing)
            try await worker.gate.stopped(at: .observing)
            try await scenario.execute(Self.change)
            try await scenario.command("SWAPDB", "0", "1")
            let found = try await near.coolsDown()
            #expect(found.ids == [10])
            worker.gate.open(.observing)
            _ = try await eventually("the change to be seen from memory") {
                let found = try await near.read(1)
                #expect(found.ids == [10])
                return found.global == .near ? true : nil
            }
        }
    }

    @Test func `a Redis that is full is read from, and what is in memory stays right`() async throws {
        try await scenario { scenario, _, worker, near in
            try await scenario.warm([2], [.environment(5)])
            try await scenario.command("CONFIG", "SET", "maxmemory", "1")
            #expect(try await near.read(2).global == .hit)
            #expect(try await near.isNear(1))
            try await scenario.execute(Self.change)
            try await scenario.drain(worker)
            try await near.coolsDown()
            #expect(try await near.read(1).ids == [10])
        }
    }

    // MARK: Promise and switch

    @Test func `when nobody vouches any more, answers from memory end with the lease`() async throws {
        let limits = KeyspaceLimits(lease: .seconds(8))
        try await scenario(limits: limits, pollInterval: .milliseconds(100)) { scenario, _, worker, near in
            worker.gate.hold(.observing)
            try await worker.gate.stopped(at: .observing)
            try await scenario.execute(Self.change)
            let changed = ContinuousClock.now
            #expect(try await near.isNear(1))
            let trust = try await eventually("the end of the lease") {
                let began = ContinuousClock.now
                let found = try await near.read(1)
                // A machine that is busy may be late with the proof that memory waits for, and then Redis answers, for as long.
                guard found.trust == .healthy else {
                    #expect(found.global != .near)
                    return Optional(found.trust)
                }
                #expect(changed.duration(to: began) < limits.lease)
                return nil
            }
            #expect(trust == .degraded)
            worker.gate.open(.observing)
            _ = try await eventually("the change to be seen from memory") {
                let found = try await near.read(1)
                return found.ids == [10] && found.global == .near ? true : nil
            }
        }
    }

    @Test func `the end of the lease needs no word from Redis`() async throws {
        let limits = KeyspaceLimits(lease: .seconds(2))
        try await scenario(limits: limits) { scenario, redis, worker, near in
            try redis.suspend()
            let suspended = ContinuousClock.now
            _ = try await eventually("the end of the lease") {
                let began = ContinuousClock.now
                let isNear = try await near.isNear(1)
                if isNear { #expect(suspended.duration(to: began) < limits.lease) }
                return isNear ? nil : true
            }
            try redis.resume()
        }
    }

    @Test func `the switch reaches answers from memory within a second`() async throws {
        let usual = NearCacheOptions(redis: try RedisConfiguration(url: "redis://127.0.0.1:1")).pollInterval
        #expect(usual <= .milliseconds(500))
        try await scenario(limits: Self.longLease, pollInterval: usual) { scenario, _, _, near in
            try await expectWithin(.seconds(1)) {
                let switched = ContinuousClock.now
                try await scenario.command("HSET", .string(scenario.headKey), "switch", "off")
                let found = try await near.coolsDown()
                let time = switched.duration(to: .now)
                #expect(found.trust == .disabled)
                #expect(try await near.read(1).global == .miss(.disabled))
                try await scenario.command("HDEL", .string(scenario.headKey), "switch")
                try await near.warm(1)
                return time
            }
        }
    }

    // MARK: Bounds

    @Test(arguments: [NearCacheLimits(count: 6, bytes: 1 << 20), NearCacheLimits(count: 1_000, bytes: 1_200)])
    func `memory holds no more than it may`(limits: NearCacheLimits) async throws {
        let detectors = Array(Int64(1)...30)
        try await Scenario.run { scenario in
            try await scenario.insert(detectors: detectors, workflows: [(10, nil), (11, 5)])
            let worker = try await scenario.startWorker()
            try await worker.catchUp()
            try await scenario.warm(detectors, [.environment(5)])
            // The smaller ones: those of an environment have its number as well.
            let size = try #require(try await scenario.entry(1, .global)).payload.count
            let most = min(limits.count, limits.bytes / size)
            try await scenario.withNearReader(limits: limits) { near in
                try await near.warm(1)
                for _ in 1...3 {
                    for detector in detectors { _ = try await near.read(detector) }
                }
                var count = 0
                for detector in detectors.reversed() {
                    let found = try await near.lookup.workflows(ofDetector: detector, in: .environment(5))
                    let sources = found.detectors.flatMap { [$0.global, $0.environment] }
                    // What is read from Redis here takes the place of what was in memory, so it is counted once at most.
                    count += sources.count { $0 == .near }
                }
                #expect(count <= most)
                #expect(count > 0)
            }
        }
    }
}
