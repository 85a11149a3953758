// The auditor beside a worker: slow, for ever, and never in its way. It has a session and a connection of its own, and a task of its
// own. Whatever fails is told once, counted and tried again; nothing of it reaches the worker. It repairs nothing.

import InvalidationWorker
import Keyspace
package import Logging
package import Postgres
package import Redis
import ServiceLifecycle

/// Audits all that is cached, round after round, until a graceful shutdown.
package struct AuditService: Service {
    private let postgres: PostgresConfiguration
    private let redis: any RedisClient
    private let configuration: Auditor.Configuration
    private let logger: Logger
    private let onBatch: @Sendable (Auditor.Batch, _ proven: [String: AuditTally]) async -> Void

    /// Between two rounds, so that an empty Redis is not walked without pause.
    private static let roundInterval = Duration.seconds(1)

    /// - Parameters:
    ///   - redis: A connection that the worker does not use; it is not closed.
    ///   - onBatch: Is told what each batch brought, and what the nines of its caches are about now.
    package init(
        postgres: PostgresConfiguration,
        redis: any RedisClient,
        configuration: Auditor.Configuration,
        logger: Logger,
        onBatch: @escaping @Sendable (Auditor.Batch, _ proven: [String: AuditTally]) async -> Void = { _, _ in }
    ) {
        self.postgres = postgres
        self.redis = redis
        self.configuration = configuration
        self.logger = logger
        self.onBatch = onBatch
    }

    /// Never throws, and does not return before it is told to leave: either would end the worker.
    package func run() async {
        let record = AuditRecord(logger: logger)
        while !isLeaving {
            do {
                try await cancelWhenGracefulShutdown { try await audit(record) }
            } catch {
                if isLeaving { return }
                await pause(for: record.failed(error))
            }
        }
    }

    /// Audits until something fails.
    private func audit(_ record: AuditRecord) async throws {
        var auditor = try await Auditor.open(postgres, redis: redis, configuration: configuration, logger: logger)
        logger.info(
            "Auditing",
            metadata: [
                "caches": "\(auditor.caches.joined(separator: " "))",
                "entries_per_second": "\(configuration.entriesPerSecond)",
            ]
        )
        do {
            while true {
                try await auditor.round(.all) { batch in
                    await onBatch(batch, await record.take(batch))
                }
                await record.roundEnded()
                try await Task.sleep(for: Self.roundInterval)
            }
        } catch {
            await auditor.close()
            throw error
        }
    }

    private var isLeaving: Bool { Task.isCancelled || Task.isShuttingDownGracefully }

    private func pause(for duration: Duration) async {
        do {
            try await cancelWhenGracefulShutdown { try await Task.sleep(for: duration) }
        } catch {
            logger.debug("Shutting down")
        }
    }
}

/// What a service has seen since it began, and tells of it.
private actor AuditRecord {
    private let logger: Logger
    private let telemetry = AuditTelemetry()
    /// By the name of the cache.
    private var rounds: [String: AuditRounds] = [:]
    private var retry = AuditRecord.shortestRetry
    /// The failure that was told last, so that it is told once.
    private var told: String?

    private static let shortestRetry = Duration.seconds(1)
    private static let longestRetry = Duration.seconds(60)

    init(logger: Logger) {
        self.logger = logger
    }

    /// - Returns: What the nines of the batch's caches are about.
    func take(_ batch: Auditor.Batch) -> [String: AuditTally] {
        var proven: [String: AuditTally] = [:]
        for (cache, tally) in batch.tallies {
            var own = rounds[cache] ?? AuditRounds()
            own.add(tally)
            rounds[cache] = own
            proven[cache] = own.proven
            telemetry.audited(cache, tally, proven: own.proven)
        }
        for finding in batch.findings where finding.verdict == .inconsistent {
            logger.error("A cached entry is wrong", metadata: finding.metadata)
        }
        retry = Self.shortestRetry
        told = nil
        return proven
    }

    func roundEnded() {
        telemetry.roundEnded()
        for (cache, own) in rounds.sorted(by: { $0.key < $1.key }) {
            let total = own.underWay
            rounds[cache]?.end()
            logger.debug(
                "Audited a round",
                metadata: [
                    "cache": "\(cache)", "checked": "\(total.checked)", "inconsistent": "\(total.inconsistent)",
                    "nines": "\((total.bound.nines * 10).rounded(.down) / 10)",
                ]
            )
        }
    }

    /// - Returns: When to try again.
    func failed(_ error: any Error) -> Duration {
        telemetry.failed()
        for cache in rounds.keys { rounds[cache]?.breakOff() }
        let text = "\(error)"
        if text != told {
            told = text
            logger.error("Cannot audit; trying again", metadata: ["error": "\(text)"])
        }
        defer { retry = min(retry * 2, Self.longestRetry) }
        return retry
    }
}

extension AuditFinding {
    /// The evidence, for a log: the rows by their ids, because they may be long and hold what is nobody's business there.
    var metadata: Logger.Metadata {
        let journal = journal?.changes.map { "\($0.id):\($0.subject) \($0.operation) \($0.keys)" } ?? []
        let now = [generations.namespace, generations.entity, generations.variant].map { $0?.description ?? "-" }
        let passes = passes.map { pass in
            pass.report.changes.map { "\($0.subject) \($0.operation)" }.joined(separator: ", ")
        }
        return [
            "cache": "\(cache)",
            "key": "\(key)",
            "variant": "\(name.variant)",
            "stamp": "\(stamp.text)",
            "generations": "\(now.joined(separator: " "))",
            "cached": "\(cached.map(\.id))",
            "database": "\(database.map { "\($0.map(\.id))" } ?? "unknown")",
            "difference": "\(difference?.text ?? "unknown")",
            "head": "\(head.text)",
            "journal": "\(journal.isEmpty ? "empty" : journal.joined(separator: "; "))",
            "passes": "\(passes.isEmpty ? "none known" : passes.joined(separator: "; "))",
        ]
    }
}
