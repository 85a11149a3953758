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
