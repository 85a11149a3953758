import Freshet
import FreshetPostgres
import Keyspace
import Postgres

/// The cache `workflows` as it is audited.
struct WorkflowAudit: AuditedCache {
    let name = "workflows"

    func key(of entry: EntryName) -> DetectorWorkflowsKey? {
        // Only the canonical spelling: a reader asks for no other.
        guard let id = Int64(entry.entity.text), Entity(id) == entry.entity else { return nil }
        if entry.variant == .global { return DetectorWorkflowsKey(detectorID: id, environment: .global) }
        guard let environment = Int64(entry.variant.text), Variant(environment) == entry.variant else { return nil }
        return DetectorWorkflowsKey(detectorID: id, environment: .environment(environment))
    }

    func rows(in payload: ArraySlice<UInt8>) throws -> [AuditedRow] {
        try WorkflowCodec.decode(payload).map(AuditedRow.init)
    }

    func load(
        _ keys: [DetectorWorkflowsKey],
        from tables: [String: String],
        on connection: PostgresConnection
    ) async throws -> LoadedValues<DetectorWorkflowsKey, [AuditedRow]> {
        var names = WorkflowTables()
        names.workflow = tables["workflow"] ?? names.workflow
        names.link = tables["link"] ?? names.link
        return try await PostgresWorkflowLoader.load(keys, from: names, on: connection).mapValues {
            $0.map(AuditedRow.init)
        }
    }

    func invalidation(of key: DetectorWorkflowsKey) -> (sql: String, parameters: [PostgresParameter]) {
        (
            "SELECT freshet.invalidate_detector($1::bigint, $2::bigint)",
            [PostgresParameter(key.detectorID), PostgresParameter(key.environment.id)]
        )
    }
}

extension AuditedRow {
    fileprivate init(_ workflow: Workflow) {
        self.init(
            id: workflow.id,
            columns: [
                Column("name", .text(workflow.name)),
                Column("enabled", .bool(workflow.isEnabled)),
                Column("status", .integer(Int64(workflow.status))),
                Column("config", .text(workflow.config)),
                Column("organization_id", .integer(workflow.organizationID)),
                Column("environment_id", .integer(workflow.environmentID)),
                Column("when_condition_group_id", .integer(workflow.whenConditionGroupID)),
                Column("owner_user_id", .integer(workflow.ownerUserID)),
                Column("owner_team_id", .integer(workflow.ownerTeamID)),
                Column("created_by_id", .integer(workflow.createdByID)),
                Column("date_added", .moment(workflow.dateAdded.microsecondsSince1970)),
                Column("date_updated", .moment(workflow.dateUpdated.microsecondsSince1970)),
            ]
        )
    }
}
