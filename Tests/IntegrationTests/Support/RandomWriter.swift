import Postgres
import Surroundings
import Synchronization

/// What happened how often.
final class Tally: Sendable {
    enum Kind: Sendable { case reads, committed, givenUp, rolledBack }

    private let state = Mutex<[Kind: Int]>([:])

    var counts: [Kind: Int] { state.withLock { $0 } }

    func add(_ kind: Kind) { state.withLock { $0[kind, default: 0] += 1 } }
}

/// A connection that does anything an application can do to the three tables.
actor RandomWriter {
    private let connection: PostgresConnection
    private var randomness: SplitMix64

    init(_ scenario: Scenario, seed: UInt64) async throws {
        connection = try await scenario.connect()
        randomness = SplitMix64(seed: seed)
        // Deadlocks are part of the game; a second for each would be most of the time.
        try await connection.run(script: "SET deadlock_timeout = '10ms'")
    }

    func close() async {
        await connection.close()
    }

    func write(transactions: Int, _ tally: Tally) async throws {
        for _ in 1...transactions {
            do {
                tally.add(try await transaction() ? .committed : .rolledBack)
            } catch let error as PostgresError where error.isOutcomeOfConcurrency {
                try await connection.run(script: "ROLLBACK")
                tally.add(.givenUp)
            }
        }
    }

    /// True where it was committed.
    private func transaction() async throws -> Bool {
        let isolation = SteppedTransaction.Isolation.allCases[roll(3)]
        try await connection.run(script: "BEGIN ISOLATION LEVEL \(isolation.rawValue)")
        if chance(20) { try await connection.run(script: "SET LOCAL session_replication_role = replica") }
        for _ in 0...roll(3) {
            let isSaved = chance(6)
            if isSaved { try await connection.run(script: "SAVEPOINT here") }
            try await connection.run(script: statement())
            if isSaved {
                try await connection.run(script: chance(2) ? "ROLLBACK TO SAVEPOINT here" : "RELEASE SAVEPOINT here")
            }
        }
        let isKept = !chance(10)
        try await connection.run(script: isKept ? "COMMIT" : "ROLLBACK")
        return isKept
    }

    private func roll(_ sides: Int) -> Int { Int.random(in: 0..<sides, using: &randomness) }

    private func chance(_ one: Int) -> Bool { roll(one) == 0 }

    private func statement() -> String {
        let (detector, otherDetector) = (1 + roll(6), 1 + roll(6))
        let (workflow, otherWorkflow) = (1 + roll(8), 1 + roll(8))
        let environment = ["NULL", "5", "6"][roll(3)]
        let (detectors, workflows) = ("workflow_engine_detector", "workflow_engine_workflow")
        let links = "workflow_engine_detectorworkflow"
        switch roll(100) {
        case 0..<8: return "INSERT INTO \(detectors) (id) VALUES (\(detector)) ON CONFLICT DO NOTHING"
        case 8..<10: return "INSERT INTO \(detectors) (id) SELECT generate_series(1, 6) ON CONFLICT DO NOTHING"
        case 10..<13: return "UPDATE \(detectors) SET enabled = NOT enabled WHERE id = \(detector)"
        case 13..<15: return "DELETE FROM \(detectors) WHERE id = \(detector)"
        case 15: return "UPDATE \(detectors) SET id = \(otherDetector) WHERE id = \(detector)"
        case 16..<26:
            return """
                INSERT INTO \(workflows) (id, environment_id) VALUES (\(workflow), \(environment))
                ON CONFLICT (id) DO UPDATE SET environment_id = excluded.environment_id, enabled = true
                """
        case 26..<29:
            return """
                INSERT INTO \(workflows) (id, environment_id) SELECT id, \(environment) FROM generate_series(1, 8) AS id
                ON CONFLICT DO NOTHING
                """
        case 29..<41: return "UPDATE \(workflows) SET environment_id = \(environment) WHERE id = \(workflow)"
        case 41..<43: return "UPDATE \(workflows) SET environment_id = \(environment) WHERE id % 3 = \(roll(3))"
        case 43..<45:
            return """
                MERGE INTO \(workflows) AS w USING (VALUES (\(workflow)), (\(workflow % 8 + 1))) AS v (id) ON w.id = v.id
                WHEN MATCHED AND w.environment_id = 5 THEN DELETE
                WHEN MATCHED THEN UPDATE SET environment_id = \(environment)
                WHEN NOT MATCHED THEN INSERT (id, environment_id) VALUES (v.id, \(environment))
                """
        case 45..<49: return "UPDATE \(workflows) SET enabled = NOT enabled WHERE id = \(workflow)"
        case 49..<51: return "UPDATE \(workflows) SET name = name || '.' WHERE id = \(workflow) AND length(name) < 200"
        case 51..<55: return "DELETE FROM \(workflows) WHERE id = \(workflow)"
        case 55..<57: return "UPDATE \(workflows) SET id = \(otherWorkflow) WHERE id = \(workflow)"
        case 57..<60:
            return """
                DELETE FROM \(links) WHERE workflow_id = \(workflow);
                DELETE FROM \(workflows) WHERE id = \(workflow)
                """
        case 60..<74:
            return """
                INSERT INTO \(links) (detector_id, workflow_id) VALUES (\(detector), \(workflow)) ON CONFLICT DO NOTHING
                """
        case 74..<78:
            return """
                INSERT INTO \(links) (detector_id, workflow_id)
                SELECT detector.id, workflow.id FROM \(detectors) AS detector, \(workflows) AS workflow
                WHERE detector.id = \(detector) OR workflow.id = \(workflow) ON CONFLICT DO NOTHING
                """
        case 78..<84:
            return "DELETE FROM \(links) WHERE detector_id = \(detector) AND workflow_id = \(workflow)"
        case 84..<86: return "DELETE FROM \(links) WHERE detector_id = \(detector)"
        case 86..<90:
            return
                "UPDATE \(links) SET workflow_id = \(otherWorkflow) WHERE detector_id = \(detector) AND workflow_id = \(workflow)"
        case 90..<94:
            return
                "UPDATE \(links) SET detector_id = \(otherDetector) WHERE detector_id = \(detector) AND workflow_id = \(workflow)"
        case 94..<96:
            return """
                WITH gone AS (DELETE FROM \(links) WHERE workflow_id = \(workflow) RETURNING workflow_id)
                UPDATE \(workflows) SET environment_id = \(environment) WHERE id IN (SELECT workflow_id FROM gone)
                """
        case 96: return chance(3) ? "TRUNCATE \(links)" : "UPDATE \(links) SET date_updated = now()"
        case 97: return chance(6) ? "TRUNCATE \(workflows) CASCADE" : "UPDATE \(workflows) SET status = status"
        case 98: return "SELECT freshet.invalidate_detector(\(detector), \(environment))"
        default: return "UPDATE \(workflows) SET enabled = true, environment_id = \(environment)"
        }
    }
}
