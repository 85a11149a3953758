import ArgumentParser
import Audit
import ChangeFeed
import InvalidationWorker
import Keyspace
import Logging
import Metrics
import Operations
import Postgres
import Prometheus
import Redis
import ServiceLifecycle
import Systemd

/// `freshet run`: the worker.
struct RunCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "run",
        abstract: "Runs the worker, until SIGTERM or SIGINT.",
        discussion: """
            Turns what was committed in Postgres into invalidations in Redis, and vouches for it. Any number may run: one \
            leads, the others stand by. A server that is away is waited for; a mistake in the settings ends it at once. The \
            first signal lets it finish its batch, a second one ends it on the spot; neither loses anything.

            While it runs, it answers at --http: a status page for people at /, the same at /status.json, metrics for Prometheus at \
            /metrics, and whether it is well at /healthz (this process) and /readyz (both servers, and the lease).

            Without a terminal, SIGHUP makes it read log level and intervals again, from --config and the environment. Under a \
            service manager that wants to be told (systemd, Type=notify), a server's refusal of a password or a privilege ends \
            nothing: the status says what to mend, and the worker goes on to try. Connection strings may be credentials of \
            systemd, named postgres, redis and audit-postgres.

            The role needs freshet_worker:  GRANT freshet_worker TO app_worker

            With --audit-rate, cached entries are held against the database beside the work, round after round: what is wrong \
            is logged as an error with its evidence, and counted. Give it a role of its own, as freshet audit --help says.

            The last changes are kept in Redis, in a stream beside the cache, for freshet watch, top, explain and audit. A Redis \
            that is full keeps none, and is invalidated all the same.

            EXAMPLE
              $ export FRESHET_POSTGRES=postgresql://app_worker@db.example/app
              $ export FRESHET_REDIS=rediss://cache.example
              $ freshet run
            """
    )

    @Option(
        help: ArgumentHelp(
            "How many cached entries a second to audit; 0 audits none. [FRESHET_AUDIT_RATE; default: 0]",
            valueName: "count"
        )
    )
    var auditRate: Double?

    @Option(
        help: ArgumentHelp(
            "Postgres for the audit, with a login of its own. [FRESHET_AUDIT_POSTGRES; default: as --postgres]",
            valueName: "conninfo"
        )
    )
    var auditPostgres: String?

    @Option(
        help: ArgumentHelp(
            "How often to look without being told to. [FRESHET_POLL_SECONDS; default: 1]",
            valueName: "seconds"
        )
    )
    var pollSeconds: Double?

    @Option(
        help: ArgumentHelp(
            "How often a standby tries to lead. [FRESHET_STANDBY_SECONDS; default: 0.5]",
            valueName: "seconds"
        )
    )
    var standbySeconds: Double?

    @Option(
        help: ArgumentHelp(
            "About how many of the last changes to keep in Redis; 0 keeps none. [FRESHET_CHANGE_HISTORY; default: 10000]",
            valueName: "count"
        )
    )
    var changeHistory: Double?

    @Option(
        help: ArgumentHelp(
            "Where to answer over HTTP, or off. Anybody who reaches it can read it. [FRESHET_HTTP; default: 127.0.0.1:9464, and "
                + "none if that is in use]",
            valueName: "host:port"
        )
    )
    var http: String?

    @Option(
        help: ArgumentHelp(
            "The status page at / there: on or off. [FRESHET_HTTP_PAGE; default: on]",
            valueName: "on|off"
        )
    )
    var httpPage: String?

    @OptionGroup(title: "Settings")
    var options: SettingsOptions

    func run() async throws {
        let live: LiveSettings
        do {
            live = try LiveSettings { [self] () throws(Failure) in try resolve() }
        } catch {
            // The manager shows it until it begins anew; where even this fails, standard error has the same line.
            try? ServiceUnit.manager.get()?.notify([.status("Not started: \(error)")])
            throw error
        }
        let settings = live.settings
        let logger = Logger(label: "freshet") { LineLogHandler(label: $0, threshold: live.threshold) }
        // Connects when it is first asked.
        let redis = RedisNode(settings.redis, logger: logger)
        var configuration = InvalidationWorker.Configuration()
        configuration.namespace = settings.namespace
        configuration.limits = settings.limits
        configuration.pollInterval = settings.intervals.poll
        configuration.leadershipInterval = settings.intervals.leadership
        let history = settings.auditRate > 0 ? PassHistory() : nil
        let state = WorkerState(lease: settings.limits.lease, redact: Redaction.line)
        let unit = ServiceUnit(state: state, logger: logger)
        let startupPages = StartupPages()
        let endpoint = try await Endpoint.open(settings, state: state, redis: redis, logger: logger)
        let changeRedis = RedisNode(settings.redis, logger: Logger(label: "freshet") { _ in SwiftLogNoOpLogHandler() })
        let publisher =
            settings.changeHistory > 0
            ? ChangePublisher(redis: changeRedis, length: settings.changeHistory, logger: logger) : nil
        var worker = InvalidationWorker(
            postgres: settings.postgres,
            redis: redis,
            configuration: configuration,
            logger: logger,
            onEvent: { event in
                publisher?.note(event)
                await history?.note(event)
                state.note(event)
                unit.note(event)
                startupPages.note(event)
            }
        )
        worker.onTurn = state.turn
        worker.claimWait = state.claimWait
        worker.intervals = { live.intervals }
        let auditRedis = RedisNode(settings.redis, logger: logger)
        // The publisher is the first, so the last to be told to leave: it writes what the worker did at the end.
        var services: [any Service] = publisher.map { [$0] } ?? []
        services.append(CheckedWorker(worker: worker, settings: settings, state: state, unit: unit, logger: logger))
        // Services are shut down from the last to the first: it answers until the worker has left.
        if let endpoint { services.insert(endpoint.server, at: 0) }
        if let history {
            services.append(
                Self.auditor(settings, redis: auditRedis, history: history, state: state, logger: logger)
            )
        }
        let interruption = Interruption()
        let hangUp = HangUp()
        let group = ServiceGroup(
            services: services,
            logger: Logger(label: "freshet") {
                LineLogHandler(label: $0, threshold: LogThreshold(max(settings.logLevel ?? .info, .warning)))
            }
        )
        let result: Result<Void, any Error>
        do {
            try await withThrowingTaskGroup(of: Void.self) { tasks in
                tasks.addTask {
                    for await _ in interruption.requests {
                        logger.info("Finishing the batch, then leaving")
                        unit.tellStopping()
                        await group.triggerGracefulShutdown()
                    }
                }
                tasks.addTask {
                    for await _ in hangUp.requests { unit.reload { live.reload(logger) } }
                }
                tasks.addTask { try await unit.run() }
                try await group.run()
                tasks.cancelAll()
            }
            result = .success(())
        } catch {
            result = .failure(error)
        }
        await endpoint?.close()
        await redis.close()
        await auditRedis.close()
        await changeRedis.close()
        try result.get()
        logger.info("Left")
    }

    /// The settings, as they are now in all their sources.
    private func resolve() throws(Failure) -> Settings {
        try options.resolve(
            [.auditPostgres: auditPostgres, .http: http, .httpPage: httpPage],
            numbers: [
                .auditRate: auditRate, .changeHistory: changeHistory, .pollSeconds: pollSeconds,
                .standbySeconds: standbySeconds,
            ]
        )
    }

    /// The auditor beside the worker: a connection to Redis and a session with Postgres of its own.
    private static func auditor(
        _ settings: Settings,
        redis: RedisNode,
        history: PassHistory,
        state: WorkerState,
        logger: Logger
    ) -> AuditService {
        var configuration = Auditor.Configuration()
        configuration.namespace = settings.namespace
        configuration.limits = settings.limits
        configuration.entriesPerSecond = settings.auditRate
        configuration.history = history
        let audits = AuditSummary(state: state)
        return AuditService(
            postgres: settings.auditPostgres ?? settings.postgres,
            redis: redis,
            configuration: configuration,
            logger: logger,
            onBatch: audits.take
        )
    }
}

/// The worker, behind a look at whether it is set up to work.
private struct CheckedWorker: Service {
    let worker: InvalidationWorker
    let settings: Settings
    let state: WorkerState
    let unit: ServiceUnit
    let logger: Logger

    func run() async throws {
        do {
            try await cancelWhenGracefulShutdown { try await check() }
        } catch {
            if Task.isShuttingDownGracefully { return }
            throw error
        }
        logger.info(
            "Working",
            metadata: ["version": "\(RootCommand.version)", "namespace": "\(settings.namespace)"]
        )
        await worker.run()
    }

    /// Looks at both servers.
    ///
    /// Alone, a mistake ends it at once; under a manager that would only begin anew, the status says what to mend, and it looks
    /// again until that is done.
    private func check() async throws {
        var told: String?
        while true {
            let server: WorkerEvent.Server
            let failure: Failure
            do {
                try await checkPostgres()
                do {
                    return try await checkRedis()
                } catch {
                    (server, failure) = (.redis, Failure(classifying: error))
                }
            } catch {
                (server, failure) = (.postgres, Failure(classifying: error))
            }
            try Task.checkCancellation()
            guard unit.isManaged, failure.status != .defect else { throw failure }
            state.note(.failing(server: server, error: failure.message))
            unit.tellNews()
            if told != failure.message {
                told = failure.message
                logger.error("\(server.rawValue) refuses; trying again", metadata: ["error": "\(failure)"])
            }
            try await Task.sleep(for: .seconds(2))
        }
    }

    /// A server that is away is a matter of time; everything else is a person's to mend.
    private func checkPostgres() async throws {
        do {
            try await worker.checkSetup()
        } catch let error as PostgresError where error.isRetryable {
            logger.error("Postgres cannot be reached; going on to try", metadata: ["error": "\(error)"])
        }
    }

    private func checkRedis() async throws {
        // A client of its own, silent because what it finds is said here, in one line.
        let redis = RedisNode(settings.redis, logger: Logger(label: "freshet") { _ in SwiftLogNoOpLogHandler() })
        let head = settings.namespace.headKey(bucket: 0)
        let reply: Result<RedisReply, RedisError>
        do {
            reply = .success(try await redis.send(RedisCommand("HGET", .string(head), "gen"), key: head))
        } catch {
            reply = .failure(error)
        }
        await redis.close()
        do {
            _ = try reply.get().get()
        } catch let error as RedisError where error.isRetryable {
            logger.error("Redis cannot be reached; going on to try", metadata: ["error": "\(error)"])
        } catch let error as RedisServerError {
            let failure = Failure(classifying: error)
            guard failure.status != .permission, failure.status != .configuration else { throw failure }
            // It is loading, or something else lies under our key: the worker copes with these.
            logger.warning("Redis refuses; going on to try", metadata: ["error": "\(error)"])
        }
    }
}
