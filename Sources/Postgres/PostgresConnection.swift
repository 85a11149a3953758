import CLibPQ
public import Logging

// One session with a Postgres server.
//
// The actor runs on a thread of its own (see ConnectionThread), on which every call of libpq is made. Nothing blocks
// there but name resolution: statements are sent and read in libpq's non-blocking mode, and waiting is a suspension.
//
// States. Open: `loss` is nil and the handle has a pointer. Over: `loss` says why, the handle is finished, and every
// call throws. Open ends once, in `end(_:)`, which also ends every wait; whoever was waiting finds `loss`.
//
// One statement at a time: a call takes the turn, in the order of calls, and gives it back when its last result has
// been read. Waiting for notifications needs no turn. Both may watch the socket at the same time, and whoever reads it
// reads for both: what was the other's is in libpq's memory then and will never make the socket ready again. So a
// reader always wakes the other one (`collectNotifications`, `wakeStatement`).
//
// Cancellation and time limits. The server is asked to stop, then its answer is awaited for `cancellationGrace`. If
// it comes, the connection is as good as before; a statement that has succeeded meanwhile has succeeded, and is
// returned as such, for a caller must not be told that a COMMIT failed which did not. If it does not come, or if the
// cancel request itself is still under way (it would hit the next statement), the connection is closed.

/// A connection to Postgres by libpq, off Swift's cooperative pool.
///
/// Any number of tasks may use it; statements are executed in the order of the calls. A transaction is the whole
/// session's, so a task that opens one must be the only user until it ends.
public actor PostgresConnection {
    /// How long the server may take to stop a statement after a time limit or a cancellation, before the connection
    /// is given up.
    static let cancellationGrace: Duration = .seconds(2)

    /// How long to wait for the effect of a cancel request before the next is sent.
    static let cancellationInterval: Duration = .milliseconds(100)

    /// How many notifications are kept for whoever asks for the next; beyond that the oldest are dropped.
    public static let notificationLimit = 1_000

    /// The thread that the actor runs on.
    nonisolated let thread: ConnectionThread
    let handle: ConnectionHandle
    private nonisolated let configuration: PostgresConfiguration

    /// The process id of the server's process for this session, as in `pg_stat_activity`.
    public nonisolated let backendPID: Int32
    /// The version of the server: 150004 is 15.4.
    public nonisolated let serverVersion: Int32

    /// Why the connection is over; nil while it is not.
    private(set) var loss: PostgresError?
    private var isTurnTaken = false
    private var turnQueue: [WaitID] = []
    /// The wait of the statement under way.
    private var statementWait: WaitID?
    /// Notifications taken out of libpq and not handed out yet.
    private var notifications: [PostgresNotification] = []
    /// The waits of those who want a notification.
    private var notificationWaits: Set<WaitID> = []

    /// The executor of the actor: a thread that belongs to this connection.
    public nonisolated var unownedExecutor: UnownedSerialExecutor {
        thread.asUnownedSerialExecutor()
    }

    /// Takes over a connection that has been made, on the thread that made it.
    init(
        thread: ConnectionThread,
        handle: ConnectionHandle,
        pointer: OpaquePointer,
        configuration: PostgresConfiguration
    ) {
        self.thread = thread
        self.handle = handle
        self.configuration = configuration
        self.backendPID = PQbackendPID(pointer)
        self.serverVersion = PQserverVersion(pointer)
    }

    /// Connects, within the configuration's time limit.
    ///
    /// - Throws: `PostgresError` with a code that tells an unreachable server from a refused one.
    public static func connect(
        _ configuration: PostgresConfiguration,
        logger: Logger,
        file: String = #fileID,
        line: Int = #line
    ) async throws -> PostgresConnection {
        do {
            return try await ConnectionAttempt.run(configuration, logger: logger)
        } catch {
            throw error.seen(file: file, line: line)
        }
    }

    // MARK: Statements

    /// Executes one statement, its parameters apart from its text, and returns its rows.
    ///
    /// - Parameters:
    ///   - sql: One statement, with `$1`, `$2`, … where the parameters stand.
    ///   - parameters: The values, in order.
    ///   - timeLimit: How long this may take, waiting for the turn included; the configuration's limit where nil.
    ///   - file: The caller's file, for the error.
    ///   - line: The caller's line, for the error.
    /// - Throws: `PostgresError`.
    public func query(
        _ sql: String,
        _ parameters: [PostgresParameter] = [],
        timeLimit: Duration? = nil,
        file: String = #fileID,
        line: Int = #line
    ) async throws -> QueryResult {
        try await perform(timeLimit, file, line) { connection throws(PostgresError) in
            try Self.checkForNUL(sql)
            return try ParameterBuffer(parameters).withValues { count, values in
                PQsendQueryParams(connection, sql, count, nil, values, nil, nil, 0)
            }
        }
    }

    /// Prepares a statement under a name, for `execute(prepared:)` on this connection.
    public func prepare(
        _ name: String,
        _ sql: String,
        timeLimit: Duration? = nil,
        file: String = #fileID,
        line: Int = #line
    ) async throws {
        _ = try await perform(timeLimit, file, line) { connection throws(PostgresError) in
            try Self.checkForNUL(sql)
            return PQsendPrepare(connection, name, sql, 0, nil)
        }
    }

    /// Executes a prepared statement and returns its rows.
    public func execute(
        prepared name: String,
        _ parameters: [PostgresParameter] = [],
        timeLimit: Duration? = nil,
        file: String = #fileID,
        line: Int = #line
    ) async throws -> QueryResult {
        try await perform(timeLimit, file, line) { connection throws(PostgresError) in
            try ParameterBuffer(parameters).withValues { count, values in
                PQsendQueryPrepared(connection, name, count, values, nil, nil, 0)
            }
        }
    }

    /// Executes any number of statements, separated by semicolons, and discards their rows.
    ///
    /// Without BEGIN and COMMIT in it, the whole script is one transaction; the first error ends it.
    public func run(
        script: String,
        timeLimit: Duration? = nil,
        file: String = #fileID,
        line: Int = #line
    ) async throws {
        _ = try await perform(timeLimit, file, line) { connection throws(PostgresError) in
            try Self.checkForNUL(script)
            return PQsendQuery(connection, script)
        }
    }

    // MARK: State

    /// Where the session stands with regard to transactions, as of the last answer of the server.
    public var transactionStatus: PostgresTransactionStatus {
        guard let connection = handle.pointer else { return .unknown }
        switch PQtransactionStatus(connection) {
        case PQTRANS_IDLE: return .idle
        case PQTRANS_ACTIVE: return .active
        case PQTRANS_INTRANS: return .inTransaction
        case PQTRANS_INERROR: return .inFailedTransaction
        default: return .unknown
        }
    }

    /// Whether the connection is over, by `close()` or by a failure.
    public var isClosed: Bool { loss != nil }

    /// Whether the connection can take a statement, as far as can be told without asking the server.
    ///
    /// Reads what has arrived, so it notices a server that has closed the connection in the meantime.
    public var isUsable: Bool {
        guard let connection = handle.pointer else { return false }
        // Twice, for the first reads the server's farewell where there is one, and only the second finds the end.
        let isIntact = PQconsumeInput(connection) == 1 && PQconsumeInput(connection) == 1
        collectNotifications()
        wakeStatement()
        guard isIntact, handle.notices.farewell == nil, PQstatus(connection) == CONNECTION_OK else {
            end(lossOfConnection())
            return false
        }
        return true
    }

    /// Whether the connection to the server is encrypted.
    public var isEncrypted: Bool {
        handle.pointer.map { PQsslInUse($0) != 0 } ?? false
    }

    /// Closes the connection.
    ///
    /// Calls under way throw `closed`. Closing again does nothing.
    public func close() {
        end(PostgresError(.closed, "the connection to Postgres was closed by this process; open another"))
    }

    /// Ends the connection for good, and every wait on it.
    private func end(_ error: PostgresError) {
        guard loss == nil else { return }
        loss = error
        handle.finish()
        thread.signalAll()
    }

    /// The connection, as long as it is open.
    ///
    /// A raw pointer because libpq's type is opaque; it is never kept across a suspension, after which the connection
    /// may be over.
    private func open() throws(PostgresError) -> OpaquePointer {
        if let loss { throw loss }
        guard let connection = handle.pointer else {
            throw PostgresError(.closed, "the connection to Postgres was closed by this process; open another")
        }
        return connection
    }

    /// What to say of a connection that libpq has found broken.
    private func lossOfConnection() -> PostgresError {
        let farewell = handle.notices.farewell
        let text = handle.pointer.map { String(cString: PQerrorMessage($0)) } ?? ""
        let reason = farewell?.message ?? text.split(whereSeparator: \.isNewline).first.map { String($0) } ?? ""
        return PostgresError(
            .connectionLost,
            Redaction.redacting(
                "the connection to Postgres is lost: \(reason.isEmpty ? "the server closed it" : reason); connect again"
            ),
            sqlState: farewell?.sqlState,
            detail: farewell?.detail,
            hint: farewell?.hint
        )
    }

    private static func checkForNUL(_ sql: String) throws(PostgresError) {
        guard sql.utf8.contains(0) else { return }
        throw PostgresError(
            .invalidParameter,
            "a statement holds a NUL character, which Postgres cannot store; remove it"
        )
    }

    // MARK: Executing

    /// Why a statement is being stopped.
    private enum Interruption {
        case cancellation
        case timeLimit
    }

    private func perform(
        _ timeLimit: Duration?,
        _ file: String,
        _ line: Int,
        send: (OpaquePointer) throws(PostgresError) -> Int32
    ) async throws -> QueryResult {
        let limit = timeLimit ?? configuration.queryTimeLimit
        do {
            return try await perform(within: limit, send: send)
        } catch {
            throw error.seen(file: file, line: line)
        }
    }

    private func perform(
        within limit: Duration,
        send: (OpaquePointer) throws(PostgresError) -> Int32
    ) async throws(PostgresError) -> QueryResult {
        var patience = ContinuousClock.now + limit
        try await takeTurn(until: patience, limit)
        defer { giveTurn() }
        if Task.isCancelled { throw Self.cancellation() }
        let sender = try open()
        guard try send(sender) == 1 else {
            // libpq has checked the connection and the arguments, and sent nothing or broken off.
            let reason = String(cString: PQerrorMessage(sender)).filter { !$0.isNewline }
            if PQstatus(sender) == CONNECTION_OK {
                throw PostgresError(.invalidParameter, "libpq cannot send the statement: \(reason); correct the call")
            }
            let error = lossOfConnection()
            end(error)
            throw error
        }
        var outcome = StatementOutcome()
        var interruption: Interruption?
        var grace = patience
        var cancelRequest: CancelRequest?
        while true {
            let connection = try open()
            let unsent = PQflush(connection)
            if unsent >= 0, PQisBusy(connection) == 0 {
                if let result = PQgetResult(connection) {
                    outcome.take(result)
                    if outcome.isStuck { break }
                    continue
                }
                break
            }
            // A broken socket is found by reading, which also brings the server's last words.
            let readiness: Readiness = unsent == 1 ? [.readable, .writable] : .readable
            var wakening = Wakening.ready
            if unsent >= 0 {
                let wait = thread.begin(for: PQsocket(connection), toBe: readiness, until: patience)
                statementWait = wait
                wakening = await thread.end(wait, isCancellable: interruption == nil, isolation: self)
                statementWait = nil
            }
            let current = try open()
            switch wakening {
            case .ready:
                let isIntact = PQconsumeInput(current) == 1
                collectNotifications()
                // What came before the end of the connection still counts: an answer, or the reason.
                if (!isIntact || unsent < 0) && (PQisBusy(current) != 0 || PQstatus(current) == CONNECTION_BAD) {
                    outcome.drain(current)
                    let error = outcome.failure(ofLost: lossOfConnection())
                    end(error)
                    throw error
                }
            case .signalled:
                break
            case .cancelled, .timedOut:
                if interruption == nil {
                    interruption = wakening == .cancelled ? .cancellation : .timeLimit
                    grace = .now + Self.cancellationGrace
                }
                guard ContinuousClock.now < grace else {
                    let error = Self.interruption(interruption, limit, "and the server did not stop it; connect again")
                    end(error)
                    throw error
                }
                patience = min(grace, .now + Self.cancellationInterval)
                // Again and again, for a request that overtakes its statement finds the session idle and does nothing.
                if let cancelRequest {
                    if cancelRequest.isUnderWay { continue }
                    _ = await cancelRequest.end(on: thread, until: grace, isolation: self)
                }
                cancelRequest = requestCancellation(of: try open())
            }
        }
        collectNotifications()
        if let cancelRequest, await !cancelRequest.end(on: thread, until: grace, isolation: self) {
            end(Self.interruption(interruption, limit, "and the cancel request is still under way; connect again"))
        }
        return try finish(outcome, interruption, limit)
    }

    /// Asks the server to stop the statement; nil where there is no thread to do it from.
    ///
    /// The result is awaited all the same, as if the request were lost.
    private func requestCancellation(of connection: OpaquePointer) -> CancelRequest? {
        do throws(PostgresError) {
            return try CancelRequest(for: connection, on: thread)
        } catch {
            handle.notices.logger.debug("no cancel request sent", metadata: ["reason": "\(error.message)"])
            return nil
        }
    }

    /// Makes the caller's answer of what the server said.
    private func finish(
        _ outcome: consuming StatementOutcome,
        _ interruption: Interruption?,
        _ limit: Duration
    ) throws(PostgresError) -> QueryResult {
        guard let failure = outcome.failure else {
            if let result = outcome.takeResult() { return result }
            let error = lossOfConnection()
            end(error)
            throw error
        }
        if failure.endsConnection { end(failure.error) }
        if failure.error.sqlState == .queryCanceled, let interruption {
            throw Self.interruption(interruption, limit, "and the server has stopped it", sqlState: .queryCanceled)
        }
        throw failure.error
    }

    private static func cancellation() -> PostgresError {
        PostgresError(.cancelled, "the task was cancelled before its statement was sent to Postgres")
    }

    private static func interruption(
        _ interruption: Interruption?,
        _ limit: Duration,
        _ consequence: String,
        sqlState: SQLState? = nil
    ) -> PostgresError {
        switch interruption {
        case .cancellation, nil:
            PostgresError(
                .cancelled,
                "the task was cancelled while Postgres executed its statement, \(consequence)",
                sqlState: sqlState
            )
        case .timeLimit:
            PostgresError(
                .timedOut,
                "Postgres did not answer a statement within \(limit), \(consequence)",
                sqlState: sqlState
            )
        }
    }

    // MARK: Turns

    /// Waits until no other statement is under way, in the order of the calls.
    private func takeTurn(until deadline: ContinuousClock.Instant, _ limit: Duration) async throws(PostgresError) {
        if let loss { throw loss }
        guard isTurnTaken else {
            isTurnTaken = true
            return
        }
        let place = thread.begin(until: deadline)
        turnQueue.append(place)
        let wakening = await thread.end(place, isolation: self)
        if let loss { throw loss }
        switch wakening {
        case .signalled, .ready:
            // Given by the one before, who has left `isTurnTaken` as it is.
            return
        case .cancelled:
            leaveQueue(place)
            throw Self.cancellation()
        case .timedOut:
            leaveQueue(place)
            throw PostgresError(
                .timedOut,
                "the connection to Postgres was busy with other statements for \(limit); use more connections"
            )
        }
    }

    private func leaveQueue(_ place: WaitID) {
        turnQueue.removeAll { $0 == place }
    }

    private func giveTurn() {
        while !turnQueue.isEmpty {
            // One who has given up waiting, and has not been able to leave the queue yet, is passed over.
            if thread.wake(turnQueue.removeFirst()) { return }
        }
        isTurnTaken = false
    }

    // MARK: Notifications

    /// The next notification, or nil when the deadline has passed without one.
    ///
    /// Returns at once what has arrived already, during statements too. Statements may be executed meanwhile. The task
    /// must have executed LISTEN before.
    ///
    /// - Throws: `PostgresError`: `cancelled`, or why the connection is over.
    public func nextNotification(
        until deadline: ContinuousClock.Instant,
        file: String = #fileID,
        line: Int = #line
    ) async throws -> PostgresNotification? {
        while true {
            if !notifications.isEmpty { return notifications.removeFirst() }
            do throws(PostgresError) {
                let connection = try open()
                // Before waiting: TLS may hold data that the socket does not show any more.
                guard PQconsumeInput(connection) == 1 else {
                    let error = lossOfConnection()
                    end(error)
                    throw error
                }
                collectNotifications()
                wakeStatement()
                if !notifications.isEmpty { continue }
                let wait = thread.begin(for: PQsocket(connection), until: deadline)
                notificationWaits.insert(wait)
                defer { notificationWaits.remove(wait) }
                switch await thread.end(wait, isolation: self) {
                case .ready, .signalled: continue
                case .timedOut: return nil
                case .cancelled:
                    throw PostgresError(.cancelled, "the task was cancelled while it waited for a notification")
                }
            } catch {
                throw error.seen(file: file, line: line)
            }
        }
    }

    /// The notifications that have arrived and that nobody has asked for yet; they are not handed out once more.
    public func takeNotifications() -> [PostgresNotification] {
        defer { notifications.removeAll() }
        return notifications
    }

    /// Lets the statement under way look at what another call has read.
    private func wakeStatement() {
        guard let statementWait else { return }
        thread.wake(statementWait)
    }

    /// Takes what libpq has read of notifications, and wakes those who wait for one.
    private func collectNotifications() {
        guard let connection = handle.pointer else { return }
        var isNew = false
        while let notification = PQnotifies(connection) {
            // A raw pointer because libpq allocates the structure; it is copied and freed here.
            notifications.append(
                PostgresNotification(
                    channel: String(cString: notification.pointee.relname),
                    payload: String(cString: notification.pointee.extra),
                    backendPID: notification.pointee.be_pid
                )
            )
            PQfreemem(notification)
            isNew = true
        }
        guard isNew else { return }
        // Who listens and never asks must not fill the memory. The oldest go: the newest say the same, later.
        if notifications.count > Self.notificationLimit {
            notifications.removeFirst(notifications.count - Self.notificationLimit)
        }
        for wait in notificationWaits { thread.wake(wait) }
    }
}
