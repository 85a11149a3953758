import Keyspace
import Logging
import Postgres

/// The worker's session with Postgres: leadership, the claim and its transaction.
///
/// Everything happens on one connection, because that is what makes it safe: the advisory lock and the claims live and die
/// together. Not to be used by two tasks at once.
actor Journal: JournalSession {
    /// That of the connection, so that no other thread has to be woken for what is asked of it.
    nonisolated var unownedExecutor: UnownedSerialExecutor { connection.unownedExecutor }

    private nonisolated let connection: PostgresConnection
    private let logger: Logger
    private let caches: [any CacheRules]
    /// The attached tables of each cache; nil where they must be asked for.
    private var attachedNames: [String: AttachedNames]?
    /// The names of the claims that are prepared, by the caches whose facts they look up.
    private var preparedClaims: [Set<String>: String] = [:]

    /// How long a claim may take: as long as it does.
    ///
    /// A backlog of any size is deleted by one statement, and what was cut short once would be cut short again. That the server
    /// is gone, TCP tells.
    private static let claimTimeLimit: Duration = .seconds(24 * 60 * 60)

    /// Above so many rows a batch is resolved as one change of the namespace.
    private let collapseThreshold: Int64
    private let claimWait: ClaimWait

    private init(
        connection: PostgresConnection,
        caches: [any CacheRules],
        collapseThreshold: Int64,
        claimWait: ClaimWait,
        logger: Logger
    ) {
        self.connection = connection
        self.caches = caches
        self.collapseThreshold = collapseThreshold
        self.claimWait = claimWait
        self.logger = logger
    }

    /// Opens a session and sets it up.
    ///
    /// - Throws: `PostgresError`, or ``WorkerError`` where the session cannot serve a worker.
    static func open(
        _ configuration: PostgresConfiguration,
        caches: [any CacheRules],
        collapseThreshold: Int64,
        claimWait: ClaimWait = ClaimWait(),
        logger: Logger
    ) async throws -> Journal {
        var configuration = configuration
        configuration.requiresReadWrite = true
        let connection = try await PostgresConnection.connect(configuration, logger: logger)
        do {
            let backend = try await connection.query("SELECT pg_backend_pid()").int64(0, 0)
            guard backend == Int64(connection.backendPID) else { throw WorkerError.pooled }
            try await connection.run(script: sessionSettings)
            return Journal(
                connection: connection,
                caches: caches,
                collapseThreshold: collapseThreshold,
                claimWait: claimWait,
                logger: logger
            )
        } catch {
            await connection.close()
            throw error
        }
    }

    /// Makes a claim and undoes it, so that whatever is missing is found at once.
    func checkSetup() async throws {
        do {
            _ = try await notifies()
            _ = try await readIdentity()
            try await begin()
            _ = try await execute(
                PumpStateMachine.ClaimRequest(floor: nil, nextMark: ""),
                facts: [:]
            )
            try await rollBack()
        } catch let error as PostgresError where error.sqlState?.isAboutMissingObject == true {
            throw WorkerError.schemaMissing
        }
    }

    /// Whether the triggers notify, so that waiting for a notification is enough between polls.
    func notifies() async throws -> Bool {
        let result = try await connection.query(Self.notifies)
        return try result.rowCount > 0 && result.bool(0, 0) == true
    }

    /// Tries to become the leader; false where another session is.
    func tryToLead() async throws -> Bool {
        try await connection.query(Self.tryLock).bool(0, 0) == true
    }

    /// The session that holds the lock.
    func leader() async throws -> Int64? {
        let found = try await connection.query(Self.lockHolder)
        return found.rowCount > 0 ? try found.int64(0, 0) : nil
    }

    /// Begins to listen, and returns which Postgres this is, with a token.
    func takeOver() async throws -> PostgresIdentity {
        try await connection.run(script: Self.listen)
        if let identity = try await readIdentity(), identity.incarnation != nil { return identity }
        try await connection.run(script: Self.newIncarnation)
        guard let identity = try await readIdentity(), identity.incarnation != nil else {
            throw WorkerError.notAPrimary
        }
        return identity
    }

    /// Begins to listen, or ends it while another session listens.
    func listen(_ isListening: Bool) async throws {
        try await connection.run(script: isListening ? Self.listen : Self.unlisten)
    }

    private func readIdentity() async throws -> PostgresIdentity? {
        try await connection.query(Self.identity).string(0, 0).flatMap { PostgresIdentity($0) }
    }

    /// Waits for a change to be notified, until `deadline` at the most.
    ///
    /// All that have arrived by then are answered together: the snapshot of the next claim is younger than any of them.
    func waitForChange(until deadline: ContinuousClock.Instant) async throws -> Bool {
        guard try await connection.nextNotification(until: deadline) != nil else { return false }
        _ = await connection.takeNotifications()
        return true
    }

    /// Waits until `deadline`, whatever is notified, and keeps reading: the server holds for us what we do not read.
    func pause(until deadline: ContinuousClock.Instant) async throws {
        while ContinuousClock.now < deadline { _ = try await waitForChange(until: deadline) }
    }

    /// Opens a transaction, and claims in it everything that is visible.
    ///
    /// - Throws: ``FactsUnreadable`` where only the application's tables stood in the way; the transaction is over then.
    func claim(_ request: PumpStateMachine.ClaimRequest) async throws -> Claim {
        for _ in 0..<3 {
            let names = try await currentNames()
            var problems = request.factsProblems
            var facts: [String: AttachedNames] = [:]
            for rules in caches where problems[rules.name] == nil {
                guard let tables = names[rules.name] else { continue }
                if rules.factQueries(tables, ClaimedKeys(cache: rules.name)) == nil {
                    problems[rules.name] = "freshet.attachment is incomplete: attach the tables of \(rules.name) again"
                } else {
                    facts[rules.name] = tables
                }
            }
            do {
                try await begin()
                let claim = try await execute(request, facts: facts, factsProblems: problems)
                let isOfThisSnapshot = claim.caches.allSatisfy {
                    $0.attachments == names[$0.cache]?.attachments ?? ""
                }
                if isOfThisSnapshot { return claim }
                // Other tables were attached since, and the facts must come from the claim's own snapshot: once more.
                try await rollBack()
                try await forgetNames()
            } catch let error as PostgresError where error.isAboutTables && !facts.isEmpty {
                try await rollBack()
                let unreadable = try await unreadable(facts)
                try await forgetNames()
                // Where each can be read by itself, it was a value of a row, and nobody knows whose.
                let problems = unreadable.isEmpty ? facts.mapValues { _ in error.message } : unreadable
                throw FactsUnreadable(problems: problems)
            }
        }
        let problem = "freshet.attachment changes all the time"
        throw FactsUnreadable(problems: Dictionary(uniqueKeysWithValues: caches.map { ($0.name, problem) }))
    }

    /// The caches whose tables cannot be read, and why: so that one cache's trouble is not another's.
    private func unreadable(_ facts: [String: AttachedNames]) async throws -> [String: String] {
        var problems: [String: String] = [:]
        // One alone is the culprit, whatever it is.
        guard facts.count > 1 else { return problems }
        for rules in caches {
            guard let tables = facts[rules.name] else { continue }
            do {
                for probe in Self.probe(rules, tables) { _ = try await connection.query(probe) }
            } catch let error as PostgresError where error.isAboutTables {
                problems[rules.name] = error.message
            }
        }
        return problems
    }

    /// Writes what the pass acknowledges, and commits.
    func commit(_ acknowledgements: [PassPlan.Acknowledgement]) async throws {
        for acknowledgement in acknowledgements {
            _ = try await connection.query(
                Self.acknowledge,
                [
                    PostgresParameter(acknowledgement.mark), PostgresParameter(acknowledgement.triggers),
                    PostgresParameter(acknowledgement.cache),
                ]
            )
        }
        try await connection.run(script: "COMMIT")
    }

    func rollBack() async throws {
        try await connection.run(script: "ROLLBACK")
    }

    /// Ends the session, and with it the leadership.
    func close() async {
        await connection.close()
    }

    private func begin() async throws {
        try await connection.run(script: "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE")
    }

    private func execute(
        _ request: PumpStateMachine.ClaimRequest,
        facts: [String: AttachedNames],
        factsProblems: [String: String] = [:]
    ) async throws -> Claim {
        let form = Set(facts.keys)
        let name = preparedClaims[form] ?? (["freshet_claim"] + form.sorted()).joined(separator: "_")
        if preparedClaims[form] == nil {
            try await connection.prepare(name, Self.claim(caches, facts: facts))
            preparedClaims[form] = name
        }
        claimWait.begin()
        defer { claimWait.end() }
        let result = try await connection.execute(
            prepared: name,
            [
                PostgresParameter(request.floor?.xmax ?? "0"),
                PostgresParameter("{\(request.floor?.inProgress.joined(separator: ",") ?? "")}"),
                PostgresParameter(request.nextMark),
                PostgresParameter(String(collapseThreshold)),
            ],
            timeLimit: Self.claimTimeLimit
        )
        return try Claim(
            result,
            rules: caches,
            factsProblems: factsProblems,
            collapseThreshold: collapseThreshold,
            received: .now
        )
    }

    private func currentNames() async throws -> [String: AttachedNames] {
        if let attachedNames { return attachedNames }
        let loaded = try AttachedNames.byCache(try await connection.query(Self.attachedNames))
        attachedNames = loaded
        return loaded
    }

    /// Forgets the tables, and with them the claims that read any.
    private func forgetNames() async throws {
        attachedNames = nil
        for (form, name) in preparedClaims where !form.isEmpty {
            try await connection.run(script: "DEALLOCATE \(name)")
            preparedClaims[form] = nil
        }
    }
}

extension AttachedNames {
    /// Reads what ``Journal/attachedNames`` selects.
    static func byCache(_ result: borrowing QueryResult) throws -> [String: AttachedNames] {
        var loaded: [String: AttachedNames] = [:]
        for row in result.rows {
            let cache = try result.requiredString(row, 0)
            let subject = try result.requiredString(row, 1)
            var names = loaded[cache] ?? AttachedNames()
            let name = try result.requiredString(row, 2)
            var table = names.tables[subject] ?? AttachedNames.Table(name: name, columns: [:])
            table.columns[try result.requiredString(row, 3)] = result.string(row, 4)
            names.tables[subject] = table
            names.attachments = try result.requiredString(row, 5)
            loaded[cache] = names
        }
        return loaded
    }
}

extension PostgresError {
    /// Whether a statement failed by what a table is: missing, renamed, retyped, not granted, or hidden by a policy.
    var isAboutTables: Bool {
        guard let sqlState else { return false }
        // Class 42 is "syntax error or access rule violation", 22 "data exception": a retyped column that no longer casts.
        return sqlState.rawValue.hasPrefix("42") || sqlState.rawValue.hasPrefix("22")
    }
}

extension SQLState {
    fileprivate var isAboutMissingObject: Bool {
        [.undefinedTable, .undefinedColumn, .undefinedFunction, .invalidSchemaName].contains(self)
    }
}
