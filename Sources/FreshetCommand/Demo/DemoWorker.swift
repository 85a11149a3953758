import InvalidationWorker
import Keyspace
import Logging
import Postgres
import Redis
import ServiceLifecycle
import Synchronization

/// The worker of the demonstration: it can be stopped and started, and what it tells is kept.
final class DemoWorker: Sendable {
    let events = EventLog()
    private let postgres: PostgresConfiguration
    private let redis: ApplyClock
    private let configuration: InvalidationWorker.Configuration
    private let logger: Logger
    private let running = Mutex<(group: ServiceGroup, task: Task<Void, any Error>)?>(nil)

    init(
        postgres: PostgresConfiguration,
        redis: any RedisClient,
        configuration: InvalidationWorker.Configuration,
        logger: Logger
    ) {
        self.postgres = postgres
        self.redis = ApplyClock(redis: redis)
        self.configuration = configuration
        self.logger = logger
    }

    /// Starts it, and waits until it vouches for the cache.
    func start() async throws {
        let place = events.end
        let events = events
        let redis = redis
        let worker = InvalidationWorker(
            postgres: postgres,
            redis: redis,
            configuration: configuration,
            logger: logger,
            onEvent: { events.append(EventLog.Entry(event: $0, appliedAt: redis.lastApplied)) }
        )
        let group = ServiceGroup(services: [worker], logger: logger)
        running.withLock { $0 = (group, Task { try await group.run() }) }
        try await vouched(from: place)
    }

    /// Lets it finish its pass and leave, and waits for that.
    func stop() async {
        guard let (group, task) = running.withLock({ $0.take() }) else { return }
        await group.triggerGracefulShutdown()
        // A group with one service that ends when told to has nothing to throw that matters at the end.
        _ = await task.result
    }

    /// Waits until it has renewed its promise.
    @discardableResult
    func vouched(from place: Int) async throws -> Int {
        try await events.first(from: place, "the worker to vouch for the cache") { entry in
            if case .vouched = entry.event { true } else { false }
        }.next
    }
}

/// Redis, with a look at the clock whenever something has been bumped: by a pass, or ahead of it.
private final class ApplyClock: RedisClient {
    private let redis: any RedisClient
    private let applied = Mutex<ContinuousClock.Instant?>(nil)

    init(redis: any RedisClient) {
        self.redis = redis
    }

    var lastApplied: ContinuousClock.Instant? { applied.withLock { $0 } }

    func send(_ batches: [RedisBatch], timeLimit: Duration?) async throws(RedisError) -> [[RedisReply]] {
        let replies = try await redis.send(batches, timeLimit: timeLimit)
        let bumps = batches.contains { batch in
            batch.commands.contains { element in
                guard case .script(let script, let keys, let arguments) = element else { return false }
                switch script.name {
                case KeyspaceScript.hint.name: return true
                // Of entities, or of the namespace: a pass may find everything bumped already.
                case KeyspaceScript.apply.name: return keys.count > 2 || arguments[7] == .string("1")
                default: return false
                }
            }
        }
        if bumps { applied.withLock { $0 = .now } }
        return replies
    }
}
