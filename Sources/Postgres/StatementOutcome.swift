import CLibPQ

/// What the server has answered to a statement so far: the last result, and the first error.
struct StatementOutcome: ~Copyable {
    /// An error of the server, and whether the connection can be used after it.
    struct Failure {
        var error: PostgresError
        var endsConnection: Bool
    }

    private var result: QueryResult?
    /// The first error, which is the cause of those after it.
    private(set) var failure: Failure?

    /// Takes over a result.
    ///
    /// A raw pointer because libpq's type is opaque; it is owned by a `QueryResult` at once.
    mutating func take(_ pointer: OpaquePointer) {
        let status = PQresultStatus(pointer)
        switch status {
        case PGRES_TUPLES_OK, PGRES_COMMAND_OK, PGRES_EMPTY_QUERY:
            result = QueryResult(owning: pointer)
        case PGRES_COPY_IN, PGRES_COPY_OUT, PGRES_COPY_BOTH:
            PQclear(pointer)
            note(
                Failure(
                    error: PostgresError(
                        .badResult,
                        "COPY from or to the client is not supported; use INSERT or SELECT, and connect again"
                    ),
                    endsConnection: true
                )
            )
        default:
            let message = ServerMessage(pointer)
            PQclear(pointer)
            note(Self.failure(from: message))
        }
    }

    /// Whether nothing more can be read, though the server has not said so: it waits for COPY data, or sends them.
    var isStuck: Bool {
        failure?.error.code == .badResult
    }

    /// Takes what libpq still has of a connection that is broken.
    mutating func drain(_ connection: OpaquePointer) {
        while PQisBusy(connection) == 0, let result = PQgetResult(connection) { take(result) }
    }

    /// Why the statement failed on a connection that broke: what the server said last, or else what libpq says.
    func failure(ofLost loss: PostgresError) -> PostgresError {
        guard let failure, failure.error.sqlState != nil else { return loss }
        return failure.error
    }

    /// Hands over the last result.
    consuming func takeResult() -> QueryResult? {
        result
    }

    private mutating func note(_ failure: Failure) {
        if self.failure == nil { self.failure = failure }
    }

    static func failure(from message: ServerMessage) -> Failure {
        let text = Redaction.redacting(message.message.split(whereSeparator: \.isNewline).joined(separator: " "))
        guard let sqlState = message.sqlState else {
            // libpq's own words, for lack of the server's: the connection is broken or the answer makes no sense.
            return Failure(
                error: PostgresError(.connectionLost, "the connection to Postgres is lost: \(text); connect again"),
                endsConnection: true
            )
        }
        let error = PostgresError(
            message.endsSession ? .connectionLost : .server,
            message.endsSession
                ? "the connection to Postgres is lost: \(text); connect again"
                : "Postgres refused a statement: \(text)",
            sqlState: sqlState,
            detail: message.detail,
            hint: message.hint
        )
        return Failure(error: error, endsConnection: message.endsSession)
    }
}
