import Keyspace
import LocalServices
import Logging
import Postgres

/// The servers of the readers' benchmark: a durable Postgres with the rows of the installation and our triggers, and the worker.
///
/// Postgres itself counts the statements that it is sent, by role, and those within triggers; not BEGIN and COMMIT.
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
            "shared_preload_libraries": "pg_stat_statements", "pg_stat_statements.track": "all",
            "pg_stat_statements.track_utility": "off",
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

    /// Counts the statements that reach Postgres.
    func statementCounter() async throws -> StatementCounter {
        try await StatementCounter(
            PostgresConfiguration(connectionString: postgres.connectionString(database: Self.database))
        )
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
