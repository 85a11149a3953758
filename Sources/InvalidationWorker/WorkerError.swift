import Keyspace

/// Why a worker cannot work as it is set up.
///
/// Each is one line: the thing, and the mend.
public struct WorkerError: Error, Hashable, Sendable, CustomStringConvertible {
    /// What kind of obstacle it is.
    public struct Code: Hashable, Sendable {
        private enum Base: Hashable { case pooled, notAPrimary, schemaMissing, unexpectedAnswer, namespaceTaken }

        private let base: Base

        /// A connection pooler stands between the worker and Postgres.
        public static let pooled = Code(base: .pooled)
        /// The server is in recovery.
        public static let notAPrimary = Code(base: .notAPrimary)
        /// The schema is missing or older than this worker.
        public static let schemaMissing = Code(base: .schemaMissing)
        /// Two caches would live in one namespace.
        public static let namespaceTaken = Code(base: .namespaceTaken)
        /// A server answered what this version does not understand.
        public static let unexpectedAnswer = Code(base: .unexpectedAnswer)
    }

    /// What kind of obstacle it is.
    public let code: Code
    /// One line.
    public let description: String

    static let pooled = WorkerError(
        code: .pooled,
        description:
            "--postgres: a connection pooler answers, and LISTEN and the leader's lock need a session of their own; "
            + "give the address of Postgres itself"
    )
    static let notAPrimary = WorkerError(
        code: .notAPrimary,
        description: "--postgres: the server is a standby; give the address of the primary, or list all hosts"
    )
    static let schemaMissing = WorkerError(
        code: .schemaMissing,
        description: "schema freshet: missing or incomplete in this database; run freshet migrate"
    )

    static func namespaceTaken(_ namespace: CacheNamespace, by cache: String, and other: String) -> WorkerError {
        WorkerError(
            code: .namespaceTaken,
            description: "--namespace \(namespace.name): the cache \(cache) lives there; give \(other) another name"
        )
    }

    static func unexpectedClaimRow(_ kind: String) -> WorkerError {
        WorkerError(
            code: .unexpectedAnswer,
            description: "the claim returned a row of kind \(kind), unknown to this version; upgrade the worker"
        )
    }

    static func unexpectedReply(_ reply: String) -> WorkerError {
        WorkerError(
            code: .unexpectedAnswer,
            description: "Redis answered \(reply.prefix(200)), which is no answer of the script"
        )
    }
}
