import InvalidationWorker
import Keyspace
import Logging
import Postgres
import Redis
import Synchronization

/// The settings of a worker that runs: some can be read again, the others hold until the next start.
final class LiveSettings: Sendable {
    /// What is logged.
    let threshold: LogThreshold
    private let read: @Sendable () throws(Failure) -> Settings
    private let current: Mutex<Settings>

    /// - Parameter read: Reads them from where they came from.
    /// - Throws: ``Failure`` as `read` does.
    init(_ read: @escaping @Sendable () throws(Failure) -> Settings) throws(Failure) {
        let settings = try read()
        self.read = read
        threshold = LogThreshold(settings.logLevel ?? .info)
        current = Mutex(settings)
    }

    /// The settings in force.
    var settings: Settings { current.withLock { $0 } }

    /// How often the worker looks.
    var intervals: WorkerIntervals { current.withLock { $0.intervals } }

    /// Reads the settings again, and says what became of it.
    ///
    /// A mistake changes nothing.
    func reload(_ logger: Logger) {
        let fresh: Settings
        do {
            fresh = try read()
        } catch {
            logger.error("Settings are not read again; the old ones stay", metadata: ["error": "\(error)"])
            return
        }
        let waiting = current.withLock { settings in
            settings.logLevel = fresh.logLevel
            settings.pollInterval = fresh.pollInterval
            settings.standbyInterval = fresh.standbyInterval
            return settings.differences(from: fresh)
        }
        threshold.level = fresh.logLevel ?? .info
        logger.notice(
            "Settings were read again",
            metadata: [
                "log-level": "\(threshold.level)", "poll": "\(intervals.poll)", "standby": "\(intervals.leadership)",
            ]
        )
        if !waiting.isEmpty {
            logger.warning(
                "Some settings were changed that hold from the next start on",
                metadata: ["settings": "\(waiting.map(\.rawValue).joined(separator: ", "))"]
            )
        }
    }
}

extension Settings {
    /// How often a worker looks: several passes fit into a lease, however short it is.
    var intervals: WorkerIntervals {
        WorkerIntervals(poll: min(pollInterval, limits.lease / 4), leadership: standbyInterval)
    }

    /// The settings that a worker takes at its start, and that are others there.
    fileprivate func differences(from other: Settings) -> [SettingsKey] {
        var keys: [SettingsKey] = []
        func compare(_ key: SettingsKey, _ isSame: Bool) { if !isSame { keys.append(key) } }
        compare(.postgres, postgres.connectionString == other.postgres.connectionString)
        compare(.redis, redis == other.redis)
        compare(.prefix, namespace.prefix == other.namespace.prefix)
        compare(.namespace, namespace.name == other.namespace.name)
        compare(.leaseSeconds, limits.lease == other.limits.lease)
        compare(.auditRate, auditRate == other.auditRate)
        compare(.auditPostgres, auditPostgres?.connectionString == other.auditPostgres?.connectionString)
        return keys
    }
}
