public import Freshet
public import Postgres

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// Loads workflows from Postgres over libpq, for ``WorkflowLookup``.
///
/// Its role needs SELECT on the two tables and membership in `freshet_reader`.
public struct PostgresWorkflowLoader: Sendable {
    private let pool: PostgresPool
    private let statement: KeyedStatement

    /// A loader that takes its connections from a pool, which it does not close.
    public init(pool: PostgresPool, tables: WorkflowTables = WorkflowTables()) {
        self.pool = pool
        statement = KeyedStatement { Self.statement(tables, identity: $0) }
    }

    /// The enabled workflows of each key, from one statement, hence from one snapshot.
    ///
    /// - Throws: `PostgresError`.
    public func load(
        _ keys: [DetectorWorkflowsKey]
    ) async throws -> LoadedValues<DetectorWorkflowsKey, [Workflow]> {
        try await statement.load(keys, asked: keys, Self.parameters(keys), over: pool) { result, row in
            try Workflow(result, row: row)
        }
    }

    /// The same on a connection of the caller's.
    ///
    /// - Throws: `PostgresError`, also where Freshet is not installed.
    package static func load(
        _ keys: [DetectorWorkflowsKey],
        from tables: WorkflowTables,
        on connection: PostgresConnection
    ) async throws -> LoadedValues<DetectorWorkflowsKey, [Workflow]> {
        let statement = KeyedStatement { Self.statement(tables, identity: $0) }
        return try await statement.load(keys, asked: keys, parameters(keys), on: connection) { result, row in
            try Workflow(result, row: row)
        }
    }

    private static func parameters(_ keys: [DetectorWorkflowsKey]) -> [PostgresParameter] {
        [.array(keys.map(\.detectorID)), .array(keys.map(\.environment.id))]
    }

    fileprivate enum Column {
        static let id = 2
        static let name = 3
        static let enabled = 4
        static let status = 5
        static let config = 6
        static let organizationID = 7
        static let environmentID = 8
        static let whenConditionGroupID = 9
        static let ownerUserID = 10
        static let ownerTeamID = 11
        static let createdByID = 12
        static let dateAdded = 13
        static let dateUpdated = 14
    }

    /// One row for each workflow of each key, and at least one, so that the identity always comes.
    ///
    /// Columns are named, so that a column more does not disturb; moments come as microseconds since 1970, so that no setting
    /// of the session changes how they are written; infinity and what 64 bits do not hold become 9e12 seconds. The identity is
    /// asked for once, not for every row.
    private static func statement(_ tables: WorkflowTables, identity: String) -> String {
        """
        WITH identity AS MATERIALIZED (SELECT \(identity) AS text)
        SELECT identity.text, found.*
        FROM identity
        LEFT JOIN (
            SELECT asked.ordinality, workflow.id, workflow.name, workflow.enabled, workflow.status, workflow.config::text,
                workflow.organization_id, workflow.environment_id, workflow.when_condition_group_id,
                workflow.owner_user_id, workflow.owner_team_id, workflow.created_by_id,
                (greatest(least(extract(epoch FROM workflow.date_added), 9e12), -9e12) * 1000000)::bigint,
                (greatest(least(extract(epoch FROM workflow.date_updated), 9e12), -9e12) * 1000000)::bigint
            FROM unnest($1::bigint[], $2::bigint[]) WITH ORDINALITY AS asked(detector_id, environment_id, ordinality)
            JOIN \(tables.link) AS link ON link.detector_id = asked.detector_id
            JOIN \(tables.workflow) AS workflow ON workflow.id = link.workflow_id
                AND workflow.environment_id IS NOT DISTINCT FROM asked.environment_id
            WHERE workflow.enabled
        ) AS found ON true
        ORDER BY found.ordinality, found.id
        """
    }
}

extension Workflow {
    fileprivate init(_ result: borrowing QueryResult, row: Int) throws {
        typealias Column = PostgresWorkflowLoader.Column
        self.init(
            id: try result.int64(row, Column.id) ?? 0,
            name: result.string(row, Column.name) ?? "",
            isEnabled: try result.bool(row, Column.enabled) ?? false,
            status: try Int16(truncatingIfNeeded: result.int64(row, Column.status) ?? 0),
            config: result.string(row, Column.config) ?? "null",
            organizationID: try result.int64(row, Column.organizationID) ?? 0,
            environmentID: try result.int64(row, Column.environmentID),
            whenConditionGroupID: try result.int64(row, Column.whenConditionGroupID),
            ownerUserID: try result.int64(row, Column.ownerUserID),
            ownerTeamID: try result.int64(row, Column.ownerTeamID),
            createdByID: try result.int64(row, Column.createdByID),
            dateAdded: Date(microsecondsSince1970: try result.int64(row, Column.dateAdded) ?? 0),
            dateUpdated: Date(microsecondsSince1970: try result.int64(row, Column.dateUpdated) ?? 0)
        )
    }
}
