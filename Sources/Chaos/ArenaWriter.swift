import History
import Postgres
import Surroundings

/// Changes anything of the arena, whatever another changes meanwhile, so that transactions meet that do not see each other.
///
/// It records nothing; ``ChaosData`` says why, and what its sets are held against.
struct ArenaWriter {
    var randomness: SplitMix64

    mutating func run(_ configuration: PostgresConfiguration, until termination: Termination) async throws {
        while !termination.isRequested {
            do {
                let connection = try await PostgresConnection.connect(configuration, logger: .client("writer"))
                do {
                    try await connection.run(script: ChaosData.session)
                    while !termination.isRequested {
                        try await write(connection)
                        try await Task.sleep(for: .milliseconds(5 + randomness.below(40)))
                    }
                } catch {
                    await connection.close()
                    throw error
                }
                await connection.close()
            } catch let error as PostgresError where error.isDefect {
                throw error
            } catch {
                try await Task.sleep(for: .milliseconds(30))
            }
        }
    }

    private mutating func write(_ connection: PostgresConnection) async throws {
        do {
            try await connection.run(script: "BEGIN; \(ChaosData.enterArena)")
            for _ in 0...randomness.below(3) { try await connection.run(script: statement()) }
            _ = try await connection.query(
                randomness.chance(oneIn: 8) ? "ROLLBACK" : "COMMIT",
                timeLimit: .seconds(120)
            )
        } catch let error as PostgresError where error.isRolledBack {
            try await connection.run(script: "ROLLBACK")
        }
    }

    private mutating func statement() -> String {
        let arena = ChaosData.arena
        let (detector, workflow) = (arena * 10 + 1 + randomness.below(4), arena * 10 + 1 + randomness.below(8))
        let environment = ["NULL", "5", "6", "7"][randomness.below(4)]
        // New each time, so that a set that has missed a change of a workflow is not right by chance.
        let version = String(randomness.next(), radix: 36)
        let (detectors, workflows) = ("workflow_engine_detector", "workflow_engine_workflow")
        let links = "workflow_engine_detectorworkflow"
        return switch randomness.below(40) {
        case 0...4: "UPDATE \(workflows) SET enabled = NOT enabled, name = '\(version)' WHERE id = \(workflow)"
        case 5...14:
            "UPDATE \(workflows) SET environment_id = \(environment), name = '\(version)' WHERE id = \(workflow)"
        case 15...19: "DELETE FROM \(links) WHERE detector_id = \(detector) AND workflow_id = \(workflow)"
        case 20...24: "DELETE FROM \(workflows) WHERE id = \(workflow)"
        case 25:
            // Seldom, because it invalidates all that something else should have invalidated.
            """
            UPDATE \(workflows) SET name = '\(version)', environment_id = \(environment)
            WHERE id / 10 = \(arena)
            """
        default:
            """
            INSERT INTO \(detectors) (id) VALUES (\(detector)) ON CONFLICT DO NOTHING;
            INSERT INTO \(workflows) (id, name, environment_id)
            VALUES (\(workflow), '\(version)', \(environment)) ON CONFLICT DO NOTHING;
            INSERT INTO \(links) (detector_id, workflow_id) VALUES (\(detector), \(workflow)) ON CONFLICT DO NOTHING
            """
        }
    }
}
