import Keyspace
import LocalServices
import Logging
import Postgres

/// The servers of the readers' benchmark: a durable Postgres with the rows of the installation and our triggers, and the worker.
///
/// Postgres itself counts the statements that reach it, by role.
struct ReadersStage: Sendable {
    private static let database = "readers"

    /// Who connects to Postgres.
    enum Role: String {
        case reader = "app_reader", worker = "app_worker", writer = "app_writer"
    }

    private let postgres: LocalPostgres
    private let worker: LocalProgram
    let redisPath: String

    static func set(redisPath: String) async throws -> ReadersStage {
        let postgres = try await LocalPostgres.start(settings: [
            "fsync": "on", "full_page_writes": "on", "shared_buffers": "128MB", "max_wal_size": "1GB",
            "shared_preload_libraries": "pg_stat_statements", "pg_stat_statements.track_utility": "off",
        ])
        do {
            let redis = "unix://\(redisPath)"
            try await postgres.createDatabase(database)
            try await postgres.psql(
                "CREATE EXTENSION pg_stat_statements; \(ApplicationTables.statements(cascading: false)) \(Installation.statements)",
                database: database
            )
            try await FreshetProgram.migrate(
                conninfo: postgres.connectionString(database: database),
                redis: redis
            )
            try await postgres.psql(
                """
                CREATE ROLE \(Role.worker.rawValue) LOGIN IN ROLE freshet_worker;
                CREATE ROLE \(Role.reader.rawValue) LOGIN IN ROLE freshet_reader;
                CREATE ROLE \(Role.writer.rawValue) LOGIN;
                GRANT SELECT ON workflow_engine_workflow, workflow_engine_detectorworkflow
                    TO \(Role.reader.rawValue), \(Role.writer.rawValue);
                GRANT UPDATE ON workflow_engine_workflow TO \(Role.writer.rawValue);
                """,
                database: database
            )
            let worker = try await FreshetProgram.worker(
                conninfo: postgres.connectionString(database: database, user: Role.worker.rawValue),
                redis: redis
            )
            return ReadersStage(postgres: postgres, worker: worker, redisPath: redisPath)
        } catch {
            await postgres.destroy()
            throw error
        }
    }

    func end() async {
        await worker.destroy()
        await postgres.destroy()
    }

    func configuration(of role: Role) -> PostgresConfiguration {
        PostgresConfiguration(connectionString: postgres.connectionString(database: Self.database, user: role.rawValue))
    }

    // MARK: Counting

    /// How many statements Postgres was sent.
    struct StatementCount {
        /// By readers, to load what they look up.
        var ofReaders: Int
        /// By the worker, to keep Freshet's cache right.
        var ofWorker: Int
        /// By writers who look for what to delete after a change; the changes themselves are not counted.
        var ofWriters: Int
    }

    /// Forgets all statements up to now.
    func countStatementsAnew() async throws {
        try await postgres.psql("SELECT pg_stat_statements_reset()", database: Self.database)
    }

    func statementCount() async throws -> StatementCount {
        let text = try await postgres.psql(
            """
            SELECT coalesce(sum(calls) FILTER (WHERE rolname = '\(Role.reader.rawValue)'), 0),
                coalesce(sum(calls) FILTER (WHERE rolname = '\(Role.worker.rawValue)'), 0),
                coalesce(sum(calls) FILTER (WHERE rolname = '\(Role.writer.rawValue)' AND query LIKE 'SELECT%'), 0)
            FROM pg_stat_statements JOIN pg_roles ON pg_roles.oid = userid
            """,
            database: Self.database
        )
        let counts = text.split(whereSeparator: { $0 == "|" || $0.isNewline }).compactMap { Int($0) }
        guard counts.count == 3 else { throw NotWarm(description: "Postgres counted \(text)") }
        return StatementCount(ofReaders: counts[0], ofWorker: counts[1], ofWriters: counts[2])
    }

    /// Has everything that is cached invalidated, and waits until it is.
    func invalidateAll() async throws {
        let redis = try BareRedis(.unix(path: redisPath))
        let head = CacheNamespace.workflows.headKey(bucket: 0)
        let generation = try redis.text("HGET", head, "gen")
        try await postgres.psql("SELECT freshet.invalidate_all()", database: Self.database)
        try await FreshetProgram.until("everything to be invalidated") {
            try redis.text("HGET", head, "gen") != generation
        }
    }
}
