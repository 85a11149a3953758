import Freshet
import InvalidationWorker
import Keyspace
import LocalServices
import Redis
import Testing

/// A Redis whose data goes back, or away, while the generations in it still look valid.
@Suite struct RedisFaultTests {
    /// How a Redis comes to hold what it once held.
    enum Regress: CaseIterable, Sendable {
        /// Killed, and started from an older snapshot.
        case restart
        /// Made a replica of a server with the older data, and a primary again; the sockets stay open.
        case resynchronisation
    }

    private static let limits = KeyspaceLimits(lease: .milliseconds(1_500))
    private static let degradedAge: Duration = .seconds(4)
    private static let options = CacheOptions(degradedAge: degradedAge)
    private static let change = "UPDATE workflow_engine_workflow SET enabled = false WHERE id IN (11, 12)"

    /// Detectors 1 and 2, workflow 10 global, 11 in environment 5, 12 in environment 6; all linked, all cached.
    private func scenario(
        _ body: @Sendable (Scenario, LocalRedis, RunningWorker) async throws -> Void
    ) async throws {
        try await Scenario.withOwnRedis(listensOnTCP: true, limits: Self.limits, options: Self.options) {
            scenario,
            redis in
            try await scenario.insert(detectors: [1, 2], workflows: [(10, nil), (11, 5), (12, 6)])
            let worker = try await scenario.startWorker()
            try await worker.catchUp()
            try await scenario.warm([1, 2], [.environment(5), .environment(6)])
            #expect(try await scenario.read(1, .environment(5)).environment == .hit)
            try await body(scenario, redis, worker)
        }
    }

    private func regress(_ redis: LocalRedis, to snapshot: String, by fault: Regress) async throws {
        switch fault {
        case .restart:
            try await redis.restart(with: .snapshot(path: snapshot))
        case .resynchronisation:
            let other = try await LocalRedis.start(
                listensOnTCP: true,
                contents: .snapshot(path: snapshot),
                logger: testLogger
            )
            do {
                try await redis.replicate(other)
                try await redis.replicate(nil)
            } catch {
                await other.destroy()
                throw error
            }
            await other.destroy()
        }
    }

    @Test(arguments: Regress.allCases)
    func `entries of an older dataset are served no longer than promised, and not at all after a pass`(
        fault: Regress
    ) async throws {
        try await scenario { scenario, redis, worker in
            let warmed = ContinuousClock.now
            let snapshot = try await redis.saveSnapshot()
            let connection = try await scenario.command("CLIENT", "ID")

            try await scenario.execute(Self.change)
            let changed = ContinuousClock.now
            try await worker.catchUp()
            #expect(try await scenario.read(1, .environment(5)).ids == [10])
            worker.gate.hold(.observing)
            try await worker.gate.stopped(at: .observing)
            try await regress(redis, to: snapshot, by: fault)
            if fault == .resynchronisation {
                #expect(try await scenario.command("CLIENT", "ID") == connection)
            }

            // The old entries look valid here. What bounds them is the lease, then the degraded limit; no worker is about.
            let served = try await eventually("the old entries to be refused") {
                let began = ContinuousClock.now
                let found = try await scenario.read(1, .environment(5))
                guard found.ids != [10] else { return Optional(found.environment) }
                switch found.trust {
                case .healthy: #expect(changed.duration(to: began) < Self.limits.lease)
                case .degraded: #expect(warmed.duration(to: began) < Self.degradedAge)
                case .disabled, .unreachable: Issue.record("an old answer, though \(found.trust)")
                }
                return nil
            }
            #expect(served == .miss(.degraded))
            #expect(try await scenario.trust() == .degraded)

            let applied = worker.events.count(of: .applied)
            worker.gate.open(.observing)
            try await scenario.reach(.healthy)
            // Readers may rely on it before the worker has told.
            try await worker.events.wait(for: .applied, count: applied + 1)
            #expect(worker.reports.last?.resetBuckets == [0])
            let after = try await scenario.read(2, .environment(6))
            #expect(after.ids == [10])
            #expect(after.global == .miss(.stale(.namespace)))
            #expect(after.environment == .miss(.stale(.namespace)))
            try await scenario.expectConsistent(detectors: [1, 2], environments: [5, 6])
        }
    }

    @Test(arguments: Regress.allCases, [true, false])
    func `a load from before is not served after the worker's next pass`(
        fault: Regress,
        fillsBeforePass: Bool
    ) async throws {
        try await scenario { scenario, redis, worker in
            // The load reads the generations that the snapshot has as well, so to the older dataset its fill looks right.
            try await scenario.command("HDEL", .string(scenario.key(1)), "e:5")
            let snapshot = try await redis.saveSnapshot()
            let hold = scenario.loads.holdNext()
            async let late = scenario.read(1, .environment(5))
            try await hold.queried()
            try await scenario.execute(Self.change)
            try await worker.catchUp()
            worker.gate.hold(.observing)
            try await worker.gate.stopped(at: .observing)
            try await regress(redis, to: snapshot, by: fault)
            if fillsBeforePass {
                hold.release()
                let answered = try await late
                #expect(answered.ids == [10, 11])
            }
            worker.gate.open(.observing)
            try await scenario.reach(.healthy)
            // The promise may be the snapshot's own; that of the worker comes with the pass.
            try await worker.catchUp()
            if !fillsBeforePass {
                hold.release()
                let answered = try await late
                #expect(answered.ids == [10, 11])
                #expect(try await scenario.entry(1, .environment(5)) == nil)
            }
            let found = try await scenario.read(1, .environment(5))
            #expect(found.ids == [10])
            #expect(found.environment == .miss(fillsBeforePass ? .stale(.namespace) : .absent))
            #expect(try await scenario.read(1, .environment(5)).environment == .hit)
        }
    }

    @Test func `a Redis that was restarted empty is trusted after the worker's next pass, and holds nothing old`()
        async throws
    {
        try await scenario { scenario, redis, worker in
            let hold = scenario.loads.holdNext()
            async let late = scenario.read(2, .environment(7))
            try await hold.queried()
            worker.gate.hold(.observing)
            try await worker.gate.stopped(at: .observing)
            try await scenario.execute(
                "\(Self.change); INSERT INTO workflow_engine_workflow (id, environment_id) VALUES (20, 7); "
                    + "INSERT INTO workflow_engine_detectorworkflow (detector_id, workflow_id) VALUES (2, 20)"
            )
            try await redis.restart(with: .nothing)
            let found = try await eventually("the new Redis to be reached") {
                let found = try await scenario.read(1, .environment(5))
                #expect(found.ids == [10])
                return found.trust == .unreachable ? nil : found
            }
            #expect(found.trust == .degraded)
            hold.release()
            let answered = try await late
            #expect(answered.ids == [10])
            #expect(try await scenario.entry(2, .environment(7)) == nil)
            #expect(try await scenario.read(2, .environment(7)).ids == [10, 20])

            let applied = worker.events.count(of: .applied)
            worker.gate.open(.observing)
            try await scenario.reach(.healthy)
            // Readers may rely on it before the worker has told.
            try await worker.events.wait(for: .applied, count: applied + 1)
            #expect(worker.reports.last?.resetBuckets == [0])
            #expect(try await scenario.read(1, .environment(5)).ids == [10])
            try await scenario.expectConsistent(detectors: [1, 2], environments: [5, 6, 7])
        }
    }

    @Test func `while Redis is away lookups answer from Postgres, and what changes meanwhile is applied later`()
        async throws
    {
        try await scenario { scenario, redis, worker in
            // As orderly a stop as there is: what it saved is what it had.
            let snapshot = try await redis.saveSnapshot()
            try await redis.kill()
            try await worker.events.wait(for: .failingRedis, count: 1)
            try await scenario.execute(Self.change)
            let found = try await scenario.read(1, .environment(5))
            #expect(found.trust == .unreachable)
            #expect(found.ids == [10])
            try await redis.startAgain(with: .snapshot(path: snapshot))
            try await scenario.reach(.healthy)
            // The promise may be the one from before; the change is applied with the next pass.
            _ = try await eventually("the change to be applied") {
                worker.reports.contains { $0.changes.contains { $0.subject == "workflow" && $0.operation == "update" } }
                    ? true : nil
            }
            try await scenario.expectConsistent(detectors: [1, 2], environments: [5, 6])
            #expect(worker.events.count(of: .failingPostgres) == 0)
        }
    }
}
