import ArgumentParser
import InvalidationWorker
import Keyspace
import Logging
import Postgres
import Redis

/// `freshet status`: one screen.
struct StatusCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status",
        abstract: "Shows whether the cache can be relied on: journal, lease, leader, generation, triggers.",
        discussion: """
            Ends with 1 where something is not well, having said what.

            The role needs freshet_worker.

            EXAMPLE
              $ freshet status
              $ freshet status --json | jq .lease.trust
            """
    )

    @Flag(help: "Print one JSON object.")
    var json = false

    @OptionGroup(title: "Settings")
    var options: SettingsOptions

    func run() async throws {
        let settings = try options.resolve()
        let journal = try await withPostgres(settings) { try await JournalStatus(reading: $0) }
        let redis = RedisNode(settings.redis, logger: settings.logger(.error))
        let heads: Result<[HeadStatus], any Error>
        do {
            var found = [try await HeadStatus.read(from: redis, settings.namespace)]
            for cache in journal.furtherCaches {
                found.append(try await HeadStatus.read(from: redis, settings.namespace.sibling(named: cache)))
            }
            heads = .success(found)
        } catch {
            heads = .failure(error)
        }
        await redis.close()
        let found = try heads.get()
        let report = StatusReport(
            namespace: settings.namespace,
            journal: journal,
            head: found[0],
            further: zip(journal.furtherCaches, found.dropFirst()).map { ($0, $1) }
        )
        try Terminal.write(json ? report.json.line : report.text(Terminal.standardOutput()))
        guard report.problems.isEmpty else { throw ExitStatus.unwell.exitCode }
    }
}

/// What Postgres says: one snapshot of it.
struct JournalStatus: Sendable {
    /// An attached table.
    struct Table: Sendable {
        var cache: String
        var subject: String
        var name: String
        /// Whether every trigger is there and fires.
        var areTriggersEnabled: Bool
        /// Whether nothing at all is wrong with the table.
        var isWell: Bool
        /// What is wrong and how it is mended.
        var problem: String?
    }

    /// The session that leads.
    struct Leader: Sendable {
        var processIdentifier: Int64
        var applicationName: String?
        /// When it connected, in seconds before now.
        var connectedSeconds: Double?
    }

    var rowCount: Int64
    var oldestSeconds: Double?
    var identity: String
    var leader: Leader?
    var tables: [Table]

    /// The attached caches beside the one that `--namespace` names.
    var furtherCaches: [String] {
        Set(tables.map(\.cache)).subtracting(["workflows"]).sorted()
    }

    /// - Throws: `PostgresError`; ``Failure`` where the schema is missing.
    init(reading connection: PostgresConnection) async throws {
        let exists = try await connection.query("SELECT to_regnamespace('freshet') IS NOT NULL")
        guard try exists.requiredBool(0, 0) else {
            throw Failure(.configuration, "schema freshet: missing in this database; run freshet migrate")
        }
        let journal = try await connection.query(
            """
            SELECT count(*), extract(epoch FROM clock_timestamp() - min(changed_at))::float8, freshet.identity()
            FROM freshet.change
            """
        )
        rowCount = try journal.requiredInt64(0, 0)
        oldestSeconds = try journal.double(0, 1)
        identity = try journal.requiredString(0, 2)

        // An advisory lock of one bigint shows its halves, and 1 as the third number.
        let key = UInt64(bitPattern: Leadership.advisoryLockKey)
        let lock = try await connection.query(
            """
            SELECT lock.pid, session.application_name,
                extract(epoch FROM clock_timestamp() - session.backend_start)::float8
            FROM pg_locks AS lock LEFT JOIN pg_stat_activity AS session ON session.pid = lock.pid
            WHERE lock.locktype = 'advisory' AND lock.granted
                AND lock.database = (SELECT oid FROM pg_database WHERE datname = current_database())
                AND lock.classid::bigint = $1 AND lock.objid::bigint = $2 AND lock.objsubid = 1
            """,
            [PostgresParameter(key >> 32), PostgresParameter(key & 0xFFFF_FFFF)]
        )
        leader =
            lock.rowCount == 0
            ? nil
            : Leader(
                processIdentifier: try lock.requiredInt64(0, 0),
                applicationName: lock.string(0, 1),
                connectedSeconds: try lock.double(0, 2)
            )

        let attached = try await connection.query(
            """
            SELECT attached.subject, format('%I.%I', attachment.schema_name, attachment.table_name),
                attached.ok, attached.problem, attached.triggers_enabled, attached.cache
            FROM freshet.attached JOIN freshet.attachment USING (subject)
            ORDER BY attached.cache <> 'workflows', attached.cache, attached.subject
            """
        )
        var tables: [Table] = []
        for row in attached.rows {
            tables.append(
                Table(
                    cache: try attached.requiredString(row, 5),
                    subject: try attached.requiredString(row, 0),
                    name: attached.string(row, 1) ?? "",
                    areTriggersEnabled: try attached.bool(row, 4) == true,
                    isWell: try attached.bool(row, 2) == true,
                    problem: attached.string(row, 3)
                )
            )
        }
        self.tables = tables
    }
}

/// What Redis says of the namespace.
struct HeadStatus: Sendable {
    var trust: Trust
    var head: Head
    /// How long ago, by the clock of Redis, the worker vouched.
    var vouchedSeconds: Double?
    /// Why there is nothing to tell.
    var unreachable: String?

    /// - Throws: ``RedisError`` where the login is refused, and `RedisServerError`; not where Redis is away.
    static func read(from redis: RedisNode, _ namespace: CacheNamespace) async throws -> HeadStatus {
        let key = namespace.headKey(bucket: 0)
        let fields = ([key] + Head.readerFields).map { RedisArgument.string($0) }
        let batch = RedisBatch(
            key: key,
            commands: [RedisCommand("HMGET", arguments: fields), RedisCommand("TIME")],
            isTransaction: true
        )
        let answers: [[RedisReply]]
        do {
            answers = try await redis.send([batch])
        } catch {
            guard error.isRetryable else { throw error }
            return HeadStatus(trust: .unreachable, head: .absent, unreachable: Failure(classifying: error).message)
        }
        let replies = answers.first ?? []
        guard replies.count == 2 else {
            throw replies.first?.error ?? RedisServerError(line: "no answer to HMGET and TIME")
        }
        // Something else may lie under the key; the worker removes it. For a reader that is no head.
        let isDamaged = replies[0].error?.code == .wrongType
        let head = isDamaged ? Head.absent : Head(fields: (try replies[0].get().array ?? []).map(\.string))
        guard let time = try replies[1].get().serverTimeInMicroseconds else {
            throw RedisServerError(line: "no answer to TIME")
        }
        let now = RedisTime(microseconds: time)
        return HeadStatus(
            trust: head.trust(at: now),
            head: head,
            vouchedSeconds: head.vouched.map { Double(now.since($0).wholeMicroseconds) / 1_000_000 }
        )
    }
}
