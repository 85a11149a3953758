import Redis

/// Why nothing can be audited.
///
/// Each is one line: the thing, and the mend.
package struct AuditError: Error, Hashable, Sendable, CustomStringConvertible {
    /// What kind of obstacle it is.
    package enum Code: Hashable, Sendable {
        /// A connection pooler stands before Postgres.
        case pooled
        /// No cache is attached that could be audited.
        case nothingAttached
        /// A server answered what this version does not understand.
        case unexpectedAnswer
    }

    /// What kind of obstacle it is.
    package let code: Code
    /// One line.
    package let description: String

    static let pooled = AuditError(
        code: .pooled,
        description: "--postgres: a connection pooler answers, and an audit needs a session of its own; "
            + "give the address of Postgres itself"
    )
    static let nothingAttached = AuditError(
        code: .nothingAttached,
        description: "no table is attached in this database, so there is no cache to audit; run freshet migrate"
    )

    static func unexpectedReply(_ command: String, _ reply: String) -> AuditError {
        AuditError(
            code: .unexpectedAnswer,
            description: "--redis: \(command) was answered with \(reply), which is no answer of Redis; "
                + "give the address of Redis itself"
        )
    }

    /// Tells what kind of reply it is, and nothing of what it holds: that may be long, and somebody's secret.
    static func unexpectedReply(_ command: String, _ reply: RedisReply) -> AuditError {
        switch reply {
        case .simple: .unexpectedReply(command, "a status")
        case .bulk: .unexpectedReply(command, "a string")
        case .integer: .unexpectedReply(command, "a number")
        case .array(let elements): .unexpectedReply(command, "\(elements.count) elements")
        case .null: .unexpectedReply(command, "nothing")
        case .error: .unexpectedReply(command, "an error")
        }
    }
}
