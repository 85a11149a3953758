// Gathers the facts of both servers and decides nothing. What the two say of each other (a mark, an identity) is read again where
// they differ: a pass may be under way between one look and the next.

package import Keyspace
package import Logging
package import Postgres
package import Redis

/// Looks at a Postgres and a Redis, and changes nothing there.
package struct Doctor: Sendable {
    let postgres: PostgresConfiguration
    let redis: RedisConfiguration
    let namespace: CacheNamespace
    let version: String
    let logger: Logger

    /// How often marks are compared that differ, with a pause between; a pass takes less.
    private static let comparisons = 10
    private static let pause: Duration = .milliseconds(200)

    /// - Parameters:
    ///   - namespace: That of the first cache.
    ///   - version: The program's own.
    package init(
        postgres: PostgresConfiguration,
        redis: RedisConfiguration,
        namespace: CacheNamespace,
        version: String,
        logger: Logger
    ) {
        self.postgres = postgres
        self.redis = redis
        self.namespace = namespace
        self.version = version
        self.logger = logger
    }

    /// What was found, and what went wrong where a server could not be asked.
    package struct Examination: Sendable {
        package var facts: Facts
        package var postgresError: (any Error)?
        package var redisError: (any Error)?
    }

    /// Looks at both servers.
    ///
    /// - Throws: Only where the task was cancelled.
    package func examine() async throws -> Examination {
        let node = RedisNode(redis, logger: Logger(label: "freshet") { _ in SwiftLogNoOpLogHandler() })
        let examination: Result<Examination, any Error>
        do { examination = .success(try await examine(node)) } catch { examination = .failure(error) }
        await node.close()
        return try examination.get()
    }

    private func examine(_ node: RedisNode) async throws -> Examination {
        var examination = Examination(
            facts: Facts(
                postgres: .unreachable(""),
                redis: .unreachable(""),
                version: version,
                namespace: namespace
            )
        )
        let connection: PostgresConnection?
        do {
            connection = try await PostgresConnection.connect(postgres, logger: logger)
        } catch {
            connection = nil
            examination.postgresError = error
            examination.facts.postgres = .unreachable("\(error)")
        }
        if let connection {
            do {
                var facts = try await PostgresExamination.facts(on: connection)
                facts.sessions = try await SessionExamination.facts(
                    on: connection,
                    postgres,
                    isInRecovery: facts.server.isInRecovery,
                    logger: logger
                )
                examination.facts.postgres = .reached(facts)
            } catch {
                examination.postgresError = error
                examination.facts.postgres = .unreachable("\(error)")
            }
        }
        try Task.checkCancellation()
        await examineRedis(node, connection, &examination)
        await connection?.close()
        try Task.checkCancellation()
        return examination
    }

    private func examineRedis(
        _ node: RedisNode,
        _ connection: PostgresConnection?,
        _ examination: inout Examination
    ) async {
        let redisExamination = RedisExamination(redis: node, configuration: redis, namespace: namespace)
        do {
            var facts = try await redisExamination.facts()
            let tables = examination.facts.postgres.facts?.tables.value ?? []
            let caches = Set(tables.map(\.cache)).union([Diagnosis.firstCache]).sorted()
            facts.heads = try await redisExamination.heads(caches)
            examination.facts.redis = .reached(facts)
        } catch {
            examination.redisError = error
            examination.facts.redis = .unreachable("\(error)")
        }
        guard let connection else { return }
        do {
            try await compareMarks(redisExamination, connection, &examination)
        } catch {
            // A server went away meanwhile: there is nothing to compare.
            examination.facts.postgres.update { $0.marks = .unknown("\(error)") }
        }
    }

    /// Reads marks that differ until they do not, or have not moved for a while.
    private func compareMarks(
        _ redisExamination: RedisExamination,
        _ connection: PostgresConnection,
        _ examination: inout Examination
    ) async throws {
        guard let postgres = examination.facts.postgres.facts, var redis = examination.facts.redis.facts else { return }
        let first = postgres.marks
        let heads = redis.heads
        var marks = first
        for attempt in 0..<Self.comparisons where Diagnosis.marksDiffer(marks, redis.heads) {
            if attempt > 0 { try await Task.sleep(for: Self.pause) }
            marks = try await PostgresExamination.marks(on: connection)
            redis.heads = try await redisExamination.heads(Array(heads.keys))
        }
        for (cache, head) in redis.heads {
            guard case .known(var head) = head else { continue }
            let before = heads[cache]?.value?.mark
            head.isMarkSteady = head.mark == before && marks.value?[cache] == first.value?[cache]
            redis.heads[cache] = .known(head)
        }
        let latest = marks
        examination.facts.postgres.update { $0.marks = latest }
        examination.facts.redis = .reached(redis)
    }
}

extension Examined {
    fileprivate mutating func update(_ change: (inout Facts) -> Void) {
        guard case .reached(var facts) = self else { return }
        change(&facts)
        self = .reached(facts)
    }
}
