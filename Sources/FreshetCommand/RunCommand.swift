import ArgumentParser
import Audit
import InvalidationWorker
import Keyspace
import Logging
import Postgres
import Redis
import ServiceLifecycle

/// `freshet run`: the worker.
struct RunCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "run",
        abstract: "Runs the worker, until SIGTERM or SIGINT.",
        discussion: """
            Turns what was committed in Postgres into invalidations in Redis, and vouches for it. Any number may run: one \
            leads, the others stand by. A server that is away is waited for; a mistake in the settings ends it at once. The \
            first signal lets it finish its batch, a second one ends it on the spot; neither loses anything.

            The role needs freshet_worker:  GRANT freshet_worker TO app_worker

            With --audit-rate, cached entries are held against the database beside the work, round after round: what is wrong \
            is logged as an error with its evidence, and counted. Give it a role of its own, as freshet audit --help says.

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

    @OptionGroup(title: "Settings")
    var options: SettingsOptions

    func run() async throws {
        let settings = try options.resolve([.auditPostgres: auditPostgres], numbers: [.auditRate: auditRate])
        let logger = settings.logger()
        // Connects when it is first asked.
        let redis = RedisNode(settings.redis, logger: logger)
        var configuration = InvalidationWorker.Configuration()
        configuration.namespace = settings.namespace
        configuration.limits = settings.limits
        // Several passes fit into a lease, however short it is.
        configuration.pollInterval = min(configuration.pollInterval, settings.limits.lease / 4)
        let history = settings.auditRate > 0 ? PassHistory() : nil
        let worker = InvalidationWorker(
            postgres: settings.postgres,
            redis: redis,
            configuration: configuration,
            logger: logger,
            onEvent: { await history?.note($0) }
        )
        let auditRedis = RedisNode(settings.redis, logger: logger)
        var services: [any Service] = [CheckedWorker(worker: worker, settings: settings, logger: logger)]
        if let history {
            services.append(Self.auditor(settings, redis: auditRedis, history: history, logger: logger))
        }
        let interruption = Interruption()
        let group = ServiceGroup(
            services: services,
            logger: Logger(label: "freshet") {
                LineLogHandler(label: $0, level: max(settings.logLevel ?? .info, .warning))
            }
        )
        let result: Result<Void, any Error>
        do {
            try await withThrowingTaskGroup(of: Void.self) { tasks in
                tasks.addTask {
                    for await _ in interruption.requests {
                        logger.info("Finishing the batch, then leaving")
                        await group.triggerGracefulShutdown()
                    }
                }
                try await group.run()
                tasks.cancelAll()
            }
            result = .success(())
        } catch {
            result = .failure(error)
        }
        await redis.close()
        await auditRedis.close()
        try result.get()
        logger.info("Left")
    }

    /// The auditor beside the worker: a connection to Redis and a session with Postgres of its own.
    private static func auditor(
        _ settings: Settings,
        redis: RedisNode,
        history: PassHistory,
        logger: Logger
    ) -> AuditService {
        var configuration = Auditor.Configuration()
        configuration.namespace = settings.namespace
        configuration.limits = settings.limits
        configuration.entriesPerSecond = settings.auditRate
        configuration.history = history
        return AuditService(
            postgres: settings.auditPostgres ?? settings.postgres,
            redis: redis,
            configuration: configuration,
            logger: logger
        )
    }
}

/// The worker, behind a look at whether it is set up to work.
private struct CheckedWorker: Service {
    let worker: InvalidationWorker
    let settings: Settings
    let logger: Logger

    func run() async throws {
        do {
            try await cancelWhenGracefulShutdown {
                try await checkPostgres()
                try await checkRedis()
            }
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
