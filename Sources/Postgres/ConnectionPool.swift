/// What a pool needs of a connection.
protocol PooledConnection: Sendable {
    /// Whether it can be lent, as far as can be told without asking the server.
    var isUsable: Bool { get async }
    /// Undoes what the last user left open; false where it cannot be lent again.
    func prepareForNextUse() async -> Bool
    /// Closes it; closing again does nothing.
    func close() async
}

/// The pool over any kind of connection: carries out what `PoolState` decides.
final class ConnectionPool<Connection: PooledConnection>: Sendable {
    private typealias Waiting = CheckedContinuation<Result<PoolState<Connection>.Grant, PostgresError>, Never>

    private struct Waiter {
        var continuation: Waiting
        /// Ends the wait when it has lasted too long.
        var timer: Task<Void, Never>?

        func resume(with outcome: Result<PoolState<Connection>.Grant, PostgresError>) {
            timer?.cancel()
            continuation.resume(returning: outcome)
        }
    }

    private struct Guarded {
        var pool: PoolState<Connection>
        var waiting: [UInt64: Waiter] = [:]
        var lastWaiter: UInt64 = 0
    }

    private let state: Locked<Guarded>
    private let waitTimeLimit: Duration
    private let connect: @Sendable () async throws -> Connection

    init(
        maximumConnections: Int,
        waitTimeLimit: Duration,
        connect: @escaping @Sendable () async throws -> Connection
    ) {
        self.state = Locked(Guarded(pool: PoolState(maximumConnections: maximumConnections)))
        self.waitTimeLimit = waitTimeLimit
        self.connect = connect
    }

    /// A connection for the caller alone, who must give it to `takeBack`.
    func lend() async throws -> Connection {
        if Task.isCancelled { throw Self.cancellation() }
        switch try await grant() {
        case .connection(let connection):
            if await connection.isUsable { return connection }
            // The server has gone away meanwhile. Its place is ours to fill.
            await connection.close()
            return try await open()
        case .place:
            return try await open()
        }
    }

    /// Takes a connection back, also from a cancelled task: what has to be said to the server is said all the same.
    func takeBack(_ connection: Connection) async {
        await Task {
            if await connection.prepareForNextUse() {
                guard !give(.connection(connection)) else { return }
                await connection.close()
            } else {
                await connection.close()
                _ = give(.place)
            }
        }.value
    }

    /// Closes what is idle and turns away everybody else.
    func close() async {
        let (idle, waiting) = state.withLock { state in
            defer { state.waiting.removeAll() }
            return (state.pool.close(), Array(state.waiting.values))
        }
        for waiter in waiting { waiter.resume(with: .failure(Self.closure())) }
        for connection in idle { await connection.close() }
    }

    /// The number of callers that wait.
    var waiterCount: Int {
        state.withLock { $0.waiting.count }
    }

    private func open() async throws -> Connection {
        let connection: Connection
        do {
            connection = try await connect()
        } catch {
            _ = give(.place)
            throw error
        }
        guard state.withLock({ !$0.pool.isClosed }) else {
            _ = give(.place)
            await connection.close()
            throw Self.closure()
        }
        return connection
    }

    /// Passes on what a caller leaves; false where the pool has no use for it.
    private func give(_ grant: PoolState<Connection>.Grant) -> Bool {
        let (isKept, waiter): (Bool, Waiter?) = state.withLock { state in
            switch state.pool.give(grant) {
            case .keep: return (true, nil)
            case .discard: return (false, nil)
            case .handOver(let waiter): return (true, state.waiting.removeValue(forKey: waiter))
            }
        }
        waiter?.resume(with: .success(grant))
        return isKept
    }

    private func grant() async throws(PostgresError) -> PoolState<Connection>.Grant {
        switch state.withLock({ $0.pool.ask() }) {
        case .granted(let grant): return grant
        case .closed: throw Self.closure()
        case .mustWait: break
        }
        let waiter = state.withLock { state in
            state.lastWaiter += 1
            return state.lastWaiter
        }
        return try await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                queue(as: waiter, continuation)
            }
        } onCancel: {
            giveUp(waiter, Self.cancellation())
        }.get()
    }

    private func queue(as waiter: UInt64, _ continuation: Waiting) {
        let early: Result<PoolState<Connection>.Grant, PostgresError>? = state.withLock { state in
            // Under the lock, so that a cancellation either is seen here or finds the continuation.
            if Task.isCancelled { return .failure(Self.cancellation()) }
            switch state.pool.ask(orQueueAs: waiter) {
            case .granted(let grant): return .success(grant)
            case .closed: return .failure(Self.closure())
            case .mustWait: break
            }
            state.waiting[waiter] = Waiter(continuation: continuation)
            return nil
        }
        if let early {
            continuation.resume(returning: early)
            return
        }
        let timer = Task { [waitTimeLimit] in
            do {
                try await Task.sleep(for: waitTimeLimit)
                giveUp(waiter, Self.timeOut(waitTimeLimit))
            } catch {
                // The wait ended first, and with it the timer.
            }
        }
        let isWaiting = state.withLock { state in
            state.waiting[waiter]?.timer = timer
            return state.waiting[waiter] != nil
        }
        if !isWaiting { timer.cancel() }
    }

    private func giveUp(_ waiter: UInt64, _ error: PostgresError) {
        let taken = state.withLock { state in
            state.pool.leave(waiter)
            return state.waiting.removeValue(forKey: waiter)
        }
        taken?.resume(with: .failure(error))
    }

    private static func closure() -> PostgresError {
        PostgresError(.closed, "the pool of connections to Postgres was closed by this process; make another")
    }

    private static func cancellation() -> PostgresError {
        PostgresError(.cancelled, "the task was cancelled while it waited for a connection to Postgres")
    }

    private static func timeOut(_ limit: Duration) -> PostgresError {
        PostgresError(
            .timedOut,
            "no connection of the pool was returned within \(limit); allow more connections or hold them shorter"
        )
    }
}
