import Audit
import Foundation
import Freshet
import InvalidationWorker
import Keyspace
import LocalServices
import Logging
import Metrics
import MetricsTestKit
import Postgres
import Redis
import ServiceLifecycle
import TestSupport
import Testing

/// The auditor finds every entry that differs from the database without a change on its way, and no other.
@Suite struct AuditorTests {
    /// Detectors that no writer of a ``Load`` touches, each with one global workflow and one in environment 7.
    private static let victims: [Int64] = Array(101...106)

    /// Makes the victims, and has them cached.
    private static func prepare(_ scenario: Scenario) async throws {
        try await scenario.admitAuditor()
        try await scenario.execute(
            """
            INSERT INTO workflow_engine_detector (id) SELECT generate_series(101, 106);
            INSERT INTO workflow_engine_workflow (id, environment_id)
                SELECT id, CASE WHEN id < 2000 THEN NULL ELSE 7 END
                FROM (SELECT generate_series(1101, 1106) UNION ALL SELECT generate_series(2101, 2106)) AS w (id);
            INSERT INTO workflow_engine_detectorworkflow (detector_id, workflow_id)
                SELECT d, d + base FROM generate_series(101, 106) AS d, (VALUES (1000), (2000)) AS b (base)
            """
        )
    }

    private static func warm(_ scenario: Scenario, _ worker: RunningWorker) async throws {
        try await scenario.drain(worker)
        try await scenario.warm(victims, [.environment(7)])
    }

    /// Falsifies one entry in each way, and returns which.
    private static func falsify(_ scenario: Scenario, _ worker: RunningWorker) async throws -> [String] {
        // Another payload under the right stamp.
        var workflows = try await scenario.cached(101, .global)
        workflows[0] = workflows[0].forged(name: "forged")
        try await scenario.plant(workflows, 101, .global)

        // A workflow too few.
        try await scenario.plant([], 102, .environment(7))

        // A workflow too many.
        workflows = try await scenario.cached(103, .global)
        try await scenario.plant(workflows + [workflows[0].forged(id: 9_999)], 103, .global)

        // An entry kept over its bump, by undoing that.
        let field = "e:\(DetectorEnvironment.environment(7).variant)"
        let entry = try await scenario.field(field, of: scenario.key(104)) ?? []
        let generation = try await scenario.field("g:7", of: scenario.key(104))
        try await scenario.execute("UPDATE workflow_engine_workflow SET name = 'renamed' WHERE id = 2104")
        try await scenario.drain(worker)
        #expect(try await scenario.field("g:7", of: scenario.key(104)) != generation)
        if let generation {
            try await scenario.command("HSET", .string(scenario.key(104)), "g:7", .bytes(generation))
        } else {
            try await scenario.command("HDEL", .string(scenario.key(104)), "g:7")
        }
        try await scenario.command("HSET", .string(scenario.key(104)), .string(field), .bytes(entry))

        // What was loaded before a change, filled under the generations of after its bump.
        workflows = try await scenario.cached(105, .global)
        try await scenario.execute("UPDATE workflow_engine_workflow SET enabled = false WHERE id = 1105")
        try await scenario.drain(worker)
        try await scenario.plant(workflows, 105, .global)
        return ["101/-", "102/7", "103/-", "104/7", "105/-"]
    }

    // MARK: What is wrong is found

    @Test(arguments: [1, 3]) func `every falsified entry is found, with its evidence, and no other`(
        buckets: Int
    ) async throws {
        try await Scenario.run(bucketCount: buckets) { scenario in
            try await Self.prepare(scenario)
            let worker = try await scenario.startWorker()
            try await Self.warm(scenario, worker)
            let clean = try await scenario.audit()
            #expect(clean.findings.isEmpty && clean.total.consistent == 12, "\(clean)")

            let expected = try await Self.falsify(scenario, worker)
            let outcome = try await scenario.audit()
            #expect(outcome.entries(.inconsistent) == expected, "\(outcome)")
            #expect(outcome.findings.count == expected.count && outcome.total.consistent == 7, "\(outcome.total)")

            let named = outcome.findings.map { ("\($0.name.entity)/\($0.name.variant)", $0) }
            let found = Dictionary(uniqueKeysWithValues: named)
            #expect(found["101/-"]?.difference?.text == "1101 differs in name")
            #expect(found["102/7"]?.difference?.onlyInDatabase == [2_102])
            #expect(found["103/-"]?.difference?.onlyCached == [9_999])
            #expect(found["104/7"]?.difference?.changed.map(\.columns) == [["name"]])
            #expect(found["105/-"]?.difference?.onlyCached == [1_105])
            let forged = try #require(found["101/-"])
            #expect(forged.key == scenario.key(101) && forged.cache == "workflows")
            #expect(try await forged.stamp == scenario.entry(101, .global)?.stamp)
            #expect(forged.cached.map(\.id) == [1_101] && forged.database?.map(\.id) == [1_101])
            let time = try #require(forged.time)
            #expect(forged.journal?.count == 0 && forged.head.trust(at: time) == .healthy)
            #expect(forged.postgres != nil && forged.postgres == forged.head.postgres)
        }
    }

    @Test func `a sample as large as the cache finds what is wrong, too`() async throws {
        try await Scenario.run { scenario in
            try await Self.prepare(scenario)
            let worker = try await scenario.startWorker()
            try await Self.warm(scenario, worker)
            try await scenario.plant([], 102, .global)
            let outcome = try await scenario.audit(.sample(100))
            #expect(outcome.entries(.inconsistent) == ["102/-"] && outcome.total.checked == 12)
            #expect(try await scenario.audit(.sample(4)).total.total == 4)
        }
    }

    @Test func `the second cache is audited like the first`() async throws {
        try await DataSourceStage.run { stage in
            let scenario = stage.scenario
            try await scenario.admitAuditor()
            try await scenario.admitAuditor(
                to: "workflow_engine_datasource, workflow_engine_datasourcedetector, workflow_engine_detector"
            )
            try await stage.insert(sources: [1, 2, 3], detectors: [10, 11])
            let worker = try await scenario.startWorker()
            try await scenario.drain(worker)
            for id in ["1", "2", "3", "absent"] { _ = try await stage.read(id) }
            let clean = try await scenario.audit()
            #expect(clean.findings.isEmpty && clean.tallies["datasources"]?.consistent == 4, "\(clean)")

            // The entry of one source under the key of another with other detectors.
            try await scenario.execute(
                "DELETE FROM workflow_engine_datasourcedetector WHERE data_source_id = 2 AND detector_id = 11"
            )
            try await scenario.drain(worker)
            _ = try await stage.read("2")
            let one = Entity.dataSource(type: "error", sourceID: "1")
            let two = Entity.dataSource(type: "error", sourceID: "2")
            let source = try #require(try await scenario.field("e:-", of: stage.namespace.key(of: one)))
            let target = try #require(try await scenario.field("e:-", of: stage.namespace.key(of: two)))
            let forged = Entry(
                stamp: try EntryCodec.decode(target).stamp,
                payload: try EntryCodec.decode(source).payload
            )
            try await scenario.command(
                "HSET",
                .string(stage.namespace.key(of: two)),
                "e:-",
                .bytes(EntryCodec.encode(forged))
            )
            let outcome = try await scenario.audit()
            #expect(outcome.entries(.inconsistent) == ["error/2/-"], "\(outcome)")
            #expect(outcome.findings.first?.difference?.onlyCached == [11])
            #expect(outcome.tallies["datasources"]?.consistent == 3)

            let connection = try await scenario.connect(user: Servers.Roles.worker)
            let change = try await Auditor.repair(try #require(outcome.findings.first), on: connection)
            await connection.close()
            #expect(change != nil)
            try await scenario.drain(worker)
            #expect(try await stage.read("2").detectors.map(\.id) == [10])
            #expect(try await scenario.audit().entries(.inconsistent).isEmpty)
        }
    }

    @Test func `repair mends what is wrong, through the journal`() async throws {
        try await Scenario.run { scenario in
            try await Self.prepare(scenario)
            let worker = try await scenario.startWorker()
            try await Self.warm(scenario, worker)
            let expected = try await Self.falsify(scenario, worker)
            let findings = try await scenario.audit().findings
            let connection = try await scenario.connect(user: Servers.Roles.worker)
            for finding in findings { #expect(try await Auditor.repair(finding, on: connection) != nil) }
            await connection.close()
            try await scenario.drain(worker)
            let after = try await scenario.audit()
            #expect(findings.count == expected.count && after.entries(.inconsistent).isEmpty)
            // What was right was left cached.
            #expect(try await scenario.read(106, .environment(7)).environment == .hit)
            try await scenario.expectConsistent(detectors: Self.victims, environments: [7])
        }
    }

    // MARK: Under load

    private static var seconds: Int {
        ProcessInfo.processInfo.environment["FRESHET_TEST_SECONDS"].flatMap { Int($0) } ?? 8
    }

    @Test func `falsified entries are found under load, all of them, in every round, and no other`() async throws {
        try await Scenario.run { scenario in
            try await Self.prepare(scenario)
            let worker = try await scenario.startWorker()
            try await Self.warm(scenario, worker)
            let expected = try await Self.falsify(scenario, worker)
            let load = try await Load.start(on: scenario)
            try await load.commits(20)
            var rounds = 0
            var total = AuditTally()
            let end = ContinuousClock.now + .seconds(Self.seconds)
            while ContinuousClock.now < end || rounds < 2 {
                let outcome = try await scenario.audit(patience: .seconds(30))
                #expect(outcome.entries(.inconsistent) == expected, "round \(rounds)")
                rounds += 1
                total = total + outcome.total
            }
            try await load.stop()
            print("audit under load: \(rounds) rounds, \(total)")
            #expect(total.consistent > 10 * rounds / 2)
        }
    }

    @Test(arguments: ForeignKeys.allCases)
    func `nothing is called wrong while random writers change and truncate everything`(keys: ForeignKeys) async throws {
        let seed = UInt64.random(in: .min ... .max)
        print("audit beside random writers, foreign keys \(keys): seed \(seed)")
        try await Scenario.run(keys) { scenario in
            try await scenario.admitAuditor()
            try await scenario.startWorker()
            let tally = Tally()
            let reading = Task {
                while !Task.isCancelled {
                    do {
                        for environment: Int64 in [5, 6] {
                            _ = try await scenario.lookup.workflows(ofDetectors: 1...6, in: .environment(environment))
                        }
                    } catch  where Task.isCancelled {
                        return
                    }
                }
            }
            defer { reading.cancel() }
            let end = ContinuousClock.now + .seconds(Self.seconds)
            let writing = Task {
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for number in 1...3 as ClosedRange<UInt64> {
                        let writer = try await RandomWriter(scenario, seed: seed &+ number)
                        group.addTask {
                            while ContinuousClock.now < end { try await writer.write(transactions: 5, tally) }
                            await writer.close()
                        }
                    }
                    try await group.waitForAll()
                }
            }
            var total = AuditTally()
            repeat {
                let outcome = try await scenario.audit(patience: .seconds(30))
                for finding in outcome.findings where finding.verdict == .inconsistent {
                    Issue.record("seed \(seed): \(finding)")
                }
                total = total + outcome.total
            } while ContinuousClock.now < end
            try await writing.value
            reading.cancel()
            try await reading.value
            print("audit beside random writers, foreign keys \(keys): \(total), \(tally.counts)")
            #expect(total.consistent > 0 && total.inconsistent == 0)
        }
    }

    // MARK: In flight

    @Test(arguments: [PumpStep.claiming, .applying])
    func `a change is in flight while the worker is held before its bump, and nothing else is called wrong`(
        step: PumpStep
    ) async throws {
        try await Scenario.run { scenario in
            try await Self.prepare(scenario)
            let gate = Gate()
            let worker = try await scenario.startWorker(gate: gate, hears: false)
            try await Self.warm(scenario, worker)
            gate.hold(step)
            try await gate.stopped(at: step)
            try await scenario.execute("UPDATE workflow_engine_workflow SET environment_id = 7 WHERE id = 1101")
            // A falsehood that no change explains cannot be told from a change that has not been seen yet.
            try await scenario.plant([], 106, .global)
            let held = try await scenario.audit(patience: .milliseconds(100))
            #expect(held.entries(.inFlight(.journaled)) == ["101/-", "101/7"], "\(held)")
            #expect(held.entries(.undecided(.notApplied)) == ["106/-"])
            #expect(held.total.inconsistent == 0 && held.total.consistent == 9)
            let finding = try #require(held.findings.first { $0.verdict == .inFlight(.journaled) })
            let keys = "workflow_ids={1101} old_environment_ids={NULL} new_environment_ids={7}"
            #expect(finding.journal?.changes.map(\.keys) == [keys])

            gate.open(step)
            try await scenario.drain(worker)
            let after = try await scenario.audit()
            #expect(after.entries(.inconsistent) == ["106/-"] && after.total.inFlight == 0, "\(after)")
        }
    }

    @Test func `an entry that is bumped while it is suspect was in flight`() async throws {
        try await Scenario.run { scenario in
            try await Self.prepare(scenario)
            let gate = Gate()
            let worker = try await scenario.startWorker(gate: gate, hears: false)
            try await Self.warm(scenario, worker)
            gate.hold(.applying)
            try await gate.stopped(at: .applying)
            try await scenario.execute("UPDATE workflow_engine_workflow SET name = 'new' WHERE id = 1101")
            let auditor = try await scenario.auditor(patience: .seconds(30))
            let opened = try #require(try await scenario.column("SELECT clock_timestamp()").first ?? nil)
            async let outcome = scenario.audit(by: auditor)
            // The auditor has loaded the truth when it looks at the journal, as it also did when it was opened.
            _ = try await eventually("the auditor to look at the journal") {
                let found = try await scenario.column(
                    """
                    SELECT 1 FROM pg_stat_activity
                    WHERE usename = '\(Servers.Roles.auditor)' AND query = 'ROLLBACK' AND datname = current_database()
                        AND query_start > '\(opened)'
                    """
                )
                return found.isEmpty ? nil : true
            }
            gate.open(.applying)
            let found = try await outcome
            #expect(found.findings.map(\.verdict) == [.inFlight(.invalidated)], "\(found)")
            #expect(found.total.consistent == 11)
        }
    }

    @Test func `a pass between bump and commit, and one that died there, leave nothing that is called wrong`()
        async throws
    {
        try await Scenario.run { scenario in
            try await Self.prepare(scenario)
            let gate = Gate()
            let worker = try await scenario.startWorker(gate: gate, hears: false)
            try await Self.warm(scenario, worker)
            gate.hold(.claiming)
            try await gate.stopped(at: .claiming)
            try await scenario.execute("UPDATE workflow_engine_workflow SET name = 'new' WHERE id = 1101")
            gate.hold(.committing)
            gate.open(.claiming)
            try await gate.stopped(at: .committing)
            try await scenario.warm(Self.victims, [.environment(7)])
            #expect(try await scenario.audit(patience: .milliseconds(100)).findings.isEmpty)
            await worker.kill()
            #expect(try await scenario.audit(patience: .milliseconds(100)).findings.isEmpty)
            let next = try await scenario.startWorker()
            try await scenario.drain(next)
            try await scenario.warm(Self.victims, [.environment(7)])
            let after = try await scenario.audit()
            #expect(after.findings.isEmpty && after.total.consistent == 12, "\(after)")
        }
    }

    @Test func `a table that is locked leaves entries undecided, and waits for nobody`() async throws {
        try await Scenario.run { scenario in
            try await Self.prepare(scenario)
            let worker = try await scenario.startWorker()
            try await Self.warm(scenario, worker)
            var auditor = try await scenario.auditor()
            let locker = try await scenario.connect()
            try await locker.run(script: "BEGIN; LOCK TABLE workflow_engine_workflow IN ACCESS EXCLUSIVE MODE")
            var outcome = AuditOutcome()
            try await auditor.round(.sample(5)) { outcome.add($0) }
            #expect(outcome.total.undecided == 5, "\(outcome)")
            try await locker.run(script: "ROLLBACK")
            await locker.close()
            outcome = AuditOutcome()
            try await auditor.round(.all) { outcome.add($0) }
            #expect(outcome.total.consistent == 12, "\(outcome)")
            await auditor.close()
        }
    }

    // MARK: Beside the worker

    @Test func `the auditor beside a worker counts and logs, survives what fails, and repairs nothing`() async throws {
        let metrics = TestMetrics()
        try await Scenario.run { scenario in
            try await Self.prepare(scenario)
            let history = PassHistory()
            let worker = try await scenario.startWorker()
            try await Self.warm(scenario, worker)
            // It may not read the tables at first.
            try await scenario.execute("REVOKE SELECT ON workflow_engine_workflow FROM \(Servers.Roles.auditor)")
            let log = LogProbe()
            let arrivals = Arrivals<String>()
            let service = AuditService(
                postgres: scenario.auditorPostgres,
                redis: scenario.redis,
                configuration: scenario.auditConfiguration(history: history),
                logger: log.logger
            ) { batch, _ in
                for finding in batch.findings { arrivals.arrive(at: finding.verdict.word) }
            }
            let group = ServiceGroup(services: [service], logger: testLogger)
            let running = withMetricsFactory(metrics) { Task { try await group.run() } }
            _ = try await eventually("the failure to be told") { log.messages(from: .error).isEmpty ? nil : true }
            try await scenario.admitAuditor()
            // A grant changes what the worker vouches for, so it bumps the namespace.
            try await Self.warm(scenario, worker)
            try await scenario.plant([], 102, .global)
            let forged = try await scenario.entry(102, .global)
            try await arrivals.wait(for: "inconsistent", count: 2)
            await group.triggerGracefulShutdown()
            try await running.value
            let told = log.messages(from: .error)
            #expect(told.first == "Cannot audit; trying again")
            #expect(told.dropFirst().allSatisfy { $0 == "A cached entry is wrong" })
            let wrong = try metrics.expectCounter(
                "freshet_audited_entries_total",
                [("cache", "workflows"), ("verdict", "inconsistent")]
            )
            #expect(wrong.totalValue >= 2)
            #expect(try metrics.expectCounter("freshet_audit_failures_total").totalValue >= 1)
            let nines = try metrics.expectGauge("freshet_audit_nines", [("cache", "workflows")]).lastValue ?? 9
            #expect(nines < 2)
            #expect(try await scenario.entry(102, .global) == forged)
            #expect(try await scenario.journalDepth() == 0 as Int64)
        }
    }

    @Test func `what is found wrong lowers the exported nines while the round goes on`() async throws {
        let metrics = TestMetrics()
        try await Scenario.run { scenario in
            try await Self.prepare(scenario)
            let worker = try await scenario.startWorker()
            try await Self.warm(scenario, worker)
            // Of a round of all the twelve.
            let clean = ErrorRateBound(checked: 12, wrong: 0).nines
            let fallen = Arrivals<Bool>()
            let service = AuditService(
                postgres: scenario.auditorPostgres,
                redis: scenario.redis,
                configuration: scenario.auditConfiguration(),
                logger: testLogger
            ) { batch, _ in
                // Told within the round that the batch is of.
                guard batch.tallies.values.contains(where: { $0.inconsistent > 0 }) else { return }
                let nines = try? metrics.expectGauge("freshet_audit_nines", [("cache", "workflows")]).lastValue
                fallen.arrive(at: (nines ?? clean) < clean)
            }
            let group = ServiceGroup(services: [service], logger: testLogger)
            let running = withMetricsFactory(metrics) { Task { try await group.run() } }
            _ = try await eventually("a round to be over") {
                let rounds = try? metrics.expectCounter("freshet_audit_rounds_total").totalValue
                return (rounds ?? 0) > 0 ? true : nil
            }
            try await scenario.plant([], 102, .global)
            try await fallen.wait(for: true, count: 1)
            await group.triggerGracefulShutdown()
            try await running.value
            #expect(fallen.count(of: false) == 0)
        }
    }

    @Test func `what the worker has applied of an entry is part of the evidence beside it`() async throws {
        try await Scenario.run { scenario in
            try await Self.prepare(scenario)
            let history = PassHistory()
            let worker = try await scenario.startWorker()
            try await Self.warm(scenario, worker)
            let before = try await scenario.cached(105, .global)
            try await scenario.execute("UPDATE workflow_engine_workflow SET enabled = false WHERE id = 1105")
            try await scenario.execute("UPDATE workflow_engine_workflow SET enabled = false WHERE id = 1106")
            try await scenario.drain(worker)
            for event in worker.allEvents { await history.note(event) }
            try await scenario.plant(before, 105, .global)
            let finding = try #require(try await scenario.audit(history: history).findings.first)
            #expect(finding.verdict == .inconsistent)
            #expect(finding.passes.first?.report.changes.first?.subject == "workflow")
        }
    }
}

extension Workflow {
    /// The same with another id or name.
    fileprivate func forged(id: Int64? = nil, name: String? = nil) -> Workflow {
        Workflow(
            id: id ?? self.id,
            name: name ?? self.name,
            isEnabled: isEnabled,
            status: status,
            config: config,
            organizationID: organizationID,
            environmentID: environmentID,
            whenConditionGroupID: whenConditionGroupID,
            ownerUserID: ownerUserID,
            ownerTeamID: ownerTeamID,
            createdByID: createdByID,
            dateAdded: dateAdded,
            dateUpdated: dateUpdated
        )
    }
}
