public import Freshet
public import Postgres

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// Loads detectors from Postgres over libpq, for ``DetectorsBySource``.
///
/// Its role needs SELECT on the three tables and membership in `freshet_reader`.
public struct PostgresDetectorLoader: Sendable {
    private let pool: PostgresPool
    private let statement: KeyedStatement

    /// A loader that takes its connections from a pool, which it does not close.
    public init(pool: PostgresPool, tables: DataSourceTables = DataSourceTables()) {
        self.pool = pool
        statement = KeyedStatement { Self.statement(tables, identity: $0) }
    }

    /// The detectors of each key, from one statement, hence from one snapshot.
    ///
    /// - Throws: `PostgresError`.
    public func load(_ keys: [DataSourceKey]) async throws -> LoadedValues<DataSourceKey, [Detector]> {
        let asked = Self.askable(keys)
        return try await statement.load(keys, asked: asked, Self.parameters(asked), over: pool) { result, row in
            try Detector(result, row: row)
        }
    }

    /// The same on a connection of the caller's.
    ///
    /// - Throws: `PostgresError`, also where Freshet is not installed.
    package static func load(
        _ keys: [DataSourceKey],
        from tables: DataSourceTables,
        on connection: PostgresConnection
    ) async throws -> LoadedValues<DataSourceKey, [Detector]> {
        let statement = KeyedStatement { Self.statement(tables, identity: $0) }
        let asked = askable(keys)
        return try await statement.load(keys, asked: asked, parameters(asked), on: connection) { result, row in
            try Detector(result, row: row)
        }
    }

    /// A text with a NUL is in no column of Postgres, and cannot be sent.
    private static func askable(_ keys: [DataSourceKey]) -> [DataSourceKey] {
        keys.filter { !$0.type.utf8.contains(0) && !$0.sourceID.utf8.contains(0) }
    }

    private static func parameters(_ keys: [DataSourceKey]) -> [PostgresParameter] {
        [.array(keys.map(\.type)), .array(keys.map(\.sourceID))]
    }

    fileprivate enum Column {
        static let id = 2
        static let name = 3
        static let type = 4
        static let enabled = 5
        static let status = 6
        static let config = 7
        static let description = 8
        static let ownerUserID = 9
        static let ownerTeamID = 10
        static let createdByID = 11
        static let workflowConditionGroupID = 12
        static let projectID = 13
        static let dateAdded = 14
        static let dateUpdated = 15
    }

    /// One row for each detector of each key, and at least one, so that the identity always comes.
    ///
    /// For the columns and the identity, see ``PostgresWorkflowLoader``. Neither (type, source_id) nor a link need be unique: a
    /// detector that several data sources of a key feed, or that one feeds twice, comes once.
    private static func statement(_ tables: DataSourceTables, identity: String) -> String {
        """
        WITH identity AS MATERIALIZED (SELECT \(identity) AS text)
        SELECT identity.text, found.*
        FROM identity
        LEFT JOIN (
            SELECT asked.ordinality, detector.id, detector.name, detector.type, detector.enabled, detector.status,
                detector.config::text, detector.description, detector.owner_user_id, detector.owner_team_id,
                detector.created_by_id, detector.workflow_condition_group_id, detector.project_id,
                (greatest(least(extract(epoch FROM detector.date_added), 9e12), -9e12) * 1000000)::bigint,
                (greatest(least(extract(epoch FROM detector.date_updated), 9e12), -9e12) * 1000000)::bigint
            FROM (
                SELECT DISTINCT key.ordinality, link.detector_id
                FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS key (type, source_id, ordinality)
                JOIN \(tables.dataSource) AS source ON source.source_id = key.source_id AND source.type = key.type
                JOIN \(tables.link) AS link ON link.data_source_id = source.id
            ) AS asked
            JOIN \(tables.detector) AS detector ON detector.id = asked.detector_id
        ) AS found ON true
        ORDER BY found.ordinality, found.id
        """
    }
}

/// The names of the application's tables, as they were given to `freshet.attach_datasources`.
public struct DataSourceTables: Hashable, Sendable {
    /// The table of data sources, as SQL text: schema-qualified, and quoted where it must be.
    public var dataSource = "workflow_engine_datasource"
    /// The table of links, likewise.
    public var link = "workflow_engine_datasourcedetector"
    /// The table of detectors, likewise.
    public var detector = "workflow_engine_detector"

    /// The default names.
    public init() {}

    /// Other names, as SQL text.
    public init(dataSource: String, link: String, detector: String) {
        self.dataSource = dataSource
        self.link = link
        self.detector = detector
    }
}

extension Detector {
    fileprivate init(_ result: borrowing QueryResult, row: Int) throws {
        typealias Column = PostgresDetectorLoader.Column
        self.init(
            id: try result.int64(row, Column.id) ?? 0,
            name: result.string(row, Column.name) ?? "",
            type: result.string(row, Column.type) ?? "",
            isEnabled: try result.bool(row, Column.enabled) ?? false,
            status: try Int16(truncatingIfNeeded: result.int64(row, Column.status) ?? 0),
            config: result.string(row, Column.config) ?? "null",
            description: result.string(row, Column.description),
            ownerUserID: try result.int64(row, Column.ownerUserID),
            ownerTeamID: try result.int64(row, Column.ownerTeamID),
            createdByID: try result.int64(row, Column.createdByID),
            workflowConditionGroupID: try result.int64(row, Column.workflowConditionGroupID),
            projectID: try result.int64(row, Column.projectID),
            dateAdded: Date(microsecondsSince1970: try result.int64(row, Column.dateAdded) ?? 0),
            dateUpdated: Date(microsecondsSince1970: try result.int64(row, Column.dateUpdated) ?? 0)
        )
    }
}
