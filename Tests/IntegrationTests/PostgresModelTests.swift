import Keyspace
import LocalServices
import Postgres
import Surroundings
import Testing

@testable import InvalidationWorker
@testable import Simulation

/// The simulation's Postgres is held to a real one: random concurrent transactions and claims, led step by step on real connections
/// and on the model, see the same, wait for each other at the same steps, end alike, notify alike, and leave the same rows, the same
/// journal and the same marks; and what is looked up for a notification is the same.
struct PostgresModelTests {
    private static let seeds: ClosedRange<UInt64> = 1...300

    @Test func `random transactions meet on the model as they meet on a real server`() async throws {
        try await Scenario.run { scenario in
            let sessions = try await PlayedSessions(scenario)
            var (complete, sharedClaims, escalations, collapses, lookUps) = (0, 0, 0, 0, 0)
            for seed in Self.seeds {
                let play = Play(seed, with: sessions)
                if try await play.run() { complete += 1 }
                sharedClaims += play.sharedClaims
                escalations += play.escalations
                collapses += play.collapses
                lookUps += play.lookUps
            }
            // Some end in deadlocks, or in two that wait for a third: whose turn it is then, chance decides.
            #expect(complete > Self.seeds.count / 2)
            #expect(sharedClaims > 0)
            #expect(escalations > 0)
            #expect(collapses > 0)
            #expect(lookUps > 0)
            await sessions.close()
        }
    }
}

/// The sessions with a real server that all seeds are played on.
private struct PlayedSessions: Sendable {
    let scenario: Scenario
    /// Those of the application.
    let writers: [SteppedTransaction]
    /// Those of two workers that both take themselves for the leader.
    let claimers: [SteppedClaimer]
    /// What looks up what hints are resolved with.
    private let hints: PostgresHintSession
    private let listener: PostgresConnection

    init(_ scenario: Scenario) async throws {
        self.scenario = scenario
        writers = [
            try await SteppedTransaction(scenario), try await SteppedTransaction(scenario),
            try await SteppedTransaction(scenario),
        ]
        claimers = [
            // One resolves whatever it finds row by row, the other as good as nothing.
            try await SteppedClaimer(scenario, name: "claimer 0", collapseThreshold: 100_000),
            try await SteppedClaimer(scenario, name: "claimer 1", collapseThreshold: 2),
        ]
        hints = try await PostgresHintSession.open(
            PostgresConfiguration(
                connectionString: scenario.servers.postgres.connectionString(
                    database: scenario.database,
                    user: Servers.Roles.worker
                )
            ),
            caches: [WorkflowRules()],
            executor: nil,
            logger: testLogger
        )
        listener = try await scenario.connect()
        try await listener.run(script: "LISTEN freshet_change")
    }

    func close() async {
        for writer in writers { await writer.close() }
        for claimer in claimers { await claimer.close() }
        await hints.close()
        await listener.close()
    }

    /// What is looked up now for some rows that were told of.
    func facts(of rows: [JournalRow]) async throws -> [FactRow] {
        try #require(try await hints.facts(of: rows, for: "workflows"))
    }

    /// What has been notified since the last call.
    func heard() async throws -> [String] {
        // Notifications come in the order of the commits: with this one, all before it have come.
        let end = "the end"
        try await listener.run(script: "NOTIFY freshet_change, '\(end)'")
        var payloads: [String] = []
        while true {
            let next = try await listener.nextNotification(until: .now + .seconds(30))
            let payload = try #require(next).payload
            if payload == end { return payloads }
            payloads.append(payload)
        }
    }
}

/// What a worker's session does on the model, led by hand: it goes on when whoever it waits for ends.
private final class ModelledStep {
    private let claiming: PostgresModel.ClaimExecution?
    /// Whether it waits for another transaction.
    private(set) var isWaiting = true

    /// What was claimed; nil of a commit.
    var claim: Claim? { claiming?.claim }

    /// Claims.
    init(
        _ request: PumpStateMachine.ClaimRequest,
        _ transaction: PostgresModel.Transaction,
        on model: PostgresModel,
        collapseThreshold: Int64
    ) {
        let claiming = PostgresModel.ClaimExecution(request, transaction)
        self.claiming = claiming
        perform(
            transaction,
            on: model,
            { model.advance(claiming, collapseThreshold: collapseThreshold) },
            then: {}
        )
    }

    /// Commits.
    init(
        committing acknowledgements: [PassPlan.Acknowledgement],
        _ transaction: PostgresModel.Transaction,
        on model: PostgresModel
    ) {
        claiming = nil
        var place = 0
        perform(
            transaction,
            on: model,
            { model.acknowledge(acknowledgements, from: &place, transaction) },
            then: { model.commit(transaction) }
        )
    }

    private func perform(
        _ transaction: PostgresModel.Transaction,
        on model: PostgresModel,
        _ attempt: @escaping () -> PostgresModel.Progress,
        then: @escaping () -> Void
    ) {
        model.perform(
            transaction,
            attempt,
            isWanted: { true },
            then: { [weak self] progress in
                if progress == .done { then() }
                self?.isWaiting = false
            }
        )
    }
}

/// One seed, played on a real server and on a model side by side.
private final class Play {
    /// A transaction on both sides.
    private struct Writer {
        let modelled: PostgresModel.Transaction
        var execution: SteppedStatement?
        /// Whether the model says that it waits.
        var isWaiting: Bool { execution?.isWaiting == true }
    }

    /// A worker's session on both sides.
    private struct Claimer {
        /// Of what was found last and deleted for good, on the server and on the model.
        typealias Floors = (real: SnapshotFloor?, modelled: SnapshotFloor?)

        /// The claim that is open.
        var modelled: PostgresModel.Transaction?
        /// What the session is about, as long as it is not done.
        var step: ModelledStep?
        var floors: Floors = (nil, nil)
        /// What becomes the floors with the commit.
        var next: Floors = (nil, nil)
    }

    private let sessions: PlayedSessions
    private let model = PostgresModel()
    private var random: SplitMix64
    private var writers: [Writer?]
    private var claimers: [Claimer]
    private var lastMark = 0
    /// What was done, for whoever has to find out why it came out differently.
    private var history: [String]
    /// How many claims found that another had deleted a part of what they saw.
    private(set) var sharedClaims = 0
    /// How many claimed rows stand for a statement that changed too much.
    private(set) var escalations = 0
    /// How many claims resolved nothing.
    private(set) var collapses = 0
    /// How many facts were looked up for what was told of.
    private(set) var lookUps = 0

    init(_ seed: UInt64, with sessions: PlayedSessions) {
        self.sessions = sessions
        random = SplitMix64(seed: seed)
        writers = sessions.writers.map { _ in nil }
        claimers = sessions.claimers.map { _ in Claimer() }
        history = ["seed \(seed)"]
    }

    /// Plays it; false where chance decides how it goes on.
    func run() async throws -> Bool {
        try await prepare()
        for _ in 0..<22 {
            if random.chance(oneIn: 4) {
                try await goOn(claimer: random.below(claimers.count))
            } else {
                try await goOn(writer: random.below(writers.count))
            }
            guard try await meetAlike() else {
                try await abandon()
                return false
            }
        }
        // Those that others wait for first.
        while let place = claimers.firstIndex(where: { $0.modelled != nil && $0.step == nil }) {
            try await end(claimer: place)
        }
        while let place = writers.firstIndex(where: { $0?.isWaiting == false }) {
            try await end(writer: place)
            guard try await meetAlike() else {
                try await abandon()
                return false
            }
        }
        let isOver = writers.allSatisfy { $0 == nil } && claimers.allSatisfy { $0.modelled == nil }
        try #require(isOver, "\(history)")
        let left = try await sessions.scenario.column(Self.rows).compactMap { $0 }.sorted()
        try #require(left == model.rowTexts().sorted(), "\(history)")
        return true
    }

    /// Settings, and some workflows and their links, journaled, on both sides.
    private func prepare() async throws {
        let scenario = sessions.scenario
        model.escalationRows = random.pick([10_000, 2, 1])
        model.hints = !random.chance(oneIn: 6)
        let detectors = writers.indices.map { "(\(touchedDetector(of: $0)))" }.joined(separator: ", ")
        try await scenario.execute(
            """
            TRUNCATE workflow_engine_detector, workflow_engine_workflow, workflow_engine_detectorworkflow;
            INSERT INTO workflow_engine_detector (id) VALUES \(detectors);
            UPDATE freshet.setting SET value = '\(model.escalationRows)' WHERE name = 'escalation_rows';
            UPDATE freshet.setting SET value = '\(model.hints ? "on" : "off")' WHERE name = 'hints';
            UPDATE freshet.fence SET mark = NULL, triggers = NULL;
            DELETE FROM freshet.change
            """
        )
        for workflow in 1...random.pick([2, 3] as [Int64]) {
            let statements: [ApplicationStatement] = [
                .insertWorkflow(workflow, environment: 5), .insertLink(detector: 1, workflow: workflow),
            ]
            let transaction = model.begin(.readCommitted)
            for statement in statements {
                try await scenario.execute(statement.sql)
                _ = SteppedStatement(statement, transaction, on: model)
            }
            model.commit(transaction)
        }
        _ = try await sessions.heard()
    }

    // MARK: Writers

    /// Begins a transaction, or does something in the one that is open.
    private func goOn(writer place: Int) async throws {
        let real = sessions.writers[place]
        guard let writer = writers[place] else {
            let isolation = random.pick(PostgresModel.Isolation.allCases)
            history.append("\(place) begins \(isolation)")
            try await real.begin(isolation == .readCommitted ? .readCommitted : .repeatableRead)
            writers[place] = Writer(modelled: model.begin(isolation, snapshotNow: true))
            return
        }
        if writer.isWaiting { return }
        if writer.modelled.hasFailed || random.chance(oneIn: 4) {
            try await end(writer: place)
        } else if random.chance(oneIn: 4) {
            history.append("\(place) looks")
            let seen = try await real.column(Self.rows).sorted()
            try #require(seen == model.rowTexts(seenBy: writer.modelled).sorted(), "\(history)")
        } else {
            let statement = statement(of: place)
            history.append("\(place): \(statement)")
            let isDone = try await real.perform(statement.sql)
            let execution = SteppedStatement(statement, writer.modelled, on: model)
            writers[place]?.execution = execution
            if !execution.isDeadlock { try #require(isDone == !execution.isWaiting, "\(history)") }
        }
    }

    /// Whether all that waited still wait, on both sides, or none does; false where chance decides how it goes on.
    private func meetAlike() async throws -> Bool {
        if writers.contains(where: { $0?.execution?.isDeadlock == true }) { return false }
        for place in writers.indices {
            guard let execution = writers[place]?.execution else { continue }
            let isDone = try await sessions.writers[place].isDone()
            try #require(isDone == !execution.isWaiting, "\(history)")
        }
        // Which of two goes first that wait for a third, chance decides.
        return writers.count(where: { $0?.isWaiting == true }) < 2
    }

    /// Ends a transaction on both sides, and listens to what it notifies.
    private func end(writer place: Int) async throws {
        guard let writer = writers[place] else { return }
        writers[place] = nil
        let real = sessions.writers[place]
        var told: [String] = []
        if random.chance(oneIn: 5) {
            history.append("\(place) rolls back")
            try await real.rollBack()
            model.rollBack(writer.modelled)
        } else {
            history.append("\(place) commits")
            let isCommitted = try await real.commit()
            let hasFailed = writer.modelled.hasFailed
            try #require(isCommitted == !hasFailed, "\(history) \(writer.execution?.outcome ?? "")")
            if isCommitted {
                model.commit(writer.modelled)
                told = writer.modelled.notifications.map { Self.text(ofNotification: $0) }
            }
        }
        let heard = try await sessions.heard().map { Self.text(ofNotification: $0) }
        try #require(heard == told, "\(history)")
        try await compareFacts(writer.modelled.notifications.compactMap { Hint($0)?.row })
    }

    /// Holds what is looked up for rows that were told of to what the model looks up.
    private func compareFacts(_ rows: [JournalRow]) async throws {
        let real = try await sessions.facts(of: rows)
        let modelled = model.facts(ofHinted: rows)
        try #require(Set(real) == Set(modelled), "\(history)")
        try #require(real.count == modelled.count, "\(history)")
        lookUps += real.count
    }

    /// What a notification tells of a row, but for the id that nobody can foresee.
    private static func text(ofNotification payload: String) -> String {
        guard let hint = Hint(payload) else { return payload }
        return "\(hint.cache) \(hint.row.keysText)"
    }

    // MARK: Claimers

    /// Claims, or ends the claim that is open.
    private func goOn(claimer place: Int) async throws {
        let claimer = claimers[place]
        if claimer.step != nil { return }
        if claimer.modelled != nil { return try await end(claimer: place) }
        history.append("claimer \(place) claims")
        let mark = nextMark()
        try await sessions.claimers[place].claim(.init(floor: claimer.floors.real, nextMark: mark))
        let transaction = model.begin(.readCommitted)
        claimers[place].modelled = transaction
        claimers[place].step = ModelledStep(
            .init(floor: claimer.floors.modelled, nextMark: mark),
            transaction,
            on: model,
            collapseThreshold: sessions.claimers[place].collapseThreshold
        )
        try await settle()
    }

    /// Ends the claim that is open.
    private func end(claimer place: Int) async throws {
        guard let transaction = claimers[place].modelled else { return }
        let real = sessions.claimers[place]
        if random.chance(oneIn: 4) {
            history.append("claimer \(place) rolls back")
            try await real.rollBack()
            model.rollBack(transaction)
            claimers[place] = Claimer()
        } else {
            // In one order, or the two could wait for each other.
            let acknowledgements = ["workflows", "datasources"].filter { _ in random.chance(oneIn: 2) }.map { cache in
                PassPlan.Acknowledgement(cache: cache, mark: nextMark(), triggers: "triggers \(lastMark)")
            }
            history.append("claimer \(place) commits and acknowledges \(acknowledgements.map(\.cache))")
            try await real.commit(acknowledgements)
            claimers[place].step = ModelledStep(committing: acknowledgements, transaction, on: model)
        }
        try await settle()
    }

    private func nextMark() -> String {
        lastMark += 1
        return "mark \(lastMark)"
    }

    /// Holds what the claimers have come to on the server to what they have come to on the model.
    private func settle() async throws {
        for place in claimers.indices {
            guard let step = claimers[place].step else { continue }
            let real = sessions.claimers[place]
            let isDone = try await real.isDone()
            try #require(isDone == !step.isWaiting, "\(history)")
            guard isDone else { continue }
            claimers[place].step = nil
            if let claim = try await real.outcome() {
                let modelled = try #require(step.claim, "\(history)")
                try compare(claim, modelled)
                // As the pump does: where another has deleted some, the floors stay where they are.
                if claim.deletedCount == claim.rowCount {
                    claimers[place].next.real = SnapshotFloor(snapshot: claim.snapshot)
                    claimers[place].next.modelled = SnapshotFloor(snapshot: modelled.snapshot)
                }
            } else {
                claimers[place].modelled = nil
                claimers[place].floors = claimers[place].next
            }
        }
        let real = try await sessions.scenario.column(Self.fences).compactMap { $0 }.sorted()
        let snapshot = model.currentSnapshot()
        let modelled = model.fences.filter { model.isVisible($0, snapshot, 0) }.map { version in
            "\(version.row.cache) | \(version.row.mark ?? "") | \(version.row.triggers ?? "")"
        }.sorted()
        try #require(real == modelled, "\(history)")
    }

    private func compare(_ real: Claim, _ modelled: Claim) throws {
        try #require(real.rowCount == modelled.rowCount, "\(history)")
        try #require(real.deletedCount == modelled.deletedCount, "\(history)")
        let parts = [real, modelled].compactMap { claim in claim.caches.first { $0.cache == "workflows" } }
        try #require(parts.count == 2, "\(history)")
        try #require(parts[0].scopes == parts[1].scopes, "\(history)")
        try #require(parts[0].mark == parts[1].mark, "\(history)")
        // What is NULL there is empty here.
        let triggers = parts.map { $0.acknowledgedTriggers ?? "" }
        try #require(triggers[0] == triggers[1], "\(history)")
        let changes = parts.map { Self.changes(of: $0) }
        try #require(changes[0] == changes[1], "\(history)")
        if real.deletedCount < real.rowCount { sharedClaims += 1 }
        escalations += changes[0].count(where: { $0.contains("escalation") })
        if changes[0] == ["collapsed"] { collapses += 1 }
    }

    /// The rows of the journal that were claimed, and whether each was told of.
    private static func changes(of claim: CacheClaim) -> [String] {
        guard case .changes(let rows) = claim.backlog else { return ["collapsed"] }
        return rows.map { row in
            "\(row.keysText), \(row.rowCount) rows, \(row.hint == nil ? "not told of" : "told of")"
        }.sorted()
    }

    // MARK: Both

    /// Ends all that is open, at once: some wait for others.
    private func abandon() async throws {
        let writing = writers.indices.filter { writers[$0] != nil }.map { sessions.writers[$0] }
        let claiming = claimers.indices.filter { claimers[$0].modelled != nil }.map { sessions.claimers[$0] }
        try await withThrowingTaskGroup(of: Void.self) { group in
            for real in writing { group.addTask { try await real.rollBack() } }
            for real in claiming { group.addTask { try await real.rollBack() } }
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

    private static let fences = """
        SELECT concat_ws(' | ', cache, coalesce(mark, ''), coalesce(triggers, '')) FROM freshet.fence
        """

    private func statement(of place: Int) -> ApplicationStatement {
        let workflow = Int64(1 + random.below(3))
        let other = Int64(1 + random.below(3))
        let detector = Int64(1 + random.below(2))
        let environment = random.pick([nil, 5, 6] as [Int64?])
        switch random.below(18) {
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
        case 15: return .invalidateDetector(detector)
        case 16: return .touchDetector(touchedDetector(of: place))
        default: return .renameWorkflow(workflow)
        }
    }

    /// The detector that a writer changes, and no other writer: the model has no rows of detectors to lock.
    private func touchedDetector(of place: Int) -> Int64 { Int64(11 + place) }
}

extension JournalRow {
    /// What was done to which keys, whatever order the statement came to them in.
    fileprivate var keysText: String {
        let names = ["detector_ids", "workflow_ids", "old_environment_ids", "new_environment_ids"]
        let columns = names.map { integers[$0] }
        func text(_ column: [Int64?]?, _ place: Int) -> String {
            guard let column, place < column.count else { return "-" }
            return column[place].map { String($0) } ?? "NULL"
        }
        let count = columns.compactMap { $0?.count }.max() ?? 0
        let keys = (0..<count).map { place in columns.map { text($0, place) }.joined(separator: "/") }
        return "\(subject) \(operation) \(keys.sorted().joined(separator: ","))"
    }
}
