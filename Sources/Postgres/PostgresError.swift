/// What went wrong between this process and Postgres, in one line a person can act on.
///
/// No part of it contains a password.
public struct PostgresError: Error, Sendable, CustomStringConvertible {
    /// The kind of failure.
    ///
    /// New kinds may come; compare with the static members.
    public struct Code: Hashable, Sendable, CustomStringConvertible {
        private enum Kind: String {
            case invalidConfiguration, cannotConnect, authenticationFailed, databaseMissing, tlsFailed
            case tooManyConnections, startingOrStopping, unsuitableServer
            case connectionLost, closed, server, timedOut, cancelled, invalidParameter, badResult, resourcesExhausted
        }

        private let kind: Kind

        private init(_ kind: Kind) {
            self.kind = kind
        }

        /// The connection string cannot be understood.
        public static let invalidConfiguration = Code(.invalidConfiguration)
        /// No server answered at any of the hosts named.
        public static let cannotConnect = Code(.cannotConnect)
        /// The server refused the user, the password or the place the connection came from.
        public static let authenticationFailed = Code(.authenticationFailed)
        /// The server has no database of this name.
        public static let databaseMissing = Code(.databaseMissing)
        /// No encrypted connection could be agreed on, or the server's certificate was not accepted.
        public static let tlsFailed = Code(.tlsFailed)
        /// The server, the database or the role has as many connections as it allows.
        public static let tooManyConnections = Code(.tooManyConnections)
        /// The server is starting up, shutting down or recovering.
        public static let startingOrStopping = Code(.startingOrStopping)
        /// A server answered, but is not of the kind asked for: a standby where a primary is wanted.
        public static let unsuitableServer = Code(.unsuitableServer)
        /// The connection broke.
        ///
        /// Whether the last statement took effect is not known.
        public static let connectionLost = Code(.connectionLost)
        /// The connection or the pool was closed by this process before.
        public static let closed = Code(.closed)
        /// The server refused the statement; `sqlState` says why.
        public static let server = Code(.server)
        /// A time limit of this process ran out.
        public static let timedOut = Code(.timedOut)
        /// The task was cancelled.
        public static let cancelled = Code(.cancelled)
        /// A parameter or a statement cannot be sent, for it holds a NUL character.
        public static let invalidParameter = Code(.invalidParameter)
        /// The answer does not have the form that the caller asked for.
        public static let badResult = Code(.badResult)
        /// This process has no memory, thread or file descriptor left for a connection.
        public static let resourcesExhausted = Code(.resourcesExhausted)

        /// The name of the kind.
        public var description: String { kind.rawValue }
    }

    /// The kind of failure.
    public var code: Code
    /// The server's own name of the condition, where the server said one.
    public var sqlState: SQLState?
    /// One line that names the thing, the value and the mend.
    public var message: String
    /// The server's DETAIL, as it wrote it.
    public var detail: String?
    /// The server's HINT, as it wrote it.
    public var hint: String?
    /// The error that led to this one.
    public var underlying: (any Error)?
    /// The source file of the call that failed.
    public var file: String
    /// The line of the call that failed.
    public var line: Int

    /// An error of the given kind, with its one line.
    public init(
        _ code: Code,
        _ message: String,
        sqlState: SQLState? = nil,
        detail: String? = nil,
        hint: String? = nil,
        underlying: (any Error)? = nil,
        file: String = #fileID,
        line: Int = #line
    ) {
        self.code = code
        self.message = message
        self.sqlState = sqlState
        self.detail = detail
        self.hint = hint
        self.underlying = underlying
        self.file = file
        self.line = line
    }

    /// The message, and the SQLSTATE where there is one.
    public var description: String {
        guard let sqlState else { return message }
        return "\(message) (SQLSTATE \(sqlState))"
    }

    /// Whether the same call may succeed later with nothing mended by a person.
    ///
    /// It does not say whether the statement took effect: after `connectionLost` nobody knows.
    public var isRetryable: Bool {
        switch code {
        case .cannotConnect, .tooManyConnections, .startingOrStopping, .unsuitableServer, .connectionLost, .timedOut,
            .resourcesExhausted:
            return true
        case .server:
            guard let sqlState else { return false }
            switch sqlState {
            case .lockNotAvailable, .queryCanceled, .readOnlyTransaction: return true
            default: break
            }
            // Connection trouble, rollbacks the server decided on, lack of resources, an operator stepping in.
            return ["08", "40", "53", "57", "58"].contains(sqlState.conditionClass)
        default:
            return false
        }
    }

    /// The same error, as seen by another call.
    func seen(file: String, line: Int) -> PostgresError {
        var error = self
        error.file = file
        error.line = line
        return error
    }
}
