// Brings the schema `freshet` up to date, attaches the triggers, and removes both.
//
// Every step (one migration, the attachment, the removal) is a transaction of its own that first takes the advisory lock, then
// reads the ledger, then decides. So any number of migrators may run at once: one of them applies a step, the others find
// it applied. A migrator that dies leaves whole steps behind and nothing else.
//
// Nothing here queues for a lock that an application needs: whoever waits for a table makes everybody wait who comes later.
// A step that meets a lock fails within half a second, is rolled back, and is tried again after a pause in which it holds nothing.
// The advisory lock is ours alone and is waited for.

public import Logging
public import Postgres

/// Applies the migrations of this program to a database.
public struct Migrator: Sendable {
    /// How long steps that meet the locks of others are tried again.
    public static let defaultRetryLimit: Duration = .seconds(60)

    /// Most a migration may take, once it has its locks.
    private static let stepTimeLimit: Duration = .seconds(600)

    private let configuration: PostgresConfiguration
    private let retryLimit: Duration
    private let logger: Logger

    /// A migrator for the database that the configuration names.
    public init(
        configuration: PostgresConfiguration,
        retryLimit: Duration = defaultRetryLimit,
        logger: Logger
    ) {
        var configuration = configuration
        configuration.requiresReadWrite = true
        self.configuration = configuration
        self.retryLimit = retryLimit
        self.logger = logger
    }

    /// What is left to do.
    ///
    /// Changes nothing.
    ///
    /// - Throws: ``MigrationError`` if the ledger does not fit the files; `PostgresError`.
    public func plan() async throws -> MigrationPlan {
        try await withConnection { connection in
            try await plan(on: connection, checksums: try await checksums(on: connection))
        }
    }

    /// The SQL that ``migrate(tables:)`` would run now, for psql.
    ///
    /// Changes nothing.
    ///
    /// - Throws: ``MigrationError`` if the ledger does not fit the files; `PostgresError`.
    public func script(tables: AttachedTables?, dataSources: AttachedDataSources? = nil) async throws -> String {
        MigrationScript.forPsql(try await plan(), tables: tables, dataSources: dataSources)
    }

    /// The SQL that ``uninstall()`` runs, for psql.
    public static var uninstallScript: String {
        MigrationScript.uninstallForPsql(MigrationCatalog.uninstall)
    }

    /// Applies what is missing, then attaches the tables, if any are given.
    ///
    /// A second call changes nothing.
    ///
    /// - Throws: ``MigrationError``; `PostgresError` for what the server refuses.
    public func migrate(
        tables: AttachedTables?,
        dataSources: AttachedDataSources? = nil
    ) async throws -> MigrationReport {
        try await withConnection { connection in
            let files = try await checksums(on: connection)
            var report = MigrationReport()
            while let name = try await applyNext(of: files, on: connection) {
                logger.info("migration applied", metadata: ["migration": "\(name)"])
                report.applied.append(name)
            }
            if let tables {
                report.attached = try await attach(tables, on: connection)
                if report.attached {
                    logger.info(
                        "triggers attached",
                        metadata: [
                            "detector": "\(tables.detector)", "workflow": "\(tables.workflow)",
                            "link": "\(tables.link)",
                        ]
                    )
                }
            }
            if let dataSources {
                report.attachedDataSources = try await attach(dataSources, on: connection)
                if report.attachedDataSources {
                    logger.info(
                        "triggers attached",
                        metadata: [
                            "datasource": "\(dataSources.dataSource)", "link": "\(dataSources.link)",
                            "detector": "\(dataSources.detector)",
                        ]
                    )
                }
            }
            return report
        }
    }

    /// Detaches the tables and removes everything that the migrations made.
    ///
    /// Nothing happens where nothing is installed.
    ///
    /// - Throws: ``MigrationError/Code/locked``; `PostgresError` for what the server refuses.
    public func uninstall() async throws {
        try await withConnection { connection in
            try await step("removing the triggers and the schema", on: connection) {
                try await connection.run(script: MigrationCatalog.uninstall, timeLimit: Self.stepTimeLimit)
            }
        }
    }

    // MARK: Steps

    /// Applies the first migration that is missing; nil where none is.
    private func applyNext(of files: [MigrationPlan.Step], on connection: PostgresConnection) async throws -> String? {
        // Without the lock first: where there is nothing to do, nobody is made to wait.
        guard let expected = try await plan(on: connection, checksums: files).pending.first else { return nil }
        return try await step("applying \(expected.migration.name)", on: connection) {
            guard let next = try await plan(on: connection, checksums: files).pending.first else { return nil }
            try await connection.run(script: next.migration.text, timeLimit: Self.stepTimeLimit)
            try await connection.run(script: MigrationScript.record(next))
            return next.migration.name
        }
    }

    private func attach(_ tables: AttachedTables, on connection: PostgresConnection) async throws -> Bool {
        try await attach(
            MigrationScript.attach(tables, tries: MigrationScript.triesInTransaction),
            [
                ("--detector-table", tables.detector), ("--workflow-table", tables.workflow),
                ("--link-table", tables.link),
            ],
            on: connection
        )
    }

    private func attach(_ tables: AttachedDataSources, on connection: PostgresConnection) async throws -> Bool {
        try await attach(
            MigrationScript.attach(tables, tries: MigrationScript.triesInTransaction),
            [
                ("--datasource-table", tables.dataSource), ("--datasource-link-table", tables.link),
                ("--detector-table", tables.detector),
            ],
            on: connection
        )
    }

    private func attach(
        _ statement: String,
        _ names: [(flag: String, name: String)],
        on connection: PostgresConnection
    ) async throws -> Bool {
        for (flag, name) in names {
            let found = try await connection.query("SELECT to_regclass($1) IS NOT NULL", [PostgresParameter(name)])
            guard try found.requiredBool(0, 0) else {
                throw MigrationError(
                    .missingTable,
                    "table \(name) does not exist in this database: name yours with \(flag), or attach later (--no-attach)"
                )
            }
        }
        return try await step("attaching the triggers", on: connection) {
            let result = try await connection.query(statement, timeLimit: Self.stepTimeLimit)
            return try result.requiredBool(0, 0)
        }
    }

    /// Runs `body` in a transaction that holds the advisory lock, again and again while the locks of others are in its way.
    private func step<Result: Sendable>(
        _ what: String,
        on connection: PostgresConnection,
        _ body: () async throws -> Result
    ) async throws -> Result {
        let deadline = ContinuousClock.now + retryLimit
        var pause: Duration = .milliseconds(50)
        while true {
            do {
                return try await transaction(on: connection, body)
            } catch let error as PostgresError where Self.meansLocked(error) {
                guard ContinuousClock.now < deadline else {
                    throw MigrationError(
                        .locked,
                        "\(what) met the locks of others for \(retryLimit) and was given up (\(error.message)): "
                            + "try again when their transactions have ended",
                        underlying: error
                    )
                }
                logger.debug("locked by others, trying again", metadata: ["step": "\(what)", "error": "\(error)"])
                try await Task.sleep(for: pause * Double.random(in: 0.5...1))
                pause = min(pause * 2, .seconds(1))
            }
        }
    }

    private static func meansLocked(_ error: PostgresError) -> Bool {
        error.sqlState == .lockNotAvailable || error.sqlState == .deadlockDetected
    }

    private func transaction<Result: Sendable>(
        on connection: PostgresConnection,
        _ body: () async throws -> Result
    ) async throws -> Result {
        do {
            try await connection.run(script: MigrationScript.begin, timeLimit: Self.stepTimeLimit)
            let result = try await body()
            try await connection.run(script: MigrationScript.commit)
            return result
        } catch {
            do {
                try await connection.run(script: "ROLLBACK")
            } catch let rollback {
                // The connection is lost or the task cancelled; the server rolls back when it is closed.
                logger.debug("no rollback", metadata: ["error": "\(rollback)"])
            }
            throw error
        }
    }

    // MARK: The ledger

    /// All files with their checksums, which Postgres computes.
    private func checksums(on connection: PostgresConnection) async throws -> [MigrationPlan.Step] {
        let files = MigrationCatalog.migrations
        let result = try await connection.query(
            """
            SELECT pg_catalog.encode(pg_catalog.sha256(f.bytes), 'hex')
            FROM pg_catalog.unnest($1::bytea[]) WITH ORDINALITY AS f (bytes, place)
            ORDER BY f.place
            """,
            [.array(files.map { MigrationScript.bytea($0.bytes) })]
        )
        var steps: [MigrationPlan.Step] = []
        for (row, file) in files.enumerated() {
            steps.append(MigrationPlan.Step(file, checksum: try result.requiredString(row, 0)))
        }
        return steps
    }

    private func plan(on connection: PostgresConnection, checksums: [MigrationPlan.Step]) async throws -> MigrationPlan
    {
        // Not by to_regclass(): it may answer from this session's cache that there is no such table, also after the wait for
        // the lock in which another migrator made it. Reading a table brings the cache up to date.
        let exists = try await connection.query(
            """
            SELECT EXISTS (
                SELECT FROM pg_catalog.pg_class AS c
                JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
                WHERE n.nspname = 'freshet' AND c.relname = 'migration'
            )
            """
        )
        guard try exists.requiredBool(0, 0) else { return try MigrationPlan(files: checksums, ledger: []) }
        let rows = try await connection.query("SELECT name, checksum FROM freshet.migration ORDER BY name")
        var ledger: [MigrationPlan.LedgerEntry] = []
        for row in rows.rows {
            ledger.append(
                MigrationPlan.LedgerEntry(
                    name: try rows.requiredString(row, 0),
                    checksum: try rows.requiredString(row, 1)
                )
            )
        }
        return try MigrationPlan(files: checksums, ledger: ledger)
    }

    private func withConnection<Result: Sendable>(
        _ body: (PostgresConnection) async throws -> Result
    ) async throws -> Result {
        let connection = try await PostgresConnection.connect(configuration, logger: logger)
        do {
            let result = try await body(connection)
            await connection.close()
            return result
        } catch {
            await connection.close()
            throw error
        }
    }
}
