// Looks at the two servers for whoever asks, apart from the worker: also while it stands by, and while it cannot work. On a session
// with Postgres of its own, that is opened when somebody asks and closed when nobody has for a while, so that an endpoint nobody
// reads costs nothing. A look is shared by all who ask within a second, and one that succeeds takes at most a tenth of the time: a
// journal of millions of rows takes a while to count.

import InvalidationWorker
package import Keyspace
package import Logging
package import Postgres
package import Redis

/// Asks both servers how they are.
package actor ServersProbe {
    /// What a look found.
    struct Look: Sendable {
        var at: ContinuousClock.Instant
        var postgres: Result<JournalLook, Reason>
        var redis: Result<[HeadLook], Reason>
        /// The names of the caches, as Redis told them last; of the first where it never did.
        var caches: [String]
    }

    /// Why a server did not answer, in one line.
    struct Reason: Error, Hashable, Sendable {
        var text: String
    }

    /// What Postgres says.
    struct JournalLook: Hashable, Sendable {
        /// Up to ``ServersProbe/rowsCounted``.
        var rowCount: Int64
        /// Since the oldest row of these was written.
        var oldest: Duration?
        var leader: Session?
        var standbys: [Session]
    }

    /// A session of a worker.
    struct Session: Hashable, Sendable {
        var pid: Int64
        var applicationName: String
        var address: String
        var connected: Duration?
    }

    /// What Redis says of one cache.
    struct HeadLook: Hashable, Sendable {
        var cache: String
        var namespace: CacheNamespace
        var trust: Trust
        var generation: String?
        var vouched: Duration?
        var lease: Duration?
    }

    private let configuration: PostgresConfiguration
    private let redis: any RedisClient
    private let caches: [(name: String, namespace: CacheNamespace)]
    private let logger: Logger
    private let redact: @Sendable (String) -> String
    private var connection: PostgresConnection?
    private var last: Look?
    private var cacheNames: [String]
    private var underWay: Task<Look, Never>?
    private var closing: Task<Void, Never>?
    /// When a look may be taken again.
    private var nextAt = ContinuousClock.now

    /// So many rows of the journal are counted at the most, which takes less than the time limit: the larger it is, the more it matters
    /// that something is known of it.
    static let rowsCounted = 1_000_000
    private static let timeLimit = Duration.seconds(3)
    private static let interval = Duration.seconds(1)
    private static let idleTimeLimit = Duration.seconds(60)

    /// - Parameters:
    ///   - redis: Shared with whoever else uses it; it is not closed.
    ///   - namespace: That of the first cache; the others live beside it.
    ///   - redact: Takes secrets out of what a server said.
    package init(
        postgres: PostgresConfiguration,
        redis: any RedisClient,
        namespace: CacheNamespace,
        logger: Logger,
        redact: @escaping @Sendable (String) -> String
    ) {
        var configuration = postgres
        configuration.requiresReadWrite = true
        configuration.connectTimeLimit = Self.timeLimit
        configuration.queryTimeLimit = Self.timeLimit
        self.configuration = configuration
        self.redis = redis
        self.redact = redact
        self.logger = logger
        caches = Caches.all.enumerated().map { place, rules in
            (rules.name, place == 0 ? namespace : namespace.sibling(named: rules.name))
        }
        cacheNames = caches.prefix(1).map(\.name)
    }

    /// What both servers say, now or a second ago.
    func look() async -> Look {
        if let underWay { return await underWay.value }
        if let last, .now < nextAt { return last }
        let look = Task { await self.lookAgain() }
        underWay = look
        return await look.value
    }

    /// Ends the session.
    func close() async {
        closing?.cancel()
        await connection?.close()
        connection = nil
    }

    private func lookAgain() async -> Look {
        let start = ContinuousClock.now
        async let heads = lookAtRedis()
        let journal = await lookAtPostgres()
        let redis = await heads
        if let heads = redis.value { cacheNames = heads.map(\.cache) }
        let look = Look(at: .now, postgres: journal, redis: redis, caches: cacheNames)
        last = look
        // A server that failed may be well at once.
        let isWell = journal.isSuccess && redis.isSuccess
        nextAt = .now + (isWell ? max(Self.interval, start.duration(to: .now) * 10) : Self.interval)
        underWay = nil
        closing?.cancel()
        closing = Task { [weak self] in
            do {
                try await Task.sleep(for: Self.idleTimeLimit)
            } catch {
                return
            }
            await self?.close()
        }
        return look
    }

    private func reason(_ error: any Error) -> Reason { Reason(text: redact("\(error)")) }

    // MARK: Postgres

    private func lookAtPostgres() async -> Result<JournalLook, Reason> {
        do {
            let isNew = connection == nil
            do {
                return .success(try await journal(on: try await session()))
            } catch {
                await connection?.close()
                connection = nil
                // A session that was kept may have been ended meanwhile, which says nothing about the server. One that does not
                // answer does.
                guard !isNew, (error as? PostgresError)?.code != .timedOut else { throw error }
                return .success(try await journal(on: try await session()))
            }
        } catch {
            return .failure(reason(error))
        }
    }

    private func session() async throws -> PostgresConnection {
        if let connection { return connection }
        let opened = try await PostgresConnection.connect(configuration, logger: logger)
        connection = opened
        return opened
    }

    private func journal(on connection: PostgresConnection) async throws -> JournalLook {
        let found = try await connection.query(
            """
            SELECT count(*), (extract(epoch FROM clock_timestamp() - min(changed_at)) * 1000000)::bigint
            FROM (SELECT changed_at FROM freshet.change LIMIT \(Self.rowsCounted)) AS some
            """
        )
        var look = JournalLook(
            rowCount: try found.requiredInt64(0, 0),
            oldest: try found.int64(0, 1).map { .microseconds(max($0, 0)) },
            leader: nil,
            standbys: []
        )
        let workers = try await connection.query(JournalSessions.sql)
        for row in workers.rows {
            let session = Session(
                pid: try workers.requiredInt64(row, 1),
                applicationName: redact(workers.string(row, 2) ?? ""),
                address: workers.string(row, 3) ?? "local",
                connected: try workers.int64(row, 4).map { .microseconds(max($0, 0)) }
            )
            if try workers.requiredBool(row, 0) { look.leader = session } else { look.standbys.append(session) }
        }
        return look
    }

    // MARK: Redis

    private func lookAtRedis() async -> Result<[HeadLook], Reason> {
        let fields = Head.readerFields.map { RedisArgument.string($0) }
        let batches = caches.map { _, namespace in
            let key = namespace.headKey(bucket: 0)
            return RedisBatch(
                key: key,
                commands: [RedisCommand("HMGET", arguments: [.string(key)] + fields), RedisCommand("TIME")]
            )
        }
        do {
            let replies = try await redis.send(batches, timeLimit: Self.timeLimit)
            var looks: [HeadLook] = []
            for ((name, namespace), replies) in zip(caches, replies) where replies.count == 2 {
                // Something else may lie under the key; for a reader that is no head.
                let isDamaged = replies[0].error?.code == .wrongType
                let head = isDamaged ? Head.absent : Head(fields: (try replies[0].get().array ?? []).map(\.string))
                guard let time = try replies[1].get().serverTimeInMicroseconds else { continue }
                // A cache that nobody attached does not exist.
                if head.generation == nil && !looks.isEmpty { continue }
                let now = RedisTime(microseconds: time)
                looks.append(
                    HeadLook(
                        cache: name,
                        namespace: namespace,
                        trust: head.trust(at: now),
                        generation: head.generation?.description,
                        vouched: head.vouched.map { now.since($0) },
                        lease: head.lease
                    )
                )
            }
            return .success(looks)
        } catch {
            return .failure(reason(error))
        }
    }
}
