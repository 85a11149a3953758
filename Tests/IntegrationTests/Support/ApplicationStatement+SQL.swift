import Simulation

extension ApplicationStatement {
    /// The statement as an application would write it.
    var sql: String {
        let (workflows, links) = ("workflow_engine_workflow", "workflow_engine_detectorworkflow")
        func text(_ environment: Int64?) -> String { environment.map(String.init) ?? "NULL" }
        switch self {
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
