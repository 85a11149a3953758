import CLibPQ
import Glibc

/// libpq called as directly as can be, to look at a server and to change things in it.
///
/// It blocks the thread that it is on, and is used on one at a time.
final class BarePostgres {
    /// Owned by this object until it goes, because that is how libpq hands out a connection.
    private let connection: OpaquePointer

    init(_ conninfo: String) throws {
        guard let connection = PQconnectdb(conninfo), PQstatus(connection) == CONNECTION_OK else {
            throw BareRedis.Failure(description: "libpq cannot connect")
        }
        self.connection = connection
    }

    deinit {
        PQfinish(connection)
    }

    /// Runs some SQL, in one transaction where it has several statements, and returns the first value of the last answer.
    @discardableResult
    func execute(_ sql: String) throws -> String? {
        try answer(sql) { result in
            guard PQntuples(result) > 0, PQgetisnull(result, 0, 0) == 0 else { return nil }
            // Copied here, because the answer is freed when this returns.
            return String(cString: PQgetvalue(result, 0, 0))
        }
    }

    /// How many rows a query finds.
    func rowCount(of sql: String) throws -> Int {
        try answer(sql) { Int(PQntuples($0)) }
    }

    /// The processes of the other sessions of clients in this database.
    ///
    /// - Parameter condition: Which of them, of a row of `pg_stat_activity`.
    func otherSessions(_ condition: String = "true") throws -> [pid_t] {
        let pids = try execute(
            """
            SELECT string_agg(pid::text, ' ') FROM pg_stat_activity
            WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend' AND \(condition)
            """
        )
        return (pids ?? "").split(separator: " ").compactMap { pid_t($0) }
    }

    private func answer<Value>(_ sql: String, _ read: (OpaquePointer?) -> Value) throws -> Value {
        let result = PQexec(connection, sql)
        defer { PQclear(result) }
        guard [PGRES_COMMAND_OK, PGRES_TUPLES_OK].contains(PQresultStatus(result)) else {
            let reason = String(cString: PQerrorMessage(connection))
            throw BareRedis.Failure(description: "Postgres refuses \(sql): \(reason)")
        }
        return read(result)
    }
}
