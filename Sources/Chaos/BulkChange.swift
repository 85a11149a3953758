import Surroundings

/// What is changed at once of all owners, and of the arena as well where everything is.
struct BulkChange: Sendable {
    var statements: [String]
    /// Whether it changes anything of the arena.
    var concernsArena = false

    /// Puts everything there, whatever was there before: one bump of the namespace.
    static func fillAnew(version: String) -> BulkChange {
        let tables = "workflow_engine_detector, workflow_engine_workflow, workflow_engine_detectorworkflow"
        return BulkChange(
            statements: ["TRUNCATE \(tables)"] + ChaosData.fill(ChaosData.groups, version: version),
            concernsArena: true
        )
    }

    /// One of several, chosen at random: what bumps the namespace, or the arena, once in a while.
    ///
    /// - Parameter version: What a workflow is named by that is touched, so that no set comes back that held it.
    static func random(version: String, using randomness: inout SplitMix64) -> BulkChange {
        let workflows = "workflow_engine_workflow"
        let owners = "IN (\(ChaosData.owners.map { String($0) }.joined(separator: ", ")))"
        switch randomness.below(24) {
        case 0: return fillAnew(version: version)
        case 1:
            return BulkChange(
                statements: ["DELETE FROM \(workflows)", "DELETE FROM workflow_engine_detector"]
                    + ChaosData.fill(ChaosData.groups, version: version),
                concernsArena: true
            )
        case 2...5:
            return BulkChange(
                statements: [
                    "DELETE FROM \(workflows) WHERE id / 10 \(owners)",
                    "DELETE FROM workflow_engine_detector WHERE id / 10 \(owners)",
                ] + ChaosData.fill(ChaosData.owners, version: version)
            )
        case 6...11:
            return BulkChange(
                statements: [
                    """
                    UPDATE \(workflows) SET environment_id = 5 + (environment_id + 1) % 3
                    WHERE environment_id IS NOT NULL AND id / 10 \(owners)
                    """
                ]
            )
        case 12...14:
            return BulkChange(
                statements: ["UPDATE \(workflows) SET enabled = NOT enabled WHERE id % 3 = 0 AND id / 10 \(owners)"]
            )
        case 15...17:
            let detector = 1 + randomness.below(4)
            return BulkChange(
                statements: [
                    """
                    DELETE FROM workflow_engine_detectorworkflow
                    WHERE detector_id % 10 = \(detector) AND detector_id / 10 \(owners)
                    """
                ]
            )
        default:
            return BulkChange(statements: ["UPDATE \(workflows) SET name = '\(version)' WHERE id / 10 \(owners)"])
        }
    }
}
