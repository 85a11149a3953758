import Freshet
import FreshetPostgres
import InvalidationWorker
import Keyspace
import LocalServices
import Logging
import Migrations
import Postgres
import Redis

/// Everything that the demonstration runs on: the servers, the application, the worker, a reader.
final class DemoStage: Sendable {
    static let database = "demo"
    static let applicationName = "demo application"
    /// Short, so that nobody has to wait long for a promise to run out.
    static let limits: KeyspaceLimits = {
        var limits = KeyspaceLimits()
        limits.lease = .seconds(2)
        return limits
    }()
    /// Likewise.
    static let degradedAge: Duration = .milliseconds(1_500)
    static let namespace = CacheNamespace.workflows

    let postgres: LocalPostgres
    let redisServer: LocalRedis
    let redis: RedisNode
    /// The session of an application that knows nothing of Freshet.
    let application: PostgresConnection
    /// The owner's session, to look at things.
    let owner: PostgresConnection
    let worker: DemoWorker
    let lookup: WorkflowLookup
    /// What the database answers, past the cache.
    let loader: PostgresWorkflowLoader
    private let pool: PostgresPool

    private init(postgres: LocalPostgres, redisServer: LocalRedis, logger: Logger) async throws {
        func configuration(_ user: String?, _ name: String) -> PostgresConfiguration {
            PostgresConfiguration(
                connectionString: postgres.connectionString(database: Self.database, user: user),
                applicationName: name
            )
        }
        self.postgres = postgres
        self.redisServer = redisServer
        let redis = RedisNode(try RedisConfiguration(url: redisServer.url), logger: logger)
        self.redis = redis
        owner = try await PostgresConnection.connect(configuration(nil, "demo owner"), logger: logger)
        application = try await PostgresConnection.connect(
            configuration(DemoData.application, Self.applicationName),
            logger: logger
        )
        pool = PostgresPool(
            configuration: configuration(DemoData.reader, "demo reader"),
            maximumConnections: 2,
            logger: logger
        )
        loader = PostgresWorkflowLoader(pool: pool)
        var options = CacheOptions()
        options.degradation = .serve(upTo: Self.degradedAge)
        lookup = try WorkflowLookup(
            redis: redis,
            namespace: Self.namespace,
            limits: Self.limits,
            options: options,
            loader: loader.load,
            logger: logger
        )
        var worker = InvalidationWorker.Configuration()
        worker.namespace = Self.namespace
        worker.limits = Self.limits
        worker.pollInterval = .milliseconds(250)
        self.worker = DemoWorker(
            postgres: configuration(DemoData.worker, "freshet worker"),
            redis: redis,
            configuration: worker,
            logger: logger
        )
    }

    /// Starts the servers and puts everything in its place.
    static func set(screen: DemoScreen, logger: Logger) async throws -> DemoStage {
        let began = ContinuousClock.now
        async let startedRedis = LocalRedis.start()
        let postgres: LocalPostgres
        do {
            postgres = try await LocalPostgres.start()
        } catch {
            if let redis = try? await startedRedis { await redis.destroy() }
            throw error
        }
        let redis: LocalRedis
        do {
            redis = try await startedRedis
        } catch {
            await postgres.destroy()
            throw error
        }
        do {
            try await postgres.createDatabase(database)
            let stage = try await furnish(postgres, redis, screen: screen, logger: logger, since: began)
            return stage
        } catch {
            await postgres.destroy()
            await redis.destroy()
            throw error
        }
    }

    private static func furnish(
        _ postgres: LocalPostgres,
        _ redis: LocalRedis,
        screen: DemoScreen,
        logger: Logger,
        since began: ContinuousClock.Instant
    ) async throws -> DemoStage {
        let administrator = PostgresConfiguration(connectionString: postgres.connectionString(database: database))
        try await postgres.psql(DemoData.tables, database: database)
        let migration = try await Migrator(configuration: administrator, logger: logger).migrate(
            tables: AttachedTables()
        )
        try await postgres.psql(DemoData.roles + DemoData.rows, database: database)
        let stage = try await DemoStage(postgres: postgres, redisServer: redis, logger: logger)
        do {
            try await stage.worker.start()
            try await stage.introduce(on: screen, migrations: migration.applied.count, since: began)
            return stage
        } catch {
            await stage.clear()
            throw error
        }
    }

    private func introduce(on screen: DemoScreen, migrations: Int, since began: ContinuousClock.Instant) async throws {
        let version = try await owner.query("SHOW server_version").string(0, 0) ?? ""
        let counts = try await owner.query(
            """
            SELECT (SELECT count(*) FROM workflow_engine_detector), (SELECT count(*) FROM workflow_engine_workflow),
                (SELECT count(*) FROM workflow_engine_detectorworkflow),
                (SELECT count(*) FROM pg_trigger JOIN pg_proc ON pg_proc.oid = tgfoid
                    JOIN pg_namespace ON pg_namespace.oid = pronamespace WHERE nspname = 'freshet')
            """
        )
        func count(_ column: Int) throws -> String { try counts.requiredInt64(0, column).grouped }
        let information = try await redis.send(RedisCommand("INFO", "server"), key: "").get().string ?? ""
        let redisVersion = information.split(whereSeparator: \.isNewline)
            .first { $0.hasPrefix("redis_version:") }
            .map { $0.dropFirst("redis_version:".count) }
        let terminal = screen.terminal
        try screen.line(
            "\(terminal.style("freshet \(RootCommand.version)", .bold))  "
                + terminal.style(
                    "a cache in Redis that stays right while any program writes the tables in Postgres",
                    .faint
                )
        )
        func row(_ name: String, _ text: String) throws {
            try screen.line("    \(terminal.style(name.padded(to: 12), .faint))\(text)")
        }
        try screen.line()
        try row(
            "servers",
            "Postgres \(version.prefix { $0 != " " }) and Redis \(redisVersion ?? ""), private, ready in \(began.duration(to: .now).spoken)"
        )
        try row("schema", "\(migrations) migrations, \(try count(3)) statement triggers on 3 tables")
        try row(
            "rows",
            "\(try count(0)) detectors, \(try count(1)) workflows in \(DemoData.environmentCount) environments, \(try count(2)) links"
        )
        try row("application", "role \(DemoData.application): plain SQL, has no right to anything of Freshet's")
        try row(
            "worker",
            "role \(DemoData.worker): reads four columns of yours, all ids; vouches for \(Self.limits.lease.spoken) at a time"
        )
        try row("reader", "role \(DemoData.reader): one round trip to Redis; what is missing, one query")
        try row(
            "generation",
            "an answer carries those it was read under; a change raises one, and the answer counts no more"
        )
        try screen.line()
        try screen.remark(
            "Each step: the SQL; → what it invalidates, and how fast; a reader before → after → at the next look."
        )
    }

    /// Ends everything and leaves nothing behind.
    func clear() async {
        await worker.stop()
        await application.close()
        await owner.close()
        await pool.close()
        await redis.close()
        await postgres.destroy()
        await redisServer.destroy()
    }

    // MARK: Reading

    /// What a lookup says of one detector.
    func read(_ detector: Int64, in environment: DetectorEnvironment) async throws -> DemoReading {
        let answer = try await lookup.workflows(ofDetectors: [detector], in: environment)
        guard let found = answer.detectors.first else {
            throw Failure(.defect, "detector \(detector): the lookup gave no answer; please report it")
        }
        return DemoReading(
            trust: answer.trust,
            global: found.global,
            source: found.environment ?? found.global,
            workflows: found.workflows.map(\.id)
        )
    }

    /// Reads everything, so that it is cached.
    func warm() async throws {
        for environment in Self.environments {
            for detectors in Self.detectorChunks {
                _ = try await lookup.workflows(ofDetectors: detectors, in: environment)
            }
        }
    }

    /// Holds answers of the cache against the database: of all detectors, or of some.
    ///
    /// - Returns: How many were compared, and what differs.
    func compare(
        _ detectors: [ClosedRange<Int64>] = DemoStage.detectorChunks
    ) async throws -> (count: Int, differences: [String]) {
        var count = 0
        var differences: [String] = []
        for environment in Self.environments {
            for detectors in detectors {
                let answer = try await lookup.workflows(ofDetectors: detectors, in: environment)
                let scopes: Set<DetectorEnvironment> = [.global, environment]
                let keys = detectors.flatMap { id in
                    scopes.map { DetectorWorkflowsKey(detectorID: id, environment: $0) }
                }
                let truth = try await loader.load(keys).values
                for detector in answer.detectors {
                    count += 1
                    let expected = scopes.flatMap {
                        truth[DetectorWorkflowsKey(detectorID: detector.id, environment: $0)] ?? []
                    }
                    if detector.workflows != expected.sorted(by: { $0.id < $1.id }) {
                        differences.append("detector \(detector.id), environment \(environment.variant)")
                    }
                }
            }
        }
        return (count, differences)
    }

    private static let environments: [DetectorEnvironment] =
        [.global] + (1...Int64(DemoData.environmentCount)).map { .environment($0) }

    static let detectorChunks: [ClosedRange<Int64>] = stride(
        from: Int64(1),
        through: Int64(DemoData.detectorCount),
        by: 60
    ).map { $0...min($0 + 59, Int64(DemoData.detectorCount)) }

    /// How long the last promise of the worker still holds.
    func leaseRest() async throws -> Duration {
        let head = try await HeadStatus.read(from: redis, Self.namespace)
        guard let lease = head.head.lease, let vouched = head.vouchedSeconds else { return .zero }
        return lease - .microseconds(Int64(vouched * 1_000_000))
    }
}

/// What a lookup of one detector in one environment says.
struct DemoReading: Sendable {
    var trust: Trust
    /// Where the global workflows came from.
    var global: AnswerSource
    /// Where those of the environment came from.
    var source: AnswerSource
    /// All of them.
    var workflows: [Int64]
}
