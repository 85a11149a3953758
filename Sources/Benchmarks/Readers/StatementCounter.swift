import Postgres

/// How many statements Postgres was sent, and executed within others.
struct StatementCount: Hashable, Sendable {
    /// By readers, to load what they look up.
    var ofReaders = 0
    /// By the worker, to keep Freshet's cache right.
    var ofWorker = 0
    /// By writers who look for what to delete after a change; the changes themselves are not counted.
    var ofWriters = 0
    /// Of triggers and other functions, within those that were sent.
    var nested = 0

    /// Those that came after the others were counted.
    static func - (later: StatementCount, earlier: StatementCount) -> StatementCount {
        StatementCount(
            ofReaders: later.ofReaders - earlier.ofReaders,
            ofWorker: later.ofWorker - earlier.ofWorker,
            ofWriters: later.ofWriters - earlier.ofWriters,
            nested: later.nested - earlier.nested
        )
    }
}

/// Reads what Postgres has counted, on a connection that stays open: so a reading takes no longer than its query, and its moment is known.
struct StatementCounter: Sendable {
    /// What was counted up to a moment.
    struct Reading: Sendable {
        var moment: ContinuousClock.Instant
        var count: StatementCount
    }

    private let connection: PostgresConnection

    /// - Parameter configuration: Of who may see what others have sent.
    init(_ configuration: PostgresConfiguration) async throws {
        connection = try await PostgresConnection.connect(configuration, logger: .silent)
    }

    func read() async throws -> Reading {
        typealias Role = ReadersStage.Role
        let found = try await connection.query(
            """
            SELECT coalesce(sum(calls) FILTER (WHERE toplevel AND rolname = '\(Role.reader.rawValue)'), 0)::bigint,
                coalesce(sum(calls) FILTER (WHERE toplevel AND rolname = '\(Role.worker.rawValue)'), 0)::bigint,
                coalesce(sum(calls) FILTER (
                    WHERE toplevel AND rolname = '\(Role.writer.rawValue)' AND query LIKE 'SELECT%'), 0)::bigint,
                coalesce(sum(calls) FILTER (WHERE NOT toplevel), 0)::bigint
            FROM pg_stat_statements JOIN pg_roles ON pg_roles.oid = userid
            """
        )
        // When the answer has come: each reading is late by as much as any other.
        let moment = ContinuousClock.now
        let count = StatementCount(
            ofReaders: Int(try found.requiredInt64(0, 0)),
            ofWorker: Int(try found.requiredInt64(0, 1)),
            ofWriters: Int(try found.requiredInt64(0, 2)),
            nested: Int(try found.requiredInt64(0, 3))
        )
        return Reading(moment: moment, count: count)
    }

    func close() async {
        await connection.close()
    }
}
