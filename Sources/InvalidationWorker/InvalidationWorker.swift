public import Keyspace
public import Logging
public import Postgres
public import Redis
public import ServiceLifecycle
package import Surroundings

/// The worker: turns committed changes of Postgres into bumps of Redis, and vouches for what it has applied.
///
/// Any number may run against one database; one leads, and the others stand by. It survives the absence and the return of
/// either server. A graceful shutdown finishes the pass under way; cancellation leaves at once, which loses nothing either,
/// because what was not committed stays in the journal.
public struct InvalidationWorker: Service {
    /// How a worker works.
    ///
    /// The defaults are meant for production.
    public struct Configuration: Sendable {
        /// Where the cache of workflows lives.
        ///
        /// Each further cache that is attached lives beside it, behind the same prefix under its own name (`datasources`), which
        /// this one must not take.
        public var namespace = CacheNamespace.workflows
        /// The figures that readers of the namespace rely on.
        public var limits = KeyspaceLimits()
        /// How often the journal is looked at, and the lease renewed, without a notification.
        public var pollInterval: Duration = .seconds(1)
        /// How often the journal is looked at where notifications are switched off.
        public var pollIntervalWithoutNotifications: Duration = .milliseconds(100)
        /// How often a standby tries to lead.
        public var leadershipInterval: Duration = .milliseconds(500)
        /// How often the journal is read in full, for rows that were restored or replicated with the transaction ids of another
        /// server.
        public var sweepInterval: Duration = .seconds(60)
        /// A backlog of more rows than these is applied as one bump of the namespace.
        public var collapseThreshold: Int64 = 100_000

        /// The defaults.
        public init() {}
    }

    private let postgres: PostgresConfiguration
    private let redis: any RedisClient
    private let configuration: Configuration
    private let logger: Logger
    private let onEvent: @Sendable (WorkerEvent) async -> Void
    /// Opens the sessions of a simulation, in place of Postgres.
    package var openJournal: JournalOpener?
    /// The same of the sessions that listen for hints; without, a worker whose journal is simulated hears of none.
    package var openHints: HintOpener?
    /// Whether what notifications tell of changes is heeded.
    package var heedsHints = true
    package var surroundings = Surroundings.system
    package var beforeStep: @Sendable (PumpStep) async -> Void = { _ in }
    /// Is told of each turn of the worker's loop, also while it stands by, waits or backs off; must return at once.
    ///
    /// Turns come at least every ten seconds while it waits. Whatever a server is asked has a time limit of less than half a
    /// minute, but for a claim, which takes as long as it does: ``claimWait`` tells of that.
    package var onTurn: @Sendable (PumpStep) -> Void = { _ in }
    /// Says whether the worker waits for a claim, which takes as long as it does.
    package var claimWait = ClaimWait()
    /// Asked before each step how often to look, in place of the configuration; must return at once.
    package var intervals: @Sendable () -> WorkerIntervals? = { nil }

    /// A worker of one database and one Redis.
    ///
    /// - Parameters:
    ///   - postgres: Where the journal is. Must lead to Postgres itself, not to a pooler, as a role that is granted
    ///     `freshet_worker`.
    ///   - redis: Where the generations are. The worker does not close it.
    ///   - onEvent: Is told what happens; the worker waits for it to return.
    public init(
        postgres: PostgresConfiguration,
        redis: any RedisClient,
        configuration: Configuration = Configuration(),
        logger: Logger,
        onEvent: @escaping @Sendable (WorkerEvent) async -> Void = { _ in }
    ) {
        self.postgres = postgres
        self.redis = redis
        self.configuration = configuration
        self.logger = logger
        self.onEvent = onEvent
    }

    /// Works until a graceful shutdown or cancellation.
    ///
    /// Failures of a server are logged and tried again.
    public func run() async {
        let caches: [ServedCache]
        do {
            caches = try ServedCache.all(firstIn: configuration.namespace)
        } catch {
            logger.critical("Cannot work as it is set up", metadata: ["error": "\(error)"])
            return
        }
        var machine = PumpStateMachine.Configuration()
        machine.caches = caches
        machine.limits = configuration.limits
        machine.pollInterval = configuration.pollInterval
        machine.pollIntervalWithoutNotifications = configuration.pollIntervalWithoutNotifications
        machine.leadershipInterval = configuration.leadershipInterval
        machine.sweepInterval = configuration.sweepInterval
        let postgres = postgres
        let threshold = configuration.collapseThreshold
        let logger = logger
        let claimWait = claimWait
        // What the connection's own thread does needs no other to be woken on the way from one server to the other.
        let executor = (redis as? RedisNode)?.executor
        let listenForHints: HintOpener = {
            try await PostgresHintSession.open(
                postgres,
                caches: caches.map(\.rules),
                executor: executor,
                logger: logger
            )
        }
        var pump = Pump(
            open: openJournal ?? {
                try await Journal.open(
                    postgres,
                    caches: caches.map(\.rules),
                    collapseThreshold: threshold,
                    claimWait: claimWait,
                    logger: logger
                )
            },
            openHints: heedsHints ? (openJournal == nil ? listenForHints : openHints) : nil,
            caches: caches,
            store: HeadStore(redis: redis, limits: configuration.limits, surroundings: surroundings),
            machine: PumpStateMachine(configuration: machine, randomness: surroundings),
            logger: logger,
            surroundings: surroundings,
            onEvent: onEvent,
            beforeStep: beforeStep,
            onTurn: onTurn,
            intervals: intervals
        )
        await pump.run()
    }

    /// Opens one session as the worker would, to tell at once whether it is set up to work.
    ///
    /// - Throws: `PostgresError`, or ``WorkerError`` where the session, the schema or a privilege is missing.
    public func checkSetup() async throws {
        let caches = try ServedCache.all(firstIn: configuration.namespace)
        let journal = try await Journal.open(
            postgres,
            caches: caches.map(\.rules),
            collapseThreshold: configuration.collapseThreshold,
            logger: logger
        )
        do {
            try await journal.checkSetup()
        } catch {
            await journal.close()
            throw error
        }
        await journal.close()
    }
}
