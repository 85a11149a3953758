import Freshet
import InvalidationWorker
import Keyspace
import LocalServices
import Postgres
import Redis
import Testing

/// What notifications tell is bumped at once, and what the journal says is what holds.
@Suite struct HintTests {
    /// Detectors 1 and 2, workflow 10 global, 11 in environment 5; all linked, all cached; the worker is held before its next claim.
    private func held(
        _ body: @Sendable (Scenario, RunningWorker) async throws -> Void
    ) async throws {
        try await Scenario.run { scenario in
            try await scenario.insert(detectors: [1, 2], workflows: [(10, nil), (11, 5)])
            let worker = try await scenario.startWorker(hears: true)
            try await hintsAreHeard(scenario)
            try await worker.catchUp()
            try await scenario.warm([1, 2], [.environment(5)])
            #expect(try await scenario.read(1, .environment(5)).environment == .hit)
            worker.gate.hold(.claiming)
            try await worker.gate.stopped(at: .claiming)
            try await body(scenario, worker)
        }
    }

    private func generation(_ scenario: Scenario, _ detector: Int64, _ variant: String? = nil) async throws -> String? {
        try await scenario.field(variant.map { "g:\($0)" } ?? "g", of: scenario.key(detector))
            .map { String(decoding: $0, as: UTF8.self) }
    }

    /// Waits until the generation of a detector, or of a variant of it, is another one.
    private func bumped(
        _ scenario: Scenario,
        _ detector: Int64,
        _ variant: String? = nil,
        from before: String?
    ) async throws -> String {
        try await eventually("detector \(detector) to be bumped", within: .seconds(20)) { () -> String? in
            let now = try await generation(scenario, detector, variant)
            return now == before ? nil : now
        }
    }

    /// Lets the worker go, and waits for its next report.
    private func report(of worker: RunningWorker) async throws -> PassReport {
        let count = worker.reports.count
        worker.gate.open(.claiming)
        return try await eventually("a pass to be told") { worker.reports.dropFirst(count).first }
    }

    @Test func `a link is invalidated in its environment before it is claimed, and not once more`() async throws {
        try await held { scenario, worker in
            try await scenario.execute(
                "DELETE FROM workflow_engine_detectorworkflow WHERE detector_id = 2 AND workflow_id = 11"
            )
            let after = try await bumped(scenario, 2, "5", from: nil)
            #expect(try await scenario.read(2, .environment(5)).ids == [10])
            let report = try await report(of: worker)
            #expect(report.rowCount == 1)
            #expect(report.scopes == ScopeSet([.entry(Entity(2), Variant(5))]))
            #expect(report.bumpCount == 1)
            #expect(try await generation(scenario, 2, "5") == after)
            #expect(try await scenario.read(2, .environment(5)).environment == .hit)
        }
    }

    @Test func `a workflow is invalidated in both environments of all its detectors before it is claimed`() async throws
    {
        try await held { scenario, worker in
            try await scenario.execute("UPDATE workflow_engine_workflow SET environment_id = 6 WHERE id = 11")
            var after: [String?] = []
            for detector in [1, 2] as [Int64] {
                for variant in ["5", "6"] { after.append(try await bumped(scenario, detector, variant, from: nil)) }
            }
            #expect(try await scenario.read(1, .environment(5)).ids == [10])
            #expect(try await scenario.read(2, .environment(6)).ids == [10, 11])
            #expect(try await report(of: worker).bumpCount == 4)
            try await worker.catchUp()
            var later: [String?] = []
            for detector in [1, 2] as [Int64] {
                for variant in ["5", "6"] { later.append(try await generation(scenario, detector, variant)) }
            }
            #expect(later == after)
        }
    }

    @Test func `a pass that only claims what was bumped lets the last one rest`() async throws {
        try await held { scenario, worker in
            let before = try await generation(scenario, 1)
            try await scenario.execute("UPDATE workflow_engine_detector SET name = 'a' WHERE id = 1")
            _ = try await bumped(scenario, 1, from: before)
            // The pass takes longer than the ninth part of what one rests at most.
            try await Task.sleep(for: .milliseconds(5))
            let opened = ContinuousClock.now
            _ = try await report(of: worker)
            let passes = worker.gate.steps.count(of: .observing)
            try await scenario.execute("UPDATE workflow_engine_detector SET name = 'b' WHERE id = 1")
            try await worker.gate.steps.wait(for: .observing, count: passes + 1)
            #expect(ContinuousClock.now - opened >= .milliseconds(40))
        }
    }

    @Test func `a forged hint costs a bump, and keeps no change from its own`() async throws {
        try await held { scenario, worker in
            let id = "00000000-0000-4000-8000-000000000001"
            try await scenario.execute(
                "NOTIFY freshet_change, '\(id) workflows link insert detector_ids={1} workflow_ids={11}'"
            )
            let forged = try await bumped(scenario, 1, "5", from: nil)
            #expect(try await scenario.read(1, .environment(5)).ids == [10, 11])
            // Nobody can say this before, because the row's id is made up with the row; nobody hears of it here.
            try await scenario.execute(
                """
                BEGIN; SET LOCAL freshet.notify = off;
                DELETE FROM workflow_engine_detectorworkflow WHERE detector_id = 1 AND workflow_id = 11; COMMIT
                """
            )
            _ = try await report(of: worker)
            #expect(try await generation(scenario, 1, "5") != forged)
            #expect(try await scenario.read(1, .environment(5)).ids == [10])
        }
    }

    @Test func `a dataset that has lost the bump of a hint gets it from the pass`() async throws {
        try await held { scenario, worker in
            // As a replica has it that is promoted: the entry and the head as they were before.
            let keys = [scenario.key(2), scenario.headKey]
            var dumps: [[UInt8]] = []
            for key in keys {
                dumps.append(Array(try #require(try await scenario.command("DUMP", .string(key)).bytes)))
            }
            try await scenario.execute(
                "DELETE FROM workflow_engine_detectorworkflow WHERE detector_id = 2 AND workflow_id = 11"
            )
            _ = try await bumped(scenario, 2, "5", from: nil)
            for (key, dump) in zip(keys, dumps) {
                try await scenario.command("RESTORE", .string(key), "0", .bytes(dump), "REPLACE")
            }
            #expect(try await scenario.read(2, .environment(5)).ids == [10, 11])
            _ = try await report(of: worker)
            #expect(try await scenario.read(2, .environment(5)).ids == [10])
        }
    }

    @Test func `with hints off a change waits for its pass`() async throws {
        try await held { scenario, worker in
            try await scenario.execute("UPDATE freshet.setting SET value = 'off' WHERE name = 'hints'")
            let listener = try await scenario.connect()
            try await listener.run(script: "LISTEN freshet_change")
            let before = try await generation(scenario, 2)
            try await scenario.execute("UPDATE workflow_engine_detector SET name = 'x' WHERE id = 2")
            let notification = try await listener.nextNotification(until: .now + .seconds(20))
            await listener.close()
            #expect(notification?.payload == "")
            // What is heard later is bumped later: then nothing can have been of the first.
            let other = try await generation(scenario, 1)
            try await scenario.execute(
                "NOTIFY freshet_change, '00000000-0000-4000-8000-000000000001 workflows detector update detector_ids={1}'"
            )
            _ = try await bumped(scenario, 1, from: other)
            #expect(try await generation(scenario, 2) == before)
            _ = try await report(of: worker)
            #expect(try await generation(scenario, 2) != before)
        }
    }

    // MARK: Who listens

    /// Runs a worker that looks by itself only when the test is long over.
    private func waitingForNews(_ body: @Sendable (Scenario, RunningWorker) async throws -> Void) async throws {
        try await Scenario.run { scenario in
            try await scenario.insert(detectors: [1, 2], workflows: [(11, 5)])
            let worker = try await scenario.startWorker(hears: true) { $0.pollInterval = .seconds(600) }
            try await hintsAreHeard(scenario)
            try await body(scenario, worker)
        }
    }

    /// Changes something, and waits for the pass that claims it.
    private func change(_ sql: String, in scenario: Scenario, claimedBy worker: RunningWorker) async throws {
        let count = worker.reports.count
        try await scenario.execute(sql)
        _ = try await eventually("a pass after \(sql)", within: .seconds(20)) { worker.reports.dropFirst(count).first }
    }

    @Test func `what the session for hints hears wakes the pump, which does not listen`() async throws {
        try await waitingForNews { scenario, worker in
            for name in ["a", "b", "c"] {
                let sql = "UPDATE workflow_engine_detector SET name = '\(name)' WHERE id = 1"
                try await change(sql, in: scenario, claimedBy: worker)
            }
            // And what is no hint.
            try await scenario.execute("UPDATE freshet.setting SET value = 'off' WHERE name = 'hints'")
            for name in ["d", "e"] {
                let sql = "UPDATE workflow_engine_detector SET name = '\(name)' WHERE id = 1"
                try await change(sql, in: scenario, claimedBy: worker)
            }
        }
    }

    /// Waits until a session for hints listens: then it has asked for the tables.
    private func hintsAreHeard(_ scenario: Scenario) async throws {
        let admin = scenario.admin
        _ = try await eventually("the session for hints to listen") {
            let found = try await admin.query(
                Self.sessionForHints("count(*)") + " AND query LIKE '%freshet.attachment%'"
            )
            return try found.int64(0, 0) == 1 ? true : nil
        }
    }

    /// Of one worker, the session that listens and does not lead.
    private static func sessionForHints(_ what: String) -> String {
        """
        SELECT \(what) FROM pg_stat_activity WHERE datname = current_database()
            AND usename = '\(Servers.Roles.worker)' AND state = 'idle'
            AND pid NOT IN (SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted)
        """
    }

    /// Ends the session for hints, and keeps it from being opened again.
    private func loseSessionForHints(of scenario: Scenario) async throws {
        // No role but superusers gets another.
        try await scenario.execute("ALTER DATABASE \(scenario.database) CONNECTION LIMIT 1")
        // It may be about to answer something.
        let admin = scenario.admin
        _ = try await eventually("the session for hints to be ended") {
            let ended = try await admin.query(
                Self.sessionForHints("count(*) FILTER (WHERE pg_terminate_backend(pid, 20000))")
            )
            return try ended.int64(0, 0) == 1 ? true : nil
        }
    }

    private func rename(_ detector: Int, to name: String) -> String {
        "UPDATE workflow_engine_detector SET name = '\(name)' WHERE id = \(detector)"
    }

    @Test func `the pump listens again when the session for hints is lost`() async throws {
        try await waitingForNews { scenario, worker in
            try await change(rename(1, to: "a"), in: scenario, claimedBy: worker)
            try await loseSessionForHints(of: scenario)
            for name in ["b", "c", "d"] { try await change(rename(1, to: name), in: scenario, claimedBy: worker) }
        }
    }

    @Test func `what nobody heard is claimed when the session for hints is back`() async throws {
        try await waitingForNews { scenario, worker in
            try await change(rename(1, to: "a"), in: scenario, claimedBy: worker)
            let count = worker.reports.count
            // In the pass that follows the loss.
            worker.gate.hold(.committing)
            try await loseSessionForHints(of: scenario)
            try await worker.gate.stopped(at: .committing)
            try await scenario.execute(rename(2, to: "b"))
            try await scenario.execute("ALTER DATABASE \(scenario.database) CONNECTION LIMIT -1")
            try await hintsAreHeard(scenario)
            worker.gate.open(.committing)
            _ = try await eventually("the change to be claimed", within: .seconds(20)) {
                worker.reports.dropFirst(count).reduce(0) { $0 + $1.rowCount } == 1 ? true : nil
            }
        }
    }

    @Test func `a worker that does not hear hints works as before`() async throws {
        try await Scenario.run { scenario in
            try await scenario.insert(detectors: [1], workflows: [(11, 5)])
            let worker = try await scenario.startWorker(hears: false)
            try await worker.catchUp()
            try await scenario.warm([1], [.environment(5)])
            try await scenario.execute("UPDATE workflow_engine_workflow SET enabled = false WHERE id = 11")
            try await worker.catchUp()
            #expect(try await scenario.read(1, .environment(5)).ids == [])
        }
    }
}
