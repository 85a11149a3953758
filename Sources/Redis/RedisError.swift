/// Why a call got no reply from the server.
///
/// What the server itself says about one command is a ``RedisServerError`` among the replies, never one of these.
public struct RedisError: Error, Sendable {
    /// What went wrong, to decide by.
    public struct Code: Sendable, Hashable {
        private enum Value: String, Sendable {
            case cannotConnect
            case authenticationFailed
            case connectionLost
            case timedOut
            case cancelled
            case protocolViolation
            case commandTooLarge
            case closed
        }

        private let value: Value

        private init(_ value: Value) {
            self.value = value
        }

        /// The server was not reached, refused the connection, or is not ready to serve.
        public static let cannotConnect = Code(.cannotConnect)
        /// The server wants other credentials.
        public static let authenticationFailed = Code(.authenticationFailed)
        /// The connection ended while the call was under way: the commands may have been executed or not.
        public static let connectionLost = Code(.connectionLost)
        /// The time limit passed: the commands may have been executed, or may be yet.
        public static let timedOut = Code(.timedOut)
        /// The calling task was cancelled: the commands may have been executed, or may be yet.
        public static let cancelled = Code(.cancelled)
        /// What arrived is not what a Redis server sends.
        public static let protocolViolation = Code(.protocolViolation)
        /// A command is too large to be sent at all.
        public static let commandTooLarge = Code(.commandTooLarge)
        /// The client was closed, by its owner.
        public static let closed = Code(.closed)

        /// Whether the same call may work later.
        var isRetryable: Bool {
            switch value {
            case .cannotConnect, .connectionLost, .timedOut: true
            case .authenticationFailed, .cancelled, .protocolViolation, .commandTooLarge, .closed: false
            }
        }
    }

    /// What went wrong, to decide by.
    public let code: Code
    /// What went wrong, to read: one line that names the server and the cause and never a password.
    public let message: String
    /// The error of the system or the transport that caused it.
    public let underlying: (any Error)?
    /// The source file that made the error.
    public let file: String
    /// The line in ``file``.
    public let line: Int

    /// Whether the same call may work later.
    ///
    /// Commands that must not run twice need a thought all the same.
    public var isRetryable: Bool { code.isRetryable }

    /// An error with its code and the line to read.
    public init(
        _ code: Code,
        _ message: String,
        underlying: (any Error)? = nil,
        file: String = #fileID,
        line: Int = #line
    ) {
        self.code = code
        self.message = message
        self.underlying = underlying
        self.file = file
        self.line = line
    }
}

extension RedisError.Code: CustomStringConvertible {
    /// The code's name.
    public var description: String { value.rawValue }
}

extension RedisError: CustomStringConvertible {
    /// The message alone.
    public var description: String { message }
}
