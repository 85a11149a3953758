import Logging
import Postgres

/// A session that hears of changes, and looks up what resolves them.
actor PostgresHintSession: HintSession {
    private nonisolated let connection: PostgresConnection
    private let caches: [any CacheRules]
    private let names: [String: AttachedNames]
    /// Where what was heard is dealt with; nil for anywhere.
    private let executor: (any TaskExecutor)?
    private var lookUps: [String: LookUp] = [:]

    /// Left to itself Postgres plans the look-ups anew each time, which takes ten times as long as they do (0.14 and 0.014 ms).
    private static let settings = "SET plan_cache_mode = force_generic_plan;"

    /// Of more facts than these the claim had better take care.
    private static let factLimit = 8_192

    /// That of the connection, whose thread is awake when something has been heard.
    nonisolated var unownedExecutor: UnownedSerialExecutor { connection.unownedExecutor }

    private init(
        connection: PostgresConnection,
        caches: [any CacheRules],
        names: [String: AttachedNames],
        executor: (any TaskExecutor)?
    ) {
        self.connection = connection
        self.caches = caches
        self.names = names
        self.executor = executor
    }

    /// Opens a session that listens.
    ///
    /// - Parameter executor: Where what is heard is dealt with; nil for anywhere.
    /// - Throws: `PostgresError`.
    static func open(
        _ configuration: PostgresConfiguration,
        caches: [any CacheRules],
        executor: (any TaskExecutor)?,
        logger: Logger
    ) async throws -> PostgresHintSession {
        var configuration = configuration
        configuration.requiresReadWrite = true
        let connection = try await PostgresConnection.connect(configuration, logger: logger)
        do {
            try await connection.run(script: "\(Journal.sessionSettings)\n\(settings)\n\(Journal.listen)")
            let names = try AttachedNames.byCache(try await connection.query(Journal.attachedNames))
            return PostgresHintSession(connection: connection, caches: caches, names: names, executor: executor)
        } catch {
            await connection.close()
            throw error
        }
    }

    func hear(
        _ isWanted: @Sendable (String) -> Bool,
        others: @Sendable () -> Void,
        _ body: @Sendable ([HeardChanges]) async -> Void
    ) async throws -> Never {
        while true {
            // Whoever notifies without end must not keep a session from its end.
            try Task.checkCancellation()
            guard let first = try await connection.nextNotification(until: .now + .seconds(60)) else { continue }
            let payloads = ([first] + (await connection.takeNotifications())).map(\.payload)
            let heard = HeardNotifications(payloads, isWanted)
            if !heard.isAll { others() }
            if heard.changes.isEmpty { continue }
            var resolvable = heard.changes
            for place in resolvable.indices {
                let changes = resolvable[place]
                resolvable[place].facts = try await facts(of: changes.rows, for: changes.cache)
            }
            let changes = resolvable
            await withTaskExecutorPreference(executor) { await body(changes) }
        }
    }

    /// What resolves some rows of one cache, looked up now; nil for too much, or where the cache is not attached.
    func facts(of rows: [JournalRow], for cache: String) async throws -> [FactRow]? {
        guard let lookUp = try await lookUp(for: cache) else { return nil }
        let keys = lookUp.keys.map { key in
            Set(
                rows.lazy.filter { $0.subject == key.subject }.flatMap { $0.integers[key.column] ?? [] }.compactMap(
                    \.self
                )
            )
        }
        if keys.allSatisfy(\.isEmpty) { return [] }
        let result = try await connection.execute(
            prepared: lookUp.statement,
            keys.map { PostgresParameter(ArrayText.encode(integers: $0.sorted())) }
        )
        guard result.rowCount <= Self.factLimit else { return nil }
        return try result.rows.map { row in
            FactRow(
                kind: try result.requiredString(row, 0),
                number1: try result.int64(row, 1),
                number2: try result.int64(row, 2),
                text1: result.string(row, 3),
                text2: result.string(row, 4)
            )
        }
    }

    /// The look-ups of a claim, with the keys as parameters.
    private func lookUp(for cache: String) async throws -> LookUp? {
        if let lookUp = lookUps[cache] { return lookUp }
        guard let tables = names[cache], let rules = caches.first(where: { $0.name == cache }) else { return nil }
        let keys = Keys()
        guard let queries = rules.factQueries(tables, ClaimedKeys(keys.parameter)) else { return nil }
        let parts = queries.map { query in
            """
            SELECT '\(query.kind)', number1, number2, text1, text2
            FROM (\(query.sql)) AS fact (number1, number2, text1, text2)
            """
        }
        let lookUp = LookUp(statement: "freshet_hint_\(cache)", keys: keys.columns)
        try await connection.prepare(
            lookUp.statement,
            "\(parts.joined(separator: "\nUNION ALL\n"))\nLIMIT \(Self.factLimit + 1)"
        )
        lookUps[cache] = lookUp
        return lookUp
    }

    /// A column of the journal, of the rows of a subject.
    private typealias KeyColumn = (subject: String, column: String)

    /// A statement, and what its parameters hold.
    private struct LookUp {
        var statement: String
        var keys: [KeyColumn]
    }

    /// Numbers the parameters while a statement is written.
    private final class Keys {
        var columns: [KeyColumn] = []

        func parameter(_ column: String, of subject: String) -> String {
            columns.append((subject, column))
            return "$\(columns.count)::bigint[]"
        }
    }

    func close() async {
        await connection.close()
    }
}
