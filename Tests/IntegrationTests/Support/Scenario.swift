import Freshet
import FreshetPostgres
import InvalidationWorker
import Keyspace
import LocalServices
import Logging
import Postgres
import Redis
import ServiceLifecycle
import Synchronization

/// One installation of Freshet for one test: a database of its own, a key prefix of its own, a reader, and workers on demand.
final class Scenario: Sendable {
    let servers: Servers
    let database: String
    let namespace: CacheNamespace
    let limits: KeyspaceLimits
    let options: CacheOptions
    /// A superuser's connection, for what the application and the DBA do.
    let admin: PostgresConnection
    let redis: RedisNode
    let lookup: WorkflowLookup
    /// Counts the calls of the loader by their number of keys, and can hold them.
    let loads: LoadProbe
    private let pool: PostgresPool
    private let workers = Mutex<[RunningWorker]>([])

    private init(
        servers: Servers,
        database: String,
        namespace: CacheNamespace,
        limits: KeyspaceLimits,
        options: CacheOptions,
        commandTimeLimit: Duration
    ) async throws {
        self.servers = servers
        self.database = database
        self.namespace = namespace
        self.limits = limits
        self.options = options
        admin = try await PostgresConnection.connect(
            PostgresConfiguration(connectionString: servers.postgres.connectionString(database: database)),
            logger: testLogger
        )
        var configuration = try RedisConfiguration(url: servers.redis.url)
        configuration.commandTimeLimit = commandTimeLimit
        redis = RedisNode(configuration, logger: testLogger)
        pool = PostgresPool(
            configuration: PostgresConfiguration(
                connectionString: servers.postgres.connectionString(database: database, user: Servers.Roles.reader)
            ),
            maximumConnections: 4,
            logger: testLogger
        )
        loads = LoadProbe(loader: PostgresWorkflowLoader(pool: pool))
        lookup = try WorkflowLookup(
            redis: redis,
            namespace: namespace,
            limits: limits,
            options: options,
            loader: loads.load,
            logger: testLogger
        )
    }

    /// Runs `body` in a scenario of its own, and tidies up, whatever happens.
    ///
    /// - Parameter alone: With no other scenario at the same time, for tests that hold a duration against a bound.
    static func run(
        _ foreignKeys: ForeignKeys = .none,
        on servers: Servers? = nil,
        limits: KeyspaceLimits = KeyspaceLimits(),
        options: CacheOptions = CacheOptions(),
        alone: Bool = false,
        bucketCount: Int = 1,
        _ body: @Sendable (Scenario) async throws -> Void
    ) async throws {
        try await Turnstile.scenarios.pass(alone: alone) {
            try await runNow(foreignKeys, on: servers, limits: limits, options: options, bucketCount: bucketCount, body)
        }
    }

    private static func runNow(
        _ foreignKeys: ForeignKeys,
        on servers: Servers?,
        limits: KeyspaceLimits,
        options: CacheOptions,
        bucketCount: Int,
        _ body: @Sendable (Scenario) async throws -> Void
    ) async throws {
        let shared: Servers
        if let servers { shared = servers } else { shared = try await Servers.shared() }
        let name = "t\(UInt64.random(in: .min ... .max))"
        try await foreignKeys.createDatabase(name, on: shared.postgres)
        let scenario = try await Scenario(
            servers: shared,
            database: name,
            namespace: CacheNamespace(prefix: name, bucketCount: bucketCount),
            limits: limits,
            options: options,
            // Nobody makes the shared server stand still, so there it may be slow, where all others are busy, too.
            commandTimeLimit: servers == nil ? .seconds(30) : .seconds(2)
        )
        do {
            try await body(scenario)
        } catch {
            await scenario.close()
            throw error
        }
        await scenario.close()
    }

    private func close() async {
        for worker in workers.withLock({ $0 }) { await worker.kill() }
        await admin.close()
        await pool.close()
        await redis.close()
    }

    // MARK: What the application does

    /// Runs some SQL as the application, in one transaction where it has several statements.
    func execute(_ sql: String) async throws {
        try await admin.run(script: sql)
    }

    /// A further connection to the database, for concurrent transactions.
    ///
    /// The test closes it.
    func connect(user: String? = nil) async throws -> PostgresConnection {
        try await PostgresConnection.connect(
            PostgresConfiguration(connectionString: servers.postgres.connectionString(database: database, user: user)),
            logger: testLogger
        )
    }

    /// Detectors and workflows in their environments (nil is global), each pair linked.
    func insert(detectors: [Int64], workflows: [(id: Int64, environment: Int64?)]) async throws {
        var statements: [String] = []
        for detector in detectors {
            statements.append("INSERT INTO workflow_engine_detector (id) VALUES (\(detector))")
        }
        for (id, environment) in workflows {
            let environment = environment.map(String.init) ?? "NULL"
            statements.append(
                "INSERT INTO workflow_engine_workflow (id, environment_id) VALUES (\(id), \(environment))"
            )
            for detector in detectors {
                statements.append(
                    "INSERT INTO workflow_engine_detectorworkflow (detector_id, workflow_id) VALUES (\(detector), \(id))"
                )
            }
        }
        try await execute(statements.joined(separator: ";\n"))
    }

    // MARK: What a reader sees

    /// The ids that a lookup returns for one detector, and where each of its two sets came from.
    func read(
        _ detector: Int64,
        _ environment: DetectorEnvironment = .global
    ) async throws -> (ids: [Int64], global: AnswerSource, environment: AnswerSource?, trust: Trust) {
        let answer = try await lookup.workflows(ofDetectors: [detector], in: environment)
        guard let found = answer.detectors.first else { return ([], .miss(.absent), nil, answer.trust) }
        return (found.workflows.map(\.id), found.global, found.environment, answer.trust)
    }

    /// Reads until everything is cached: the second read of the same is a hit, unless something changes meanwhile.
    func warm(_ detectors: [Int64], _ environments: [DetectorEnvironment]) async throws {
        for environment in environments {
            _ = try await lookup.workflows(ofDetectors: detectors, in: environment)
        }
    }

    /// What the database answers now, past the cache.
    func truth(_ keys: [DetectorWorkflowsKey]) async throws -> [DetectorWorkflowsKey: [Int64]] {
        let loaded = try await PostgresWorkflowLoader(pool: pool).load(keys)
        return loaded.values.mapValues { $0.map(\.id).sorted() }
    }

    // MARK: Workers

    /// Starts a worker as its documented role, and waits until it vouches.
    ///
    /// - Parameter hears: Whether it bumps what notifications tell of, also while its passes are held. Not unless it is asked to: most
    ///   tests are about passes, and a hint that is slower than its pass bumps what they have cached once more.
    @discardableResult
    func startWorker(
        gate: Gate = Gate(),
        waitUntilVouched: Bool = true,
        redis other: (any RedisClient)? = nil,
        connectionString: String? = nil,
        hears: Bool = false,
        logger: Logger = testLogger,
        configure: (inout InvalidationWorker.Configuration) -> Void = { _ in }
    ) async throws -> RunningWorker {
        var configuration = InvalidationWorker.Configuration()
        configuration.namespace = namespace
        configuration.limits = limits
        configuration.pollInterval = .milliseconds(50)
        configuration.leadershipInterval = .milliseconds(50)
        configure(&configuration)
        let worker = RunningWorker(
            postgres: PostgresConfiguration(
                connectionString: connectionString
                    ?? servers.postgres.connectionString(database: database, user: Servers.Roles.worker)
            ),
            redis: other ?? redis,
            configuration: configuration,
            gate: gate,
            hears: hears,
            logger: logger
        )
        workers.withLock { $0.append(worker) }
        if waitUntilVouched {
            do {
                try await worker.events.wait(for: .vouched, count: 1, within: .seconds(60))
            } catch {
                throw WorkerNeverVouched(cause: error, events: worker.allEvents)
            }
        }
        return worker
    }
}

/// A worker did not begin to vouch, and what it told instead.
struct WorkerNeverVouched: Error {
    var cause: any Error
    var events: [WorkerEvent]
}

/// A worker that runs, and what it has told.
final class RunningWorker: Sendable {
    /// The kinds of events, to wait for.
    enum EventKind: Hashable, Sendable {
        case standingBy, leading, applied, committed, vouched, distrusting, failingPostgres, failingRedis
    }

    let gate: Gate
    let events = Arrivals<EventKind>()
    private let history: History
    private let group: ServiceGroup
    private let task: Task<Void, any Error>

    init(
        postgres: PostgresConfiguration,
        redis: any RedisClient,
        configuration: InvalidationWorker.Configuration,
        gate: Gate,
        hears: Bool,
        logger: Logger
    ) {
        self.gate = gate
        let events = events
        let history = History()
        self.history = history
        var worker = InvalidationWorker(
            postgres: postgres,
            redis: redis,
            configuration: configuration,
            logger: logger,
            onEvent: { event in
                history.append(event)
                events.arrive(at: EventKind(event))
            }
        )
        worker.beforeStep = gate.pass
        worker.heedsHints = hears
        let group = ServiceGroup(services: [worker], logger: testLogger)
        self.group = group
        task = Task { try await group.run() }
    }

    /// All events so far.
    var allEvents: [WorkerEvent] { history.all }

    /// The reports of all passes so far that were not empty.
    var reports: [PassReport] {
        allEvents.compactMap { event in
            if case .applied(let report) = event { report } else { nil }
        }
    }

    /// Waits until everything that was committed before this call has been applied and committed.
    func catchUp() async throws {
        // The first pass to end may have begun before the call; the one after it has not.
        let count = gate.steps.count(of: .waiting)
        try await gate.steps.wait(for: .waiting, count: count + 2)
    }

    /// Ends as SIGTERM would, and waits for the end.
    func stop() async throws {
        await group.triggerGracefulShutdown()
        try await task.value
    }

    /// Ends in the middle of whatever it does.
    func kill() async {
        task.cancel()
        _ = await task.result
    }

    private final class History: Sendable {
        private let told = Mutex<[WorkerEvent]>([])

        var all: [WorkerEvent] { told.withLock { $0 } }

        func append(_ event: WorkerEvent) { told.withLock { $0.append(event) } }
    }
}

extension RunningWorker.EventKind {
    fileprivate init(_ event: WorkerEvent) {
        self =
            switch event {
            case .standingBy: .standingBy
            case .leading: .leading
            case .applied: .applied
            case .committed: .committed
            case .vouched: .vouched
            case .distrusting: .distrusting
            case .failing(.postgres, _): .failingPostgres
            case .failing(.redis, _): .failingRedis
            }
    }
}

/// A loader that counts, and that a test can hold between the query and the fill.
final class LoadProbe: Sendable {
    private let loader: PostgresWorkflowLoader
    private let hold = Mutex<Hold?>(nil)
    private let keyCounts = Mutex<[Int]>([])

    init(loader: PostgresWorkflowLoader) {
        self.loader = loader
    }

    /// For each call of the loader, how many keys it was asked for.
    var calls: [Int] { keyCounts.withLock { $0 } }

    /// Holds the next load after its query: what it returns is then as old as the test wants.
    func holdNext() -> Hold {
        let next = Hold()
        hold.withLock { $0 = next }
        return next
    }

    @Sendable func load(
        _ keys: [DetectorWorkflowsKey]
    ) async throws -> LoadedValues<DetectorWorkflowsKey, [Workflow]> {
        keyCounts.withLock { $0.append(keys.count) }
        let loaded = try await loader.load(keys)
        let held = hold.withLock { hold in
            defer { hold = nil }
            return hold
        }
        if let held {
            held.places.arrive(at: .queried)
            try await held.places.wait(for: .released, count: 1)
        }
        return loaded
    }

    /// A load that is held.
    final class Hold: Sendable {
        enum Place: Hashable, Sendable { case queried, released }

        fileprivate let places = Arrivals<Place>()

        /// Waits until the query has been answered.
        func queried() async throws { try await places.wait(for: .queried, count: 1) }

        func release() { places.arrive(at: .released) }
    }
}
