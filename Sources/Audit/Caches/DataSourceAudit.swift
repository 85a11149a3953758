import Freshet
import FreshetPostgres
import Keyspace
import Postgres

/// The cache `datasources` as it is audited.
struct DataSourceAudit: AuditedCache {
    let name = "datasources"

    func key(of entry: EntryName) -> DataSourceKey? {
        guard entry.variant == .global, let texts = entry.entity.texts, texts.count == 2 else { return nil }
        return DataSourceKey(type: texts[0], sourceID: texts[1])
    }

    func rows(in payload: ArraySlice<UInt8>) throws -> [AuditedRow] {
        try DetectorCodec.decode(payload).map(AuditedRow.init)
    }

    func load(
        _ keys: [DataSourceKey],
        from tables: [String: String],
        on connection: PostgresConnection
    ) async throws -> LoadedValues<DataSourceKey, [AuditedRow]> {
        var names = DataSourceTables()
        names.dataSource = tables["datasource"] ?? names.dataSource
        names.link = tables["datasource_link"] ?? names.link
        names.detector = tables["datasource_detector"] ?? names.detector
        return try await PostgresDetectorLoader.load(keys, from: names, on: connection).mapValues {
            $0.map(AuditedRow.init)
        }
    }

    func invalidation(of key: DataSourceKey) -> (sql: String, parameters: [PostgresParameter]) {
        (
            "SELECT freshet.invalidate_datasource($1, $2)",
            [PostgresParameter(key.type), PostgresParameter(key.sourceID)]
        )
    }
}

extension AuditedRow {
    fileprivate init(_ detector: Detector) {
        self.init(
            id: detector.id,
            columns: [
                Column("name", .text(detector.name)),
                Column("type", .text(detector.type)),
                Column("enabled", .bool(detector.isEnabled)),
                Column("status", .integer(Int64(detector.status))),
                Column("config", .text(detector.config)),
                Column("description", .text(detector.description)),
                Column("owner_user_id", .integer(detector.ownerUserID)),
                Column("owner_team_id", .integer(detector.ownerTeamID)),
                Column("created_by_id", .integer(detector.createdByID)),
                Column("workflow_condition_group_id", .integer(detector.workflowConditionGroupID)),
                Column("project_id", .integer(detector.projectID)),
                Column("date_added", .moment(detector.dateAdded.microsecondsSince1970)),
                Column("date_updated", .moment(detector.dateUpdated.microsecondsSince1970)),
            ]
        )
    }
}
