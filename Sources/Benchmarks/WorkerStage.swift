import Keyspace
import LocalServices

/// A durable Postgres with the tables and our triggers on them, and the worker of this build, as a process of its own.
struct WorkerStage: Sendable {
    let postgres: LocalPostgres
    let worker: LocalProgram
    let redisPath: String
    let namespace: CacheNamespace

    private static let database = "app"
    /// What the worker calls itself in Postgres.
    static let workerName = "measured"

    /// - Parameters:
    ///   - prefix: Of the keys in Redis.
    ///   - settings: Of Postgres, over those that make it durable and keep checkpoints out of what is measured.
    ///   - tables: SQL that fills the tables.
    ///   - options: Of the worker, where it shall not do as it does by itself.
    static func set(
        prefix: String,
        redisPath: String,
        settings: [String: String] = [:],
        tables: String,
        options: [String] = []
    ) async throws -> WorkerStage {
        // As in production: a commit is on disk when it is acknowledged. Room enough that no checkpoint falls into one side's turn.
        let durable = [
            "fsync": "on", "full_page_writes": "on", "synchronous_commit": "on", "shared_buffers": "512MB",
            "max_wal_size": "16GB", "checkpoint_timeout": "1h",
        ]
        let postgres = try await LocalPostgres.start(settings: durable.merging(settings) { _, new in new })
        do {
            try await postgres.createDatabase(database)
            try await postgres.psql(
                "\(ApplicationTables.statements(cascading: false)) \(tables)",
                database: database
            )
            let conninfo = postgres.connectionString(database: database)
            let redis = "unix://\(redisPath)"
            try await FreshetProgram.migrate(conninfo: conninfo, redis: redis)
            let namespace = try CacheNamespace(prefix: prefix)
            let worker = try LocalProgram(
                executable: FreshetProgram.path(of: "freshet"),
                arguments: [
                    "run", "--postgres", "\(conninfo) application_name=\(workerName) options='-c log_duration=on'",
                    "--redis", redis, "--prefix", prefix,
                ] + FreshetProgram.answers + options
            )
            let stage = WorkerStage(
                postgres: postgres,
                worker: worker,
                redisPath: redisPath,
                namespace: namespace
            )
            do { try await stage.startWorker() } catch {
                await worker.destroy()
                throw error
            }
            return stage
        } catch {
            await postgres.destroy()
            throw error
        }
    }

    /// Whether notifications tell what was changed.
    func sendsHints(_ isOn: Bool) async throws {
        try await postgres.psql(
            "UPDATE freshet.setting SET value = '\(isOn ? "on" : "off")' WHERE name = 'hints'",
            database: Self.database
        )
    }

    /// Whether the worker has applied everything.
    func journalIsEmpty() async throws -> Bool {
        try await onThread { try BarePostgres(conninfo()).execute("SELECT count(*) FROM freshet.change") == "0" }
    }

    func end() async {
        await worker.destroy()
        await postgres.destroy()
    }

    /// Starts the worker, and waits until it leads.
    func startWorker() async throws {
        let times = try timesLeading()
        try await worker.start()
        try await FreshetProgram.until("the worker to lead") { try timesLeading() > times }
    }

    private func timesLeading() throws -> Int {
        guard worker.processIdentifier != nil else { return 0 }
        return try worker.log().split(separator: "\n").count { $0.contains("Leading") }
    }

    /// How a program connects.
    func conninfo(options: String? = nil) -> String {
        postgres.connectionString(database: Self.database) + (options.map { " options='\($0)'" } ?? "")
    }
}
