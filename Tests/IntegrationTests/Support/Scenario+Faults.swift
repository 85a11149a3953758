import Freshet
import FreshetPostgres
import InvalidationWorker
import Keyspace
import LocalServices
import Postgres
import Redis

/// What tests of faults do past the library, and what they find there.
extension Scenario {
    /// The statement that attaches the three tables, or mends what is attached.
    static let attach = """
        SELECT freshet.attach(
            'workflow_engine_detector', 'workflow_engine_workflow', 'workflow_engine_detectorworkflow')
        """

    /// Runs `body` in a scenario on servers that nobody shares, so that it may stop and break them.
    static func withOwnServers(
        postgresSettings: [String: String] = [:],
        limits: KeyspaceLimits = KeyspaceLimits(),
        _ body: @Sendable (Scenario) async throws -> Void
    ) async throws {
        let servers = try await Servers.start(postgresSettings: postgresSettings)
        do {
            try await run(on: servers, limits: limits, body)
        } catch {
            await servers.destroy()
            throw error
        }
        await servers.destroy()
    }

    /// The first column of what a query returns, as the superuser.
    func column(_ sql: String) async throws -> [String?] {
        let result = try await admin.query(sql)
        return result.rows.map { result.string($0, 0) }
    }

    /// How many rows the journal holds.
    func journalDepth() async throws -> String? {
        try await column("SELECT count(*) FROM freshet.change").first ?? nil
    }

    /// The generation of the namespace.
    func generation() async throws -> String? {
        let head = namespace.headKey(bucket: 0)
        return try await redis.send(RedisCommand("HGET", .string(head), "gen"), key: head).string
    }

    /// Waits until readers rely on Redis just so far.
    func waitUntil(_ trust: Trust) async throws {
        let lookup = lookup
        _ = try await eventually("readers to see \(trust)") {
            try await lookup.workflows(ofDetectors: [] as [Int64]).trust == trust ? true : nil
        }
    }

    /// A reader of the same cache that loads from another server, for as long as `body` takes.
    func withReader(
        of server: LocalPostgres,
        _ body: (WorkflowLookup) async throws -> Void
    ) async throws {
        let pool = PostgresPool(
            configuration: PostgresConfiguration(
                connectionString: server.connectionString(database: database, user: Servers.Roles.reader)
            ),
            maximumConnections: 2,
            logger: testLogger
        )
        var options = options
        options.registry = CacheRegistry()
        let lookup = try WorkflowLookup(
            redis: redis,
            namespace: namespace,
            limits: limits,
            options: options,
            loader: PostgresWorkflowLoader(pool: pool).load,
            logger: testLogger
        )
        do {
            try await body(lookup)
        } catch {
            await pool.close()
            throw error
        }
        await pool.close()
    }
}

extension RunningWorker {
    /// The reasons it gave for not vouching, in order.
    var distrusts: [String] {
        allEvents.compactMap { event in
            if case .distrusting(_, let reason) = event { reason } else { nil }
        }
    }

    /// What the worker applied so far, as "subject operation".
    var applied: [String] {
        reports.flatMap { $0.changes.map { "\($0.subject) \($0.operation)" } }
    }

    /// How many of its passes found a dataset that was not the one it had left.
    var resets: Int {
        reports.count { !$0.resetBuckets.isEmpty }
    }

    /// Waits until it vouches for a snapshot that was taken after this call.
    func vouchesAgain() async throws {
        let count = events.count(of: .vouched)
        try await events.wait(for: .vouched, count: count + 2)
    }
}
