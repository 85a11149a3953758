import Freshet
import InvalidationWorker
import Testing

/// Two transactions at the same time that do not see each other, led step by step: whatever one does to a link and the other
/// to its workflow, in whichever order they commit, no entry is left that differs from the database.
@Suite struct ConcurrencyTests {
    /// How the two commits meet the worker.
    enum Meeting: Sendable, CaseIterable {
        /// Both are claimed together.
        case oneBatch
        /// The first is applied before the second commits.
        case twoBatches
        /// The second commits after the claim of the first, and before it is applied.
        case betweenClaimAndBump
    }

    /// Two transactions over a scenario whose worker obeys a gate.
    private struct Stage: Sendable {
        var scenario: Scenario
        var worker: RunningWorker
        var first: SteppedTransaction
        var second: SteppedTransaction

        /// Ends two transactions as `meeting` has it, filling the cache wherever a reader could, and drains.
        ///
        /// - Returns: Whether each of them was committed.
        func commit(
            _ earlier: SteppedTransaction,
            _ later: SteppedTransaction,
            _ meeting: Meeting,
            fill: () async throws -> Void
        ) async throws -> (Bool, Bool) {
            let gate = worker.gate
            let outcome: (Bool, Bool)
            switch meeting {
            case .oneBatch:
                gate.hold(.observing)
                try await gate.stopped(at: .observing)
                let isEarlierCommitted = try await earlier.commit()
                try await fill()
                outcome = (isEarlierCommitted, try await later.commit())
                try await fill()
                gate.open(.observing)
            case .twoBatches:
                let isEarlierCommitted = try await earlier.commit()
                try await scenario.drain(worker)
                try await fill()
                outcome = (isEarlierCommitted, try await later.commit())
                try await fill()
            case .betweenClaimAndBump:
                gate.hold(.observing)
                try await gate.stopped(at: .observing)
                let isEarlierCommitted = try await earlier.commit()
                gate.hold(.applying)
                gate.open(.observing)
                try await gate.stopped(at: .applying)
                try await fill()
                outcome = (isEarlierCommitted, try await later.commit())
                try await fill()
                gate.open(.applying)
            }
            try await scenario.drain(worker)
            return outcome
        }
    }

    private func stage(_ keys: ForeignKeys, _ body: @Sendable (Stage) async throws -> Void) async throws {
        try await Scenario.run(keys) { scenario in
            let worker = try await scenario.startWorker()
            let first = try await SteppedTransaction(scenario)
            let second = try await SteppedTransaction(scenario)
            do {
                try await body(Stage(scenario: scenario, worker: worker, first: first, second: second))
            } catch {
                await first.close()
                await second.close()
                throw error
            }
            await first.close()
            await second.close()
        }
    }

    // MARK: The two transactions of the design

    @Test(arguments: SteppedTransaction.Isolation.allCases, ForeignKeys.allCases)
    func `a link and an environment move that do not see each other leave no stale entry`(
        isolation: SteppedTransaction.Isolation,
        keys: ForeignKeys
    ) async throws {
        try await stage(keys) { stage in
            var number: Int64 = 0
            for meeting in Meeting.allCases {
                for linkCommitsFirst in [true, false] {
                    number += 1
                    let id = number
                    try await stage.scenario.execute(
                        """
                        INSERT INTO workflow_engine_detector (id) VALUES (\(id));
                        INSERT INTO workflow_engine_workflow (id, environment_id) VALUES (\(id), 5)
                        """
                    )
                    try await stage.scenario.drain(stage.worker)
                    try await stage.scenario.warm([id], [.environment(5), .environment(6)])

                    let (link, move) = (stage.first, stage.second)
                    try await link.begin(isolation)
                    try await move.begin(isolation)
                    let isLinked = try await link.perform(
                        "INSERT INTO workflow_engine_detectorworkflow (detector_id, workflow_id) VALUES (\(id), \(id))"
                    )
                    let isMoved = try await move.perform(
                        "UPDATE workflow_engine_workflow SET environment_id = 6 WHERE id = \(id)"
                    )
                    #expect(isLinked && isMoved)
                    let outcome = try await stage.commit(
                        linkCommitsFirst ? link : move,
                        linkCommitsFirst ? move : link,
                        meeting
                    ) {
                        try await stage.scenario.warm([id], [.environment(5), .environment(6)])
                    }
                    #expect(outcome == (true, true))
                    #expect(try await stage.scenario.read(id, .environment(5)).ids == [], "\(meeting)")
                    #expect(try await stage.scenario.read(id, .environment(6)).ids == [id], "\(meeting)")
                }
            }
        }
    }

    @Test(arguments: ForeignKeys.allCases)
    func `a link that is deleted after the claim of its workflow's move is still found`(keys: ForeignKeys) async throws
    {
        try await stage(keys) { stage in
            let (scenario, worker) = (stage.scenario, stage.worker)
            try await scenario.insert(detectors: [1], workflows: [(1, 5)])
            try await scenario.drain(worker)
            try await scenario.warm([1], [.environment(5), .environment(6)])

            worker.gate.hold(.observing)
            try await worker.gate.stopped(at: .observing)
            try await scenario.execute("UPDATE workflow_engine_workflow SET environment_id = 6 WHERE id = 1")
            worker.gate.hold(.applying)
            worker.gate.open(.observing)
            try await worker.gate.stopped(at: .applying)
            // The move is claimed, and alone. The row of this deletion will find the workflow in environment 6 only.
            try await scenario.execute("DELETE FROM workflow_engine_detectorworkflow")
            worker.gate.open(.applying)
            try await scenario.drain(worker)

            #expect(worker.reports.suffix(2).map { $0.changes.map(\.subject) } == [["workflow"], ["link"]])
            let left = try await scenario.read(1, .environment(5))
            #expect(left.ids == [])
            #expect(left.environment == .miss(.absent))
            #expect(try await scenario.read(1, .environment(6)).ids == [])
        }
    }

    // MARK: Every pair

    /// What one transaction does to the link of detector `d` and workflow `w`.
    enum LinkChange: Sendable, CaseIterable {
        case link, unlink, moveToDetector, moveToWorkflow, deleteDetector

        func sql(_ row: Rows) -> String {
            switch self {
            case .link:
                "INSERT INTO workflow_engine_detectorworkflow (detector_id, workflow_id) VALUES (\(row.detector), \(row.workflow))"
            case .unlink:
                "DELETE FROM workflow_engine_detectorworkflow WHERE \(row.link)"
            case .moveToDetector:
                "UPDATE workflow_engine_detectorworkflow SET detector_id = \(row.otherDetector) WHERE \(row.link)"
            case .moveToWorkflow:
                "UPDATE workflow_engine_detectorworkflow SET workflow_id = \(row.otherWorkflow) WHERE \(row.link)"
            case .deleteDetector:
                "DELETE FROM workflow_engine_detector WHERE id = \(row.detector)"
            }
        }
    }

    /// What the other does to the workflow.
    enum WorkflowChange: Sendable, CaseIterable {
        case move, makeGlobal, moveTwice, disable, delete, deleteInOrder, changeKey, insert

        /// Foreign keys forbid the rest.
        static func all(with keys: ForeignKeys) -> [WorkflowChange] {
            keys == .none ? allCases : allCases.filter { $0 != .changeKey && $0 != .insert }
        }

        func sql(_ row: Rows) -> String {
            let update = "UPDATE workflow_engine_workflow SET"
            let workflow = "WHERE id = \(row.workflow)"
            return switch self {
            case .move: "\(update) environment_id = 6 \(workflow)"
            case .makeGlobal: "\(update) environment_id = NULL \(workflow)"
            case .moveTwice: "\(update) environment_id = 6 \(workflow); \(update) environment_id = 7 \(workflow)"
            case .disable: "\(update) enabled = false \(workflow)"
            case .delete: "DELETE FROM workflow_engine_workflow \(workflow)"
            case .deleteInOrder:
                "DELETE FROM workflow_engine_detectorworkflow WHERE workflow_id = \(row.workflow); "
                    + "DELETE FROM workflow_engine_workflow \(workflow)"
            case .changeKey: "\(update) id = \(row.workflow + 5) \(workflow)"
            case .insert: "INSERT INTO workflow_engine_workflow (id, environment_id) VALUES (\(row.workflow), 5)"
            }
        }
    }

    /// The rows that one schedule is about; no two schedules share any.
    struct Rows: Sendable {
        var detector: Int64
        var workflow: Int64
        var otherDetector: Int64 { detector + 1 }
        var otherWorkflow: Int64 { workflow + 1 }
        var link: String { "detector_id = \(detector) AND workflow_id = \(workflow)" }

        init(schedule: Int64) {
            detector = schedule * 10
            workflow = schedule * 10
        }

        func insert(before link: LinkChange, _ workflow: WorkflowChange) -> String {
            var statements = [
                "INSERT INTO workflow_engine_detector (id) VALUES (\(detector)), (\(otherDetector))",
                "INSERT INTO workflow_engine_workflow (id, environment_id) VALUES (\(otherWorkflow), 6)",
            ]
            if workflow != .insert {
                statements.append(
                    "INSERT INTO workflow_engine_workflow (id, environment_id) VALUES (\(self.workflow), 5)"
                )
            }
            if link != .link {
                statements.append(
                    "INSERT INTO workflow_engine_detectorworkflow (detector_id, workflow_id) VALUES (\(detector), \(self.workflow))"
                )
            }
            return statements.joined(separator: ";")
        }
    }

    @Test(arguments: [SteppedTransaction.Isolation.readCommitted, .repeatableRead], ForeignKeys.allCases)
    func `every change of a link against every change of its workflow, in every order of their commits`(
        isolation: SteppedTransaction.Isolation,
        keys: ForeignKeys
    ) async throws {
        try await stage(keys) { stage in
            let environments: [Int64] = [5, 6, 7]
            var schedules: Int64 = 0
            var commits = 0
            for linkChange in LinkChange.allCases {
                for workflowChange in WorkflowChange.all(with: keys) {
                    for meeting in Meeting.allCases {
                        for linkIsFirst in [true, false] {
                            schedules += 1
                            let rows = Rows(schedule: schedules)
                            let detectors = [rows.detector, rows.otherDetector]
                            let fill: () async throws -> Void = {
                                try await stage.scenario.warm(detectors, environments.map { .environment($0) })
                            }
                            try await stage.scenario.execute(rows.insert(before: linkChange, workflowChange))
                            try await stage.scenario.drain(stage.worker)
                            try await fill()

                            try await stage.first.begin(isolation)
                            try await stage.second.begin(isolation)
                            let link = (stage.first, linkChange.sql(rows))
                            let workflow = (stage.second, workflowChange.sql(rows))
                            // Who commits first writes last, so that the journal's order is not the order of the commits.
                            let (earlier, later) = linkIsFirst ? (link, workflow) : (workflow, link)
                            _ = try await later.0.perform(later.1)
                            let isFree = try await earlier.0.perform(earlier.1)
                            try await fill()
                            // Who waits for a lock of the other cannot commit before it.
                            let outcome = try await stage.commit(
                                isFree ? earlier.0 : later.0,
                                isFree ? later.0 : earlier.0,
                                meeting,
                                fill: fill
                            )
                            commits += [outcome.0, outcome.1].count { $0 }

                            let (_, mistakes) = try await stage.scenario.expectConsistent(
                                detectors: detectors,
                                environments: environments
                            )
                            if mistakes > 0 {
                                Issue.record(
                                    "\(linkChange) and \(workflowChange), \(linkIsFirst ? "link" : "workflow") first, \(meeting), committed \(outcome)"
                                )
                                return
                            }
                        }
                    }
                }
            }
            // Some schedules end with one of the two given up; most must not, or nothing was shown.
            #expect(commits > Int(schedules) * 3 / 2)
        }
    }
}
