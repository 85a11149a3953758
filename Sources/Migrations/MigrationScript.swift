internal import Postgres

/// The SQL around the migrations: what the migrator sends, and what `--dry-run` prints for psql.
///
/// Both are made here, so that they cannot drift apart.
enum MigrationScript {
    /// The advisory lock under which the ledger is read and written, which sql/install.sql, attach and detach take too.
    static let advisoryLock = "28836227677971828"

    /// How long a statement of ours may wait in the queue for a table.
    ///
    /// Everybody who comes later waits behind it, so it is
    /// short, and a failed try is repeated from the start.
    static let lockTimeout = "200ms"

    /// Tries in a script that nobody repeats: half a minute.
    private static let triesInPsql = 3_000

    /// Tries in one of the migrator's own: half a second, after which it ends the transaction, so that it is not open for
    /// long, and begins again.
    static let triesInTransaction = 50

    /// How long another migrator may take before we give up waiting for it.
    static let migratorTimeout = "60s"

    /// Opens the transaction in which the ledger is safe to read.
    ///
    /// The role's own statement_timeout is meant for the application. The isolation level is said, because a default of
    /// REPEATABLE READ would show the ledger as it was before the wait for the lock.
    static let begin = """
        BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE;
        SET LOCAL statement_timeout = 0;
        SET LOCAL lock_timeout = '\(migratorTimeout)';
        SELECT pg_catalog.pg_advisory_xact_lock(\(advisoryLock));
        SET LOCAL lock_timeout = '\(lockTimeout)';
        """

    static let commit = "COMMIT;"

    /// The row of the ledger.
    ///
    /// Migrations leave the transaction in the role of the schema's owner, who may write it.
    static func record(_ step: MigrationPlan.Step) -> String {
        """
        INSERT INTO freshet.migration (name, checksum)
        VALUES (\(SQLText.literal(step.migration.name)), \(SQLText.literal(step.checksum)));
        """
    }

    /// Attaches the triggers; true where that changed something.
    ///
    /// - Parameter tries: how often the function tries for its locks, about a hundred times a second, before it fails.
    static func attach(_ tables: AttachedTables, tries: Int) -> String {
        """
        SELECT freshet.attach(
            detector => \(SQLText.literal(tables.detector)),
            workflow => \(SQLText.literal(tables.workflow)),
            link => \(SQLText.literal(tables.link)),
            detector_id => \(SQLText.literal(tables.detectorID)),
            workflow_id => \(SQLText.literal(tables.workflowID)),
            workflow_environment => \(SQLText.literal(tables.workflowEnvironment)),
            link_detector => \(SQLText.literal(tables.linkDetector)),
            link_workflow => \(SQLText.literal(tables.linkWorkflow)),
            level => \(SQLText.literal(tables.level.rawValue)),
            lock_tries => \(tries)
        );
        """
    }

    /// The same for the cache of detectors by data source.
    static func attach(_ tables: AttachedDataSources, tries: Int) -> String {
        """
        SELECT freshet.attach_datasources(
            datasource => \(SQLText.literal(tables.dataSource)),
            link => \(SQLText.literal(tables.link)),
            detector => \(SQLText.literal(tables.detector)),
            level => \(SQLText.literal(tables.level.rawValue)),
            lock_tries => \(tries)
        );
        """
    }

    /// Bytes as Postgres reads them.
    static func bytea(_ bytes: [UInt8]) -> String {
        let digits = Array("0123456789abcdef".utf8)
        var text = Array("\\x".utf8)
        for byte in bytes {
            text.append(digits[Int(byte >> 4)])
            text.append(digits[Int(byte & 15)])
        }
        return String(decoding: text, as: UTF8.self)
    }

    /// Everything that is to be done, for psql.
    static func forPsql(
        _ plan: MigrationPlan,
        tables: AttachedTables?,
        dataSources: AttachedDataSources? = nil
    ) -> String {
        var parts: [String] = []
        for step in plan.pending {
            parts.append("-- \(step.migration.name)")
            parts += [begin, step.migration.text, record(step), commit, ""]
        }
        if let tables {
            parts += ["-- the triggers", begin, attach(tables, tries: triesInPsql), commit, ""]
        }
        if let dataSources {
            parts += ["-- the triggers of datasources", begin, attach(dataSources, tries: triesInPsql), commit, ""]
        }
        if parts.isEmpty { return "-- nothing to do\n" }
        return forPsql(parts)
    }

    /// The removal of everything, for psql.
    static func uninstallForPsql(_ text: String) -> String {
        forPsql(["-- everything of freshet", begin, text, commit, ""])
    }

    private static func forPsql(_ parts: [String]) -> String {
        (["\\set ON_ERROR_STOP on", ""] + parts).joined(separator: "\n")
    }
}
