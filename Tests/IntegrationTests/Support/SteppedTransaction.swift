import Postgres
import Synchronization

/// Transactions on a connection of their own, led step by step.
///
/// A step that must wait for another transaction is left waiting, and its end is awaited when the transaction is ended. A
/// transaction that Postgres gives up, for a reason that a schedule can bring about, is rolled back; that is an outcome and no
/// failure of the test.
final class SteppedTransaction: Sendable {
    private let connection: PostgresConnection
    /// Looks at what the connection is waiting for.
    private let observer: PostgresConnection
    private let pending = Mutex<Task<Void, any Error>?>(nil)
    private let last = Mutex(Arrivals<Place>())

    private enum Place { case done }

    init(_ scenario: Scenario) async throws {
        connection = try await scenario.connect()
        observer = scenario.admin
        // The default of one second would be most of the time that the tests take.
        try await connection.run(script: "SET deadlock_timeout = '20ms'")
    }

    func close() async {
        await connection.close()
    }

    /// Begins a transaction and takes its snapshot.
    func begin(_ isolation: Isolation) async throws {
        try await connection.run(script: "BEGIN ISOLATION LEVEL \(isolation.rawValue)")
        try await connection.run(script: "SELECT 1")
    }

    /// Runs some SQL; false where it waits for another transaction.
    func perform(_ sql: String) async throws -> Bool {
        let arrivals = Arrivals<Place>()
        last.withLock { $0 = arrivals }
        let connection = connection
        let task = Task {
            defer { arrivals.arrive(at: .done) }
            try await connection.run(script: sql)
        }
        pending.withLock { $0 = task }
        return try await isDone(sql)
    }

    /// Whether the last step is done, or has failed; false where it waits for another transaction.
    func isDone(_ sql: String = "the last step") async throws -> Bool {
        let arrivals = last.withLock { $0 }
        let (connection, observer) = (connection, observer)
        return try await eventually("\(sql) to be done or to wait", every: .milliseconds(1)) {
            if arrivals.count(of: .done) > 0 { return true }
            let blockers = try await observer.query("SELECT cardinality(pg_blocking_pids(\(connection.backendPID)))")
            return try (blockers.int64(0, 0) ?? 0) > 0 ? false : nil
        }
    }

    /// The first column of what a query answers in the transaction, which must not be waiting.
    func column(_ sql: String) async throws -> [String] {
        let result = try await connection.query(sql)
        return (0..<result.rowCount).compactMap { result.string($0, 0) }
    }

    /// Ends the transaction; false where it was rolled back instead.
    func commit() async throws -> Bool {
        do {
            try await pending.withLock { $0.take() }?.value
            try await connection.run(script: "COMMIT")
            return true
        } catch let error as PostgresError where error.isOutcomeOfConcurrency {
            try await connection.run(script: "ROLLBACK")
            return false
        }
    }

    func rollBack() async throws {
        do {
            try await pending.withLock { $0.take() }?.value
        } catch let error as PostgresError where error.isOutcomeOfConcurrency {}
        try await connection.run(script: "ROLLBACK")
    }

    /// The isolation levels of Postgres.
    enum Isolation: String, Sendable, CaseIterable {
        case readCommitted = "READ COMMITTED"
        case repeatableRead = "REPEATABLE READ"
        case serializable = "SERIALIZABLE"
    }
}

extension PostgresError {
    /// Whether Postgres gave a transaction up because of what others did at the same time.
    var isOutcomeOfConcurrency: Bool {
        // Serialization failure, deadlock, foreign key, unique key.
        guard let state = sqlState?.rawValue else { return false }
        return ["40001", "40P01", "23503", "23505"].contains(state)
    }
}
