public import Logging

/// A bounded set of connections that are lent one task at a time.
///
/// Connections are made when needed and kept when idle. Who asks when all are lent waits, in order. A connection that
/// comes back broken is closed; one that comes back with an open transaction is rolled back. Nothing else of the
/// session is reset: whoever executes SET, LISTEN or takes session locks undoes that.
public final class PostgresPool: Sendable {
    private let pool: ConnectionPool<PostgresConnection>

    /// A pool that opens its first connection when it is asked for one.
    ///
    /// - Parameters:
    ///   - configuration: How to connect.
    ///   - maximumConnections: How many connections there are at most, at least one.
    ///   - waitTimeLimit: How long a caller waits for others to return a connection.
    ///   - logger: Where notices of the server go, at debug.
    public init(
        configuration: PostgresConfiguration,
        maximumConnections: Int,
        waitTimeLimit: Duration = .seconds(30),
        logger: Logger
    ) {
        pool = ConnectionPool(maximumConnections: maximumConnections, waitTimeLimit: waitTimeLimit) {
            try await PostgresConnection.connect(configuration, logger: logger)
        }
    }

    /// Lends a connection to the body, and takes it back however the body ends.
    ///
    /// The body must not keep the connection, nor leave a task behind that uses it.
    ///
    /// - Throws: What the body throws, or a `PostgresError`: why there is no connection, `timedOut` or `cancelled`
    ///   while waiting for one, `closed` after `close()`.
    public func withConnection<R>(
        isolation: isolated (any Actor)? = #isolation,
        _ body: (PostgresConnection) async throws -> sending R
    ) async throws -> sending R {
        let connection = try await pool.lend()
        do {
            let result = try await body(connection)
            await pool.takeBack(connection)
            return result
        } catch {
            await pool.takeBack(connection)
            throw error
        }
    }

    /// Closes what is idle, turns away who waits, and closes what is lent when it comes back.
    public func close() async {
        await pool.close()
    }
}

extension PostgresConnection: PooledConnection {
    /// Rolls back what the last user left open; false where the connection is of no use to another.
    func prepareForNextUse() async -> Bool {
        switch transactionStatus {
        case .idle:
            return isUsable
        case .inTransaction, .inFailedTransaction:
            do {
                _ = try await query("ROLLBACK", timeLimit: .seconds(5))
            } catch {
                handle.notices.logger.debug("connection discarded", metadata: ["reason": "\(error)"])
                return false
            }
            return transactionStatus == .idle
        case .active, .unknown:
            return false
        }
    }
}
