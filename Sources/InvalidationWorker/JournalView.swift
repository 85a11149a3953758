// What the journal holds, read without taking anything. An auditor asks for it when an entry differs from the database.
//
// Everything is read in one snapshot: which rows have not been applied yet, and, by the rules of the cache and with facts of
// the same snapshot, what a pass that claimed just these would bump. So whatever the snapshot shows of a change is either
// among these scopes, or was bumped before the snapshot was taken: the row of an applied change is gone only once the
// transaction that deleted it has committed, and it bumps before it commits.

package import Keyspace
package import Postgres

/// The journal of one cache in one snapshot of Postgres.
package struct JournalView: Sendable {
    /// One row of the journal.
    package struct Change: Hashable, Sendable {
        /// The row's id.
        package var id: Int64
        /// The transaction.
        package var transaction: String
        /// When the trigger ran, in microseconds since 1970 by the clock of Postgres.
        package var changedAtMicroseconds: Int64
        /// The table, by the part it plays in the cache; or something a person asked for.
        package var subject: String
        /// `insert`, `update`, `delete`, `truncate`, `invalidate`, `drift`, `ddl`, `escalation`, `attach` or `detach`.
        package var operation: String
        /// How many rows the statement touched.
        package var rowCount: Int64
        /// The writer's `application_name`.
        package var applicationName: String?
        /// The writer's role.
        package var userName: String?
        /// What the row records, as `column={…}`; of long arrays the beginning.
        package var keys: String
    }

    /// What `freshet.identity()` says in this snapshot.
    package var postgres: String
    /// The snapshot.
    package var snapshot: TransactionSnapshot
    /// How many rows concern the cache and have not been applied.
    package var count: Int64
    /// The newest of them, ``changesShown`` at the most.
    package var changes: [Change]
    /// What a pass that applied all of them would bump.
    package var scopes: ScopeSet

    /// How many changes are told.
    package static let changesShown = 20

    /// More rows, or more keys than ten times as many, count as a change of everything.
    private static let resolvedRows: Int64 = 5_000

    /// The attached tables: by cache, by the part that each plays in it, its name as SQL text.
    ///
    /// - Throws: `PostgresError`.
    package static func attachedTables(on connection: PostgresConnection) async throws -> [String: [String: String]] {
        try await attachedNames(on: connection).mapValues { names in names.tables.mapValues(\.name) }
    }

    /// Reads the journal of a cache.
    ///
    /// - Throws: `PostgresError`; ``WorkerError`` where the worker knows no such cache.
    package static func read(cache: String, on connection: PostgresConnection) async throws -> JournalView {
        guard let rules = Caches.all.first(where: { $0.name == cache }) else {
            throw WorkerError.unexpectedClaimRow(cache)
        }
        try await connection.run(script: "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        do {
            var (view, rows) = try await read(rules, on: connection)
            if view.count > Int64(rows.count) {
                view.scopes = ScopeSet([.namespace])
            } else if !rows.isEmpty {
                view.scopes = try await scopes(of: rows, rules, on: connection)
            }
            try await connection.run(script: "ROLLBACK")
            return view
        } catch {
            // The session may be gone; why it failed is told by the first error.
            try? await connection.run(script: "ROLLBACK")
            throw error
        }
    }

    private static func read(
        _ rules: any CacheRules,
        on connection: PostgresConnection
    ) async throws -> (JournalView, [JournalRow]) {
        let cache = PostgresParameter(rules.name)
        let state = try await connection.query(
            """
            SELECT freshet.identity(), pg_current_snapshot()::text, count(*),
                count(*) > \(resolvedRows) OR coalesce(sum(row_count), 0) > 10 * \(resolvedRows)
            FROM freshet.change WHERE coalesce(cache, $1) = $1
            """,
            [cache]
        )
        let text = try state.requiredString(0, 1)
        guard let snapshot = TransactionSnapshot(text) else { throw WorkerError.unexpectedClaimRow(text) }
        var view = JournalView(
            postgres: try state.requiredString(0, 0),
            snapshot: snapshot,
            count: try state.requiredInt64(0, 2),
            changes: [],
            scopes: ScopeSet()
        )
        let isCollapsed = try state.requiredBool(0, 3)
        // In the layout of the claim, and behind it what only people want to know.
        let columns = rules.journalColumns.map { "\($0.name)::text" }
        let found = try await connection.query(
            """
            SELECT 'change', cache, subject, operation, application_name, user_name, row_count,
                \(Journal.microseconds("changed_at")), NULL, NULL, \(columns.joined(separator: ", ")),
                id, xid::text
            FROM freshet.change WHERE coalesce(cache, $1) = $1
            ORDER BY id DESC LIMIT \(isCollapsed ? Int64(changesShown) : resolvedRows)
            """,
            [cache]
        )
        var rows: [JournalRow] = []
        for row in found.rows {
            let change = try JournalRow(found, row: row, columns: rules.journalColumns)
            rows.append(change)
            guard row < changesShown else { continue }
            let behind = 10 + columns.count
            view.changes.append(
                Change(
                    id: try found.requiredInt64(row, behind),
                    transaction: try found.requiredString(row, behind + 1),
                    changedAtMicroseconds: change.changedAtMicroseconds,
                    subject: change.subject,
                    operation: change.operation,
                    rowCount: change.rowCount,
                    applicationName: change.applicationName,
                    userName: change.userName,
                    keys: change.keysText(rules.journalColumns)
                )
            )
        }
        return (view, isCollapsed ? [] : rows)
    }

    /// What the rows invalidate, with facts of the transaction's snapshot.
    private static func scopes(
        of rows: [JournalRow],
        _ rules: any CacheRules,
        on connection: PostgresConnection
    ) async throws -> ScopeSet {
        let names = try await attachedNames(on: connection)[rules.name]
        guard let names, let queries = rules.factQueries(names, ClaimedKeys(cache: rules.name)) else {
            return rules.scopes(of: rows, facts: nil)
        }
        var facts: [FactRow] = []
        do {
            for query in queries {
                let found = try await connection.query(
                    """
                    WITH seen AS MATERIALIZED (SELECT * FROM freshet.change),
                        depth (cache, collapsed) AS (VALUES ('\(rules.name)', false))
                    SELECT number1, number2, text1, text2
                    FROM (\(query.sql)) AS fact (number1, number2, text1, text2)
                    LIMIT \(10 * resolvedRows + 1)
                    """
                )
                guard found.rowCount <= 10 * resolvedRows else { return ScopeSet([.namespace]) }
                for row in found.rows {
                    facts.append(
                        FactRow(
                            kind: query.kind,
                            number1: try found.int64(row, 0),
                            number2: try found.int64(row, 1),
                            text1: found.string(row, 2),
                            text2: found.string(row, 3)
                        )
                    )
                }
            }
        } catch let error as PostgresError where error.isAboutTables {
            // The worker resolves without them, too.
            return rules.scopes(of: rows, facts: nil)
        }
        return rules.scopes(of: rows, facts: facts)
    }

    private static func attachedNames(on connection: PostgresConnection) async throws -> [String: AttachedNames] {
        try AttachedNames.byCache(try await connection.query(Journal.attachedNames))
    }
}

extension JournalRow {
    /// The columns that hold something, each with its first elements.
    fileprivate func keysText(_ columns: [JournalColumn]) -> String {
        func text(_ elements: [String]) -> String {
            let shown = elements.prefix(10).joined(separator: ",")
            return elements.count > 10 ? "{\(shown),… \(elements.count) in all}" : "{\(shown)}"
        }
        return columns.compactMap { column in
            switch column.kind {
            case .integers:
                integers[column.name].map { "\(column.name)=\(text($0.map { $0.map(String.init) ?? "NULL" }))" }
            case .texts:
                texts[column.name].map { "\(column.name)=\(text($0.map { $0 ?? "NULL" }))" }
            }
        }.joined(separator: " ")
    }
}
