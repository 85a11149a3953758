import LocalServices
import Postgres
import Simulation
import Surroundings
import Testing

@testable import InvalidationWorker

/// The simulation's Postgres is held to a real one: random concurrent transactions and claims, led step by step on real connections
/// and on the model, see the same, wait for each other at the same steps, end alike, and leave the same rows and the same journal.
struct PostgresModelTests {
    private static let seeds: ClosedRange<UInt64> = 1...300

    /// One transaction on both sides.
    private struct Stage {
        var real: SteppedTransaction
        var modelled: PostgresModel.Transaction
        var execution: SteppedStatement?
        /// Whether the model says that it waits.
        var isWaiting: Bool { execution?.isWaiting == true }
    }

    /// A worker's session on both sides.
    private struct Claimer {
        var real: Journal
        /// The claim that is open.
        var modelled: PostgresModel.Transaction?
        /// Of what was found last and deleted for good, on the server and on the model.
        var floors: (real: SnapshotFloor?, modelled: SnapshotFloor?) = (nil, nil)
        /// What becomes the floors with the commit.
        var next: (real: SnapshotFloor?, modelled: SnapshotFloor?) = (nil, nil)
    }

    @Test func `random transactions meet on the model as they meet on a real server`() async throws {
        try await Scenario.run { scenario in
            let connections = [
                try await SteppedTransaction(scenario), try await SteppedTransaction(scenario),
                try await SteppedTransaction(scenario),
            ]
            let address = scenario.servers.postgres
            let user = Servers.Roles.worker
            let journal = try await Journal.open(
                PostgresConfiguration(
                    connectionString: address.connectionString(database: scenario.database, user: user)
                ),
                caches: [WorkflowRules()],
                collapseThreshold: 100_000,
                logger: testLogger
            )
            var complete = 0
            for seed in Self.seeds where try await compare(seed, scenario, connections, journal) { complete += 1 }
            // Some end in deadlocks, or in two that wait for a third: whose turn it is then, chance decides.
            #expect(complete > Self.seeds.count / 2)
            for connection in connections { await connection.close() }
            await journal.close()
        }
    }

    /// Plays one seed on both sides; false where chance decides how it goes on.
    private func compare(
        _ seed: UInt64,
        _ scenario: Scenario,
        _ connections: [SteppedTransaction],
        _ journal: Journal
    ) async throws -> Bool {
        var random = SplitMix64(seed: seed)
        let model = try await prepare(scenario)
        var claimer = Claimer(real: journal)
        var stages: [Int: Stage] = [:]
        /// What was done, for whoever has to find out why it came out differently.
        var history = ["seed \(seed)"]

        for _ in 0..<20 {
            if Int.random(in: 0..<6, using: &random) == 0 {
                try await step(&claimer, on: model, &random, &history)
                continue
            }
            let place = Int.random(in: 0..<connections.count, using: &random)
            guard var stage = stages[place] else {
                let isolation = PostgresModel.Isolation.allCases[Int.random(in: 0...1, using: &random)]
                try await connections[place].begin(isolation == .readCommitted ? .readCommitted : .repeatableRead)
                stages[place] = Stage(real: connections[place], modelled: model.begin(isolation, snapshotNow: true))
                history.append("\(place) begins \(isolation)")
                continue
            }
            if stage.isWaiting { continue }
            if stage.modelled.hasFailed || Int.random(in: 0..<4, using: &random) == 0 {
                try await end(stage, on: model, &random, history)
                stages[place] = nil
                history.append("\(place) ended")
            } else if Int.random(in: 0..<4, using: &random) == 0 {
                history.append("\(place) looks")
                let seen = try await stage.real.column(Self.rows).sorted()
                try #require(seen == model.rowTexts(seenBy: stage.modelled).sorted(), "\(history)")
            } else {
                let statement = statement(&random)
                history.append("\(place): \(statement)")
                let isDone = try await stage.real.perform(sql(statement))
                let execution = SteppedStatement(statement, stage.modelled, on: model)
                stage.execution = execution
                stages[place] = stage
                if !execution.isDeadlock { try #require(isDone == !execution.isWaiting, "\(history)") }
            }
            guard try await meetAlike(stages, history) else {
                try await abandon(stages, claimer)
                return false
            }
        }
        if claimer.modelled != nil { try await step(&claimer, on: model, &random, &history) }
        // Those that others wait for first.
        while let (place, stage) = stages.first(where: { !$0.value.isWaiting }) {
            try await end(stage, on: model, &random, history)
            stages[place] = nil
            history.append("\(place) ended")
            guard try await meetAlike(stages, history) else {
                try await abandon(stages, claimer)
                return false
            }
        }
        try #require(stages.isEmpty)
        let left = try await scenario.column(Self.rows).compactMap { $0 }.sorted()
        try #require(left == model.rowTexts().sorted(), "\(history)")
        return true
    }

    /// Two workflows and their links, journaled, on both sides.
    private func prepare(_ scenario: Scenario) async throws -> PostgresModel {
        try await scenario.execute(
            "TRUNCATE workflow_engine_workflow, workflow_engine_detectorworkflow; DELETE FROM freshet.change"
        )
        let model = PostgresModel()
        for workflow in Int64(1)...2 {
            let statements: [ApplicationStatement] = [
                .insertWorkflow(workflow, environment: 5), .insertLink(detector: 1, workflow: workflow),
            ]
            let transaction = model.begin(.readCommitted)
            for statement in statements {
                try await scenario.execute(sql(statement))
                _ = SteppedStatement(statement, transaction, on: model)
            }
            model.commit(transaction)
        }
        return model
    }

    /// Whether all that waited still wait, on both sides, or none does; false where chance decides how it goes on.
    private func meetAlike(_ stages: [Int: Stage], _ history: [String]) async throws -> Bool {
        if stages.values.contains(where: { $0.execution?.isDeadlock == true }) { return false }
        for stage in stages.values {
            guard let execution = stage.execution else { continue }
            let isDone = try await stage.real.isDone()
            try #require(isDone == !execution.isWaiting, "\(history)")
        }
        // Which of two goes first that wait for a third, chance decides.
        return stages.values.count(where: \.isWaiting) < 2
    }

    /// Claims what there is, or ends the claim that is open.
    private func step(
        _ claimer: inout Claimer,
        on model: PostgresModel,
        _ random: inout SplitMix64,
        _ history: inout [String]
    ) async throws {
        if let transaction = claimer.modelled {
            claimer.modelled = nil
            if Int.random(in: 0..<4, using: &random) == 0 {
                history.append("the claim is undone")
                try await claimer.real.rollBack()
                model.rollBack(transaction)
                claimer.floors = (nil, nil)
            } else {
                history.append("the claim is committed")
                try await claimer.real.commit([])
                model.commit(transaction)
                claimer.floors = claimer.next
            }
            return
        }
        history.append("claim")
        let transaction = model.begin(.readCommitted)
        let mark = "mark"
        let real = try await claimer.real.claim(.init(floor: claimer.floors.real, nextMark: mark))
        let modelled = try #require(model.claim(.init(floor: claimer.floors.modelled, nextMark: mark), transaction))
        claimer.modelled = transaction
        claimer.next = (SnapshotFloor(snapshot: real.snapshot), SnapshotFloor(snapshot: modelled.snapshot))
        try #require(real.rowCount == modelled.rowCount, "\(history)")
        try #require(real.deletedCount == modelled.deletedCount, "\(history)")
        let scopes = [real, modelled].map { claim in claim.caches.first { $0.cache == "workflows" }?.scopes }
        try #require(scopes[0] == scopes[1], "\(history)")
    }

    /// Ends a transaction on both sides.
    private func end(
        _ stage: Stage,
        on model: PostgresModel,
        _ random: inout SplitMix64,
        _ history: [String]
    ) async throws {
        if Int.random(in: 0..<5, using: &random) == 0 {
            try await stage.real.rollBack()
            return model.rollBack(stage.modelled)
        }
        let isCommitted = try await stage.real.commit()
        let hasFailed = stage.modelled.hasFailed
        try #require(isCommitted == !hasFailed, "\(history) \(stage.execution?.outcome ?? "")")
        if !hasFailed { model.commit(stage.modelled) }
    }

    private func abandon(_ stages: [Int: Stage], _ claimer: Claimer) async throws {
        if claimer.modelled != nil { try await claimer.real.rollBack() }
        // One waits for the other, so all at once.
        try await withThrowingTaskGroup(of: Void.self) { group in
            for stage in stages.values {
                let real = stage.real
                group.addTask { try await real.rollBack() }
            }
            try await group.waitForAll()
        }
    }

    /// Every row as the model tells it.
    private static let rows = """
        SELECT 'workflow ' || id || ' ' || coalesce(environment_id::text, '-') || ' ' || enabled FROM workflow_engine_workflow
        UNION ALL SELECT 'link ' || detector_id || ' ' || workflow_id FROM workflow_engine_detectorworkflow
        UNION ALL SELECT concat_ws(' ', 'journal', subject, operation,
            (SELECT string_agg(concat_ws('/', coalesce(d::text, 'NULL'), coalesce(w::text, 'NULL'),
                coalesce(o::text, 'NULL'), coalesce(n::text, 'NULL')), ',' ORDER BY d, w, o, n)
            FROM unnest(detector_ids, workflow_ids, old_environment_ids, new_environment_ids) AS u (d, w, o, n)))
        FROM freshet.change
        """

    private func statement(_ random: inout SplitMix64) -> ApplicationStatement {
        let workflow = Int64.random(in: 1...3, using: &random)
        let other = Int64.random(in: 1...3, using: &random)
        let detector = Int64.random(in: 1...2, using: &random)
        let environment = [nil, 5, 6][Int.random(in: 0...2, using: &random)] as Int64?
        switch Int.random(in: 0..<16, using: &random) {
        case 0: return .insertWorkflow(workflow, environment: environment)
        case 1, 2: return .moveWorkflow(workflow, environment: environment)
        case 3: return .toggleWorkflow(workflow)
        case 4: return .deleteWorkflow(workflow)
        case 5: return .rekeyWorkflow(workflow, to: other)
        case 6, 7: return .insertLink(detector: detector, workflow: workflow)
        case 8: return .deleteLink(detector: detector, workflow: workflow)
        case 9: return .relink(detector: detector, workflow: workflow, to: other)
        case 10: return .invalidateEntry(detector: detector, environment: environment)
        case 11: return .moveAllWorkflows(environment: environment)
        case 12: return .deleteLinksOfWorkflow(workflow)
        case 13: return .reattach(detector: detector, workflow: workflow, to: 3 - detector)
        case 14: return .invalidateAll
        default: return .renameWorkflow(workflow)
        }
    }

    private func sql(_ statement: ApplicationStatement) -> String {
        let (workflows, links) = ("workflow_engine_workflow", "workflow_engine_detectorworkflow")
        func text(_ environment: Int64?) -> String { environment.map(String.init) ?? "NULL" }
        switch statement {
        case .insertWorkflow(let id, let environment):
            return
                "INSERT INTO \(workflows) (id, environment_id) VALUES (\(id), \(text(environment))) ON CONFLICT DO NOTHING"
        case .moveWorkflow(let id, let environment):
            return "UPDATE \(workflows) SET environment_id = \(text(environment)), name = name || '.' WHERE id = \(id)"
        case .moveAllWorkflows(let environment):
            return "UPDATE \(workflows) SET environment_id = \(text(environment)), name = name || '.'"
        case .toggleWorkflow(let id):
            return "UPDATE \(workflows) SET enabled = NOT enabled, name = name || '.' WHERE id = \(id)"
        case .renameWorkflow(let id): return "UPDATE \(workflows) SET name = name || '.' WHERE id = \(id)"
        case .deleteWorkflow(let id): return "DELETE FROM \(workflows) WHERE id = \(id)"
        case .rekeyWorkflow(let id, let other):
            return "UPDATE \(workflows) SET id = \(other), name = name || '.' WHERE id = \(id)"
        case .insertLink(let detector, let workflow):
            return
                "INSERT INTO \(links) (detector_id, workflow_id) VALUES (\(detector), \(workflow)) ON CONFLICT DO NOTHING"
        case .deleteLink(let detector, let workflow):
            return "DELETE FROM \(links) WHERE detector_id = \(detector) AND workflow_id = \(workflow)"
        case .deleteLinksOfWorkflow(let workflow): return "DELETE FROM \(links) WHERE workflow_id = \(workflow)"
        case .relink(let detector, let workflow, let other):
            return
                "UPDATE \(links) SET workflow_id = \(other) WHERE detector_id = \(detector) AND workflow_id = \(workflow)"
        case .reattach(let detector, let workflow, let other):
            return
                "UPDATE \(links) SET detector_id = \(other) WHERE detector_id = \(detector) AND workflow_id = \(workflow)"
        case .touchDetector(let id): return "UPDATE workflow_engine_detector SET name = name || '.' WHERE id = \(id)"
        case .invalidateAll: return "SELECT freshet.invalidate_all()"
        case .invalidateDetector(let id): return "SELECT freshet.invalidate_detector(\(id))"
        case .invalidateEntry(let detector, let environment):
            return "SELECT freshet.invalidate_detector(\(detector), \(text(environment)))"
        }
    }
}
