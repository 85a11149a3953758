import Keyspace
import Logging
import Postgres

/// The worker's session with Postgres: leadership, the claim and its transaction.
///
/// Everything happens on one connection, because that is what makes it safe: the advisory lock, the LISTEN and the claims
/// live and die together. Not to be used by two tasks at once.
actor Journal {
    private let connection: PostgresConnection
    private let logger: Logger
    /// The tables that the prepared claim reads; nil where nothing is attached.
    private var factTables: FactTables?
    private var preparedClaims: Set<PreparedClaim> = []

    private enum PreparedClaim: String {
        case withFacts = "freshet_claim"
        case withoutFacts = "freshet_claim_without_facts"
    }

    /// How long a claim may take: as long as it does.
    ///
    /// A backlog of any size is deleted by one statement, and what was cut short once would be cut short again. That the server
    /// is gone, TCP tells.
    private static let claimTimeLimit: Duration = .seconds(24 * 60 * 60)

    /// Above so many rows a batch is resolved as one change of the namespace.
    private let collapseThreshold: Int64

    private init(connection: PostgresConnection, collapseThreshold: Int64, logger: Logger) {
        self.connection = connection
        self.collapseThreshold = collapseThreshold
        self.logger = logger
    }

    /// Opens a session and sets it up.
    ///
    /// - Throws: `PostgresError`, or ``WorkerError`` where the session cannot serve a worker.
    static func open(
        _ configuration: PostgresConfiguration,
        collapseThreshold: Int64,
        logger: Logger
    ) async throws -> Journal {
        var configuration = configuration
        configuration.requiresReadWrite = true
        let connection = try await PostgresConnection.connect(configuration, logger: logger)
        do {
            let backend = try await connection.query("SELECT pg_backend_pid()").int64(0, 0)
            guard backend == Int64(connection.backendPID) else { throw WorkerError.pooled }
            try await connection.run(script: sessionSettings)
            return Journal(connection: connection, collapseThreshold: collapseThreshold, logger: logger)
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
                PumpStateMachine.ClaimRequest(floor: nil, nextMark: "", factsProblem: nil),
                factTables: nil
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

    private func readIdentity() async throws -> PostgresIdentity? {
        try await connection.query(Self.identity).string(0, 0).flatMap { PostgresIdentity($0) }
    }

    /// Waits for a change to be notified, until `deadline` at the most.
    ///
    /// All that have arrived by then are answered together: the snapshot of the next claim is younger than any of them.
    func waitForChange(until deadline: ContinuousClock.Instant) async throws {
        _ = try await connection.nextNotification(until: deadline)
        await connection.discardNotifications()
    }

    /// Waits until `deadline`, whatever is notified, and keeps reading: the server holds for us what we do not read.
    func pause(until deadline: ContinuousClock.Instant) async throws {
        while ContinuousClock.now < deadline { try await waitForChange(until: deadline) }
    }

    /// Opens a transaction, and claims in it everything that is visible.
    ///
    /// - Throws: ``FactsUnreadable`` where only the application's tables stood in the way; the transaction is over then.
    func claim(_ request: PumpStateMachine.ClaimRequest) async throws -> Claim {
        if let problem = request.factsProblem {
            try await begin()
            var claim = try await execute(request, factTables: nil)
            claim.factsProblem = problem
            return claim
        }
        for _ in 0..<3 {
            let factTables = try await currentFactTables()
            do {
                try await begin()
                let claim = try await execute(request, factTables: factTables)
                if claim.attachments == factTables?.attachments ?? "" { return claim }
                // Other tables were attached since, and the facts must come from the claim's own snapshot: once more.
                try await rollBack()
                try await forgetFactTables()
            } catch let error as PostgresError where error.isAboutTables {
                try await rollBack()
                try await forgetFactTables()
                throw FactsUnreadable(problem: error.message)
            }
        }
        throw FactsUnreadable(
            problem: "freshet.attachment is incomplete, or changes all the time: run freshet.attach(…)"
        )
    }

    /// Writes what the pass acknowledges, and commits.
    func commit(_ acknowledgement: PassPlan.Acknowledgement?) async throws {
        if let acknowledgement {
            _ = try await connection.query(
                Self.acknowledge,
                [PostgresParameter(acknowledgement.mark), PostgresParameter(acknowledgement.triggers)]
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

    private func execute(_ request: PumpStateMachine.ClaimRequest, factTables: FactTables?) async throws -> Claim {
        let name = factTables == nil ? PreparedClaim.withoutFacts : .withFacts
        if !preparedClaims.contains(name) {
            try await connection.prepare(name.rawValue, Self.claim(facts: factTables))
            preparedClaims.insert(name)
        }
        let result = try await connection.execute(
            prepared: name.rawValue,
            [
                PostgresParameter(request.floor?.xmax ?? "0"),
                PostgresParameter("{\(request.floor?.inProgress.joined(separator: ",") ?? "")}"),
                PostgresParameter(request.nextMark),
                PostgresParameter(String(collapseThreshold)),
            ],
            timeLimit: Self.claimTimeLimit
        )
        return try Claim(result, hasFacts: factTables != nil, collapseThreshold: collapseThreshold)
    }

    private func currentFactTables() async throws -> FactTables? {
        if let factTables { return factTables }
        let result = try await connection.query(Self.factTables)
        guard result.rowCount == 1 else { return nil }
        func name(_ column: Int) -> String { result.string(0, column) ?? "" }
        let loaded = FactTables(
            workflow: name(0),
            workflowID: name(1),
            workflowEnvironment: name(2),
            link: name(3),
            linkDetector: name(4),
            linkWorkflow: name(5),
            attachments: name(6)
        )
        factTables = loaded
        return loaded
    }

    private func forgetFactTables() async throws {
        factTables = nil
        if preparedClaims.remove(.withFacts) != nil {
            try await connection.run(script: "DEALLOCATE \(PreparedClaim.withFacts.rawValue)")
        }
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

/// The attached tables cannot be read, so that a batch can only be resolved coarsely.
struct FactsUnreadable: Error {
    var problem: String
}
