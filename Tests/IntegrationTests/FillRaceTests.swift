import Freshet
import InvalidationWorker
import Keyspace
import LocalServices
import Redis
import Testing

/// A load that is held between its query and its fill, while the database changes and the cache moves on under it.
///
/// The reader that was held answers what it loaded, because it asked before the change. Nobody after it may.
@Suite struct FillRaceTests {
    // Detector 1 has workflow 10, global, and 11, in environment 5. The change takes 11 away.
    private static let change = "UPDATE workflow_engine_workflow SET enabled = false WHERE id = 11"

    private func scenario(
        limits: KeyspaceLimits = KeyspaceLimits(),
        _ body: @Sendable (Scenario, RunningWorker) async throws -> Void
    ) async throws {
        try await Scenario.run(limits: limits) { scenario in
            try await scenario.insert(detectors: [1], workflows: [(10, nil), (11, 5)])
            let worker = try await scenario.startWorker()
            try await worker.catchUp()
            try await body(scenario, worker)
        }
    }

    /// Looks up environment 5 of detector 1, holds the load behind its query while `meanwhile` runs, and lets it fill.
    private func hold(
        _ scenario: Scenario,
        while meanwhile: @Sendable () async throws -> Void
    ) async throws {
        let hold = scenario.loads.holdNext()
        async let late = scenario.read(1, .environment(5))
        try await hold.queried()
        do {
            try await meanwhile()
        } catch {
            hold.release()
            throw error
        }
        hold.release()
        let answered = try await late
        #expect(answered.ids == [10, 11])
    }

    /// The next reader sees the change, and what it sees is cached.
    private func expectChanged(_ scenario: Scenario) async throws {
        #expect(try await scenario.read(1, .environment(5)).ids == [10])
        let again = try await scenario.read(1, .environment(5))
        #expect(again.ids == [10])
        #expect(again.environment == .hit)
    }

    @Test func `a held load is stored where nothing changed, with the time from before its query`() async throws {
        try await scenario { scenario, worker in
            let hold = scenario.loads.holdNext()
            async let late = scenario.read(1, .environment(5))
            try await hold.queried()
            let queried = try #require(try await scenario.redisTime())
            try await scenario.execute("BEGIN; \(Self.change); ROLLBACK")
            try await worker.catchUp()
            hold.release()
            let answered = try await late
            #expect(answered.ids == [10, 11])
            let entry = try #require(try await scenario.entry(1, .environment(5)))
            #expect(queried.since(entry.stamp.readAt) >= .zero)
            #expect(try await scenario.read(1, .environment(5)).environment == .hit)
        }
    }

    @Test(arguments: [
        change,
        "\(change); UPDATE workflow_engine_detector SET name = 'new'",
        "\(change); SELECT freshet.invalidate_all()",
        "DELETE FROM workflow_engine_detectorworkflow WHERE workflow_id = 11",
        "UPDATE workflow_engine_workflow SET environment_id = 6 WHERE id = 11",
    ])
    func `a load that was overtaken by a bump is not stored`(sql: String) async throws {
        try await scenario { scenario, worker in
            try await hold(scenario) {
                try await scenario.execute(sql)
                try await worker.catchUp()
            }
            #expect(try await scenario.entry(1, .environment(5)) == nil)
            try await expectChanged(scenario)
        }
    }

    @Test func `a load that was overtaken does not replace what a later reader stored`() async throws {
        try await scenario { scenario, worker in
            try await hold(scenario) {
                try await scenario.execute(Self.change)
                try await worker.catchUp()
                // Neither another process nor this one may wait for the load that began before the bump.
                #expect(
                    try await scenario.reader().workflows(ofDetectors: [1], in: .environment(5)).workflows.count == 1
                )
                #expect(try await scenario.read(1, .environment(5)).environment == .hit)
            }
            let found = try await scenario.read(1, .environment(5))
            #expect(found.ids == [10])
            #expect(found.environment == .hit)
        }
    }

    @Test(arguments: [true, false])
    func `a load whose key was evicted meanwhile is not stored`(isReadMeanwhile: Bool) async throws {
        try await scenario { scenario, worker in
            try await hold(scenario) {
                // The bump finds nothing to bump, so only the loss of the generation tells.
                try await scenario.command("UNLINK", .string(scenario.key(1)))
                try await scenario.execute(Self.change)
                try await worker.catchUp()
                if isReadMeanwhile {
                    #expect(try await scenario.read(1, .environment(5)).ids == [10])
                }
            }
            #expect(
                try await scenario.read(1, .environment(5)).environment == (isReadMeanwhile ? .hit : .miss(.absent))
            )
            try await expectChanged(scenario)
        }
    }

    @Test(arguments: [true, false])
    func `a load during which Redis was emptied is not stored`(isReadMeanwhile: Bool) async throws {
        try await Scenario.withOwnRedis { scenario, redis in
            try await scenario.insert(detectors: [1], workflows: [(10, nil), (11, 5)])
            let gate = Gate()
            let worker = try await scenario.startWorker(gate: gate)
            try await worker.catchUp()
            gate.hold(.observing)
            try await gate.stopped(at: .observing)
            try await hold(scenario) {
                try await scenario.execute(Self.change)
                try await redis.command("FLUSHALL")
                // The worker has not come by yet: the readers seed everything anew.
                if isReadMeanwhile {
                    let found = try await scenario.read(1, .environment(5))
                    #expect(found.ids == [10])
                    #expect(found.trust == .degraded)
                }
            }
            let found = try await scenario.read(1, .environment(5))
            #expect(found.ids == [10])
            #expect(found.environment == (isReadMeanwhile ? .hit : .miss(.absent)))
            gate.open(.observing)
            try await worker.catchUp()
            #expect(worker.reports.last?.resetBuckets == [0])
            try await expectChanged(scenario)
            #expect(try await scenario.trust() == .healthy)
        }
    }

    @Test func `a load that took longer than a stamp may be old is not stored`() async throws {
        var limits = KeyspaceLimits()
        limits.fillAge = .milliseconds(200)
        try await scenario(limits: limits) { scenario, _ in
            try await hold(scenario) {
                try await scenario.redisTimePasses(.milliseconds(250))
            }
            #expect(try await scenario.entry(1, .environment(5)) == nil)
            _ = try await eventually("a load that is quick enough to be stored") {
                try await scenario.read(1, .environment(5)).environment == .hit ? true : nil
            }
        }
    }

    @Test(arguments: [Duration.zero, .milliseconds(300)])
    func `a load from longer ago than an unvouched entry may be old is not shared`(degradedAge: Duration) async throws {
        try await Scenario.run(options: CacheOptions(degradedAge: degradedAge)) { scenario in
            try await scenario.insert(detectors: [1], workflows: [(10, nil), (11, 5)])
            // No worker: the generations stay as they are, whatever changes.
            _ = try await scenario.read(1)
            try await hold(scenario) {
                try await scenario.execute(Self.change)
                try await scenario.redisTimePasses(degradedAge)
                #expect(try await scenario.read(1, .environment(5)).ids == [10])
            }
        }
    }

    @Test func `an entry that a held load stored unvouched is as old as its query, not as its fill`() async throws {
        try await Scenario.run(options: CacheOptions(degradedAge: .seconds(3))) { scenario in
            try await scenario.insert(detectors: [1], workflows: [(10, nil), (11, 5)])
            // No worker: nobody bumps, and only the age bounds what is served.
            _ = try await scenario.read(1)
            try await hold(scenario) {
                try await scenario.execute(Self.change)
                try await scenario.redisTimePasses(.milliseconds(2_000))
            }
            try await scenario.redisTimePasses(.milliseconds(1_100))
            let found = try await scenario.read(1, .environment(5))
            #expect(found.environment == .miss(.degraded))
            #expect(found.ids == [10])
        }
    }
}
