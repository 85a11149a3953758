import Freshet
import InvalidationWorker
import Keyspace
import LocalServices
import Postgres
import Testing

/// Whatever happens to a worker, and whenever: what was committed is applied by the next one, before it promises anything.
@Suite struct WorkerCrashTests {
    private static let environments: [DetectorEnvironment] = [.environment(5), .environment(6), .environment(7)]

    /// Detectors 1 and 2, workflow 10 global, 11 in environment 5, 12 in environment 6; all linked.
    private func scenario(
        limits: KeyspaceLimits = KeyspaceLimits(),
        alone: Bool = false,
        _ body: @Sendable (Scenario) async throws -> Void
    ) async throws {
        try await Scenario.run(.cascading, limits: limits, alone: alone) { scenario in
            try await scenario.insert(detectors: [1, 2], workflows: [(10, nil), (11, 5), (12, 6)])
            try await body(scenario)
        }
    }

    private func expectFresh(_ scenario: Scenario, sourceLocation: SourceLocation = #_sourceLocation) async throws {
        try await scenario.expectConsistent(
            detectors: [1, 2, 3],
            environments: [5, 6, 7],
            sourceLocation: sourceLocation
        )
    }

    private static let move = "UPDATE workflow_engine_workflow SET environment_id = 7 WHERE id = 11"

    // MARK: No worker

    @Test func `changes made while no worker runs are applied when one starts, before it promises anything`()
        async throws
    {
        var limits = KeyspaceLimits()
        limits.lease = .seconds(1)
        try await scenario(limits: limits) { scenario in
            let first = try await scenario.startWorker()
            try await scenario.warm([1, 2], Self.environments)
            try await scenario.reach(.healthy)
            try await first.stop()

            try await scenario.execute(Self.move)
            try await scenario.execute("UPDATE workflow_engine_workflow SET enabled = false WHERE id = 10")
            try await scenario.execute("DELETE FROM workflow_engine_detectorworkflow WHERE workflow_id = 12")
            _ = try await eventually("the lease to run out") {
                try await scenario.read(1, .environment(5)).trust == .degraded ? true : nil
            }

            let gate = Gate()
            gate.hold(.applying)
            let second = try await scenario.startWorker(gate: gate, waitUntilVouched: false) {
                $0.limits.lease = .seconds(60)
            }
            try await gate.stopped(at: .applying)
            // It leads and has claimed, and still promises nothing; nor would it after a crash here.
            #expect(try await scenario.read(1, .environment(5)).trust == .degraded)
            #expect(second.events.count(of: .vouched) == 0)
            gate.hold(.committing)
            gate.open(.applying)
            try await gate.stopped(at: .committing)
            // The promise became visible together with the bumps.
            let found = try await scenario.read(1, .environment(5))
            #expect(found.trust == .healthy)
            #expect(found.ids == [])
            try await expectFresh(scenario)

            gate.open(.committing)
            try await second.events.wait(for: .vouched, count: 1)
            #expect(second.reports.first?.rowCount == 3)
            #expect(second.reports.first?.resetBuckets == [])
            #expect(second.allEvents.prefix(4).map(Self.name) == ["leading", "applied", "committed", "vouched"])
            try await expectFresh(scenario)
        }
    }

    @Test func `what was cached before the first worker ever is not promised either`() async throws {
        try await scenario { scenario in
            try await scenario.warm([1, 2], Self.environments)
            let early = try await scenario.read(1, .environment(5))
            #expect(early.trust == .degraded)
            #expect(early.environment == .hit)
            try await scenario.execute(Self.move)
            // As if the change had been made before the triggers were there: the row is gone, the entry is stale.
            try await scenario.execute("DELETE FROM freshet.change")
            let worker = try await scenario.startWorker()
            #expect(worker.allEvents.prefix(4).map(Self.name) == ["leading", "applied", "committed", "vouched"])
            #expect(worker.reports.first?.resetBuckets == [0])
            let found = try await scenario.read(1, .environment(5))
            #expect(found.trust == .healthy)
            #expect(found.ids == [10])
            try await expectFresh(scenario)
        }
    }

    private static func name(_ event: WorkerEvent) -> String {
        switch event {
        case .standingBy: "standing by"
        case .leading: "leading"
        case .applied: "applied"
        case .committed: "committed"
        case .vouched: "vouched"
        case .distrusting: "distrusting"
        case .failing: "failing"
        }
    }

    // MARK: Ended between two steps

    /// Between which of its steps a worker ends.
    enum Moment: Sendable, CaseIterable {
        case betweenClaimAndBump, betweenBumpAndCommit, afterCommit

        /// Whether the change is still in the journal.
        var isPending: Bool { self != .afterCommit }
    }

    @Test(arguments: Moment.allCases)
    func `a worker that is cancelled loses nothing, and the next one applies what is left`(moment: Moment) async throws
    {
        try await scenario { scenario in
            let gate = Gate()
            let first = try await scenario.startWorker(gate: gate, hears: false)
            try await scenario.drain(first)
            try await scenario.warm([1, 2], Self.environments)

            gate.hold(.observing)
            try await gate.stopped(at: .observing)
            try await scenario.execute(Self.move)
            let step: PumpStep =
                switch moment {
                case .betweenClaimAndBump: .applying
                case .betweenBumpAndCommit: .committing
                case .afterCommit: .waiting
                }
            gate.hold(step)
            gate.open(.observing)
            try await gate.stopped(at: step)
            let isBumped = moment != .betweenClaimAndBump
            #expect(try await scenario.read(1, .environment(5)).environment == (isBumped ? .miss(.absent) : .hit))
            await first.kill()
            #expect(try await scenario.journalDepth() == (moment.isPending ? 1 : 0))

            // Readers go on, and fill with what they see.
            try await scenario.warm([1, 2], Self.environments)
            let second = try await scenario.startWorker()
            #expect(second.reports.map(\.rowCount) == (moment.isPending ? [1] : []))
            // A mark that no commit consumed is not believed.
            #expect(second.reports.map(\.resetBuckets) == (moment.isPending ? [isBumped ? [0] : []] : []))
            try await expectFresh(scenario)
            #expect(try await scenario.read(1, .environment(5)).ids == [10])
            #expect(try await scenario.journalDepth() == 0)
        }
    }

    @Test(arguments: Moment.allCases)
    func `a worker process that is killed loses nothing, and the next one applies what is left`(
        moment: Moment
    ) async throws {
        try await scenario { scenario in
            let socket = "\(scenario.servers.postgres.socketDirectory)/.s.PGSQL.\(scenario.servers.postgres.port)"
            let postgres = try await HoldingProxy.start(to: socket)
            let redis = try await HoldingProxy.start(to: scenario.servers.redis.socketPath)
            try await WorkerProcess.run(scenario, through: postgres, redis) { process in
                _ = try await eventually("the process to vouch") {
                    try await scenario.read(1).trust == .healthy ? true : nil
                }
                try await scenario.warm([1, 2], Self.environments)

                // No pass but that of the change names a detector's key.
                let bump = scenario.namespace.key(of: Entity(1 as Int64))
                // As a statement, and as the server's word that it is done.
                let commit = "COMMIT\0"
                switch moment {
                case .betweenClaimAndBump: redis.hold(bump, .toServer)
                case .betweenBumpAndCommit: redis.watch(bump, .toServer) { postgres.hold(commit, .toServer) }
                case .afterCommit: redis.watch(bump, .toServer) { postgres.hold(commit, .toClient) }
                }
                try await scenario.execute(Self.move)
                switch moment {
                case .betweenClaimAndBump: try await redis.sees(bump, .toServer)
                case .betweenBumpAndCommit: try await postgres.sees(commit, .toServer)
                case .afterCommit: try await postgres.sees(commit, .toClient)
                }
                try await process.kill()
            }
            _ = try await eventually("the session of the killed process to end") {
                try await scenario.leader() == nil ? true : nil
            }
            let isBumped = moment != .betweenClaimAndBump
            #expect(try await scenario.journalDepth() == (moment.isPending ? 1 : 0))
            #expect(try await scenario.read(1, .environment(5)).environment == (isBumped ? .miss(.absent) : .hit))

            try await scenario.warm([1, 2], Self.environments)
            let second = try await scenario.startWorker()
            #expect(second.reports.map(\.rowCount) == (moment.isPending ? [1] : []))
            #expect(second.reports.map(\.resetBuckets) == (moment.isPending ? [isBumped ? [0] : []] : []))
            try await expectFresh(scenario)
            #expect(try await scenario.read(1, .environment(5)).ids == [10])
            try await postgres.close()
            try await redis.close()
        }
    }

    @Test func `workers that end at every step, one after the other, lose nothing`() async throws {
        try await scenario { scenario in
            let steps: [PumpStep] = [
                .connecting, .standingBy, .takingOver, .observing, .claiming, .applying, .committing, .waiting,
            ]
            for (number, step) in (steps + steps).enumerated() {
                try await scenario.warm([1, 2], Self.environments)
                try await scenario.execute(
                    "UPDATE workflow_engine_workflow SET environment_id = \(5 + number % 3) WHERE id = 11"
                )
                let gate = Gate()
                gate.hold(step)
                let worker = try await scenario.startWorker(gate: gate, waitUntilVouched: false)
                try await gate.stopped(at: step)
                try await scenario.warm([1, 2], Self.environments)
                await worker.kill()
            }
            try await scenario.startWorker()
            try await expectFresh(scenario)
            #expect(try await scenario.journalDepth() == 0)
        }
    }

    // MARK: Two workers

    @Test func `one of two workers leads and the other does nothing`() async throws {
        try await scenario { scenario in
            let first = try await scenario.startWorker()
            let second = try await scenario.startWorker(waitUntilVouched: false)
            try await second.events.wait(for: .standingBy, count: 1)
            try await scenario.warm([1, 2], Self.environments)
            try await scenario.execute(Self.move)
            try await scenario.drain(first)
            try await second.gate.steps.wait(for: .standingBy, count: 5)
            #expect(second.allEvents.map(Self.name) == ["standing by"])
            try await expectFresh(scenario)

            try await first.stop()
            try await second.events.wait(for: .vouched, count: 1)
            // A leader that leaves in order has nothing to be made good.
            #expect(second.reports.isEmpty)
            #expect(try await scenario.read(1, .environment(7)).environment == .hit)
        }
    }

    @Test func `a standby leads at its first attempt after the end of the leader's session`() async throws {
        try await scenario(alone: true) { scenario in
            let gate = Gate()
            let interval = InvalidationWorker.Configuration().leadershipInterval
            #expect(interval <= .milliseconds(500))
            let first = try await scenario.startWorker(gate: gate) { $0.leadershipInterval = interval }
            let second = try await scenario.startWorker(waitUntilVouched: false) { $0.leadershipInterval = interval }
            try await second.events.wait(for: .standingBy, count: 1)
            try await scenario.warm([1, 2], Self.environments)
            let leader = try #require(try await scenario.leader())

            // The deposed one may come back to a session, but not before the other leads.
            gate.hold(.connecting)
            try await scenario.execute("SELECT pg_terminate_backend(\(leader), 10000)")
            let attempts = second.gate.steps.count(of: .standingBy)
            try await scenario.execute(Self.move)
            try await second.events.wait(for: .leading, count: 1)
            // By the attempt that comes within half a second: it may be under way, and a pause is a step as well.
            #expect(second.gate.steps.count(of: .standingBy) - attempts <= 4)
            try await second.events.wait(for: .vouched, count: 1)
            try await scenario.drain(second)
            #expect(second.reports.map(\.rowCount).reduce(0, +) == 1)
            try await expectFresh(scenario)

            gate.open(.connecting)
            try await first.events.wait(for: .standingBy, count: 1)
            #expect(try await scenario.leader() != nil)
        }
    }

    @Test func `a standby process leads within a second of the leader's SIGKILL`() async throws {
        try await scenario(alone: true) { scenario in
            // The processes have this, too.
            #expect(InvalidationWorker.Configuration().leadershipInterval <= .milliseconds(500))
            try await expectWithin(.seconds(1)) { try await takeOver(in: scenario) }
        }
    }

    /// Kills a process that leads beside one that stands by, and changes something.
    ///
    /// - Returns: How long it took until the other led.
    private func takeOver(in scenario: Scenario) async throws -> Duration {
        var time = Duration.zero
        // Of an attempt before, nothing is left.
        _ = try await eventually("nobody to lead") { try await scenario.leader() == nil ? true : nil }
        try await scenario.execute("UPDATE workflow_engine_workflow SET environment_id = 5 WHERE id = 11")
        try await WorkerProcess.run(scenario) { first in
            let leader = try await eventually("the first process to lead") { try await scenario.leader() }
            _ = try await eventually("the first process to vouch") { () -> Bool? in
                guard try await scenario.journalDepth() == 0 else { return nil }
                return try await scenario.read(1).trust == .healthy ? true : nil
            }
            try await WorkerProcess.run(scenario) { _ in
                _ = try await eventually("the second process to stand by") {
                    let others = try await scenario.admin.query(
                        """
                        SELECT count(*) FROM pg_stat_activity
                        WHERE datname = current_database() AND application_name = 'freshet' AND pid <> \(leader)
                            AND usename = '\(Servers.Roles.worker)' AND query LIKE '%pg_try_advisory_lock%'
                        """
                    )
                    return try others.int64(0, 0) == 1 ? true : nil
                }
                try await scenario.warm([1, 2], Self.environments)
                let killed = ContinuousClock.now
                try await first.kill()
                try await scenario.execute(Self.move)
                _ = try await eventually("the second process to lead") {
                    try await scenario.leader().map { $0 != leader } == true ? true : nil
                }
                time = killed.duration(to: .now)
                _ = try await eventually("the change to be applied") {
                    try await scenario.journalDepth() == 0 ? true : nil
                }
                try await expectFresh(scenario)
                #expect(try await scenario.read(1, .environment(5)).ids == [10])
            }
        }
        return time
    }

    @Test func `a deposed leader that wakes up changes nothing and promises nothing`() async throws {
        try await scenario { scenario in
            let gate = Gate()
            let first = try await scenario.startWorker(gate: gate)
            try await scenario.drain(first)
            try await scenario.warm([1, 2], Self.environments)

            gate.hold(.observing)
            try await gate.stopped(at: .observing)
            try await scenario.execute(Self.move)
            gate.hold(.applying)
            gate.open(.observing)
            try await gate.stopped(at: .applying)
            let leader = try #require(try await scenario.leader())
            try await scenario.execute("SELECT pg_terminate_backend(\(leader), 10000)")

            let second = try await scenario.startWorker()
            try await scenario.drain(second)
            #expect(second.reports.map(\.rowCount) == [1])
            try await scenario.warm([1, 2], Self.environments)
            #expect(try await scenario.read(1, .environment(7)).environment == .hit)

            let reports = first.reports.count
            gate.open(.applying)
            try await first.events.wait(for: .standingBy, count: 1)
            #expect(first.reports.count == reports)
            // What it had in hand was refused as a whole: nothing was bumped a second time.
            #expect(try await scenario.read(1, .environment(7)).environment == .hit)
            #expect(try await scenario.read(1, .environment(5)).environment == .hit)
            try await scenario.drain(second)
            try await expectFresh(scenario)
        }
    }
}
