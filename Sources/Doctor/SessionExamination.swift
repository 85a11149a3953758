// Whether what is in front of Postgres, if anything, lets a worker listen and hold a lock. Two sessions are compared:
//
// * The process that a session says it is must be the one that was told when it connected. No pooler can do that for long.
// * Two open sessions have two processes. Where they share one, or where one changes its own while the other is in a transaction,
//   sessions are lent by transaction or statement.
// * What one notifies must arrive at the other that listens. That is tried last, and only where the first two hold, so that no
//   LISTEN stays on a session which others are given.

import Logging
import Postgres

/// Compares two sessions of one address.
struct SessionExamination {
    /// How long a notification may take that arrives within a millisecond.
    static let notificationTimeLimit: Duration = .seconds(5)
    /// Behind a pooler with one session, who waits for a second waits for ever.
    static let turnTimeLimit: Duration = .seconds(2)

    static func facts(
        on connection: PostgresConnection,
        _ configuration: PostgresConfiguration,
        isInRecovery: Bool,
        logger: Logger
    ) async throws -> Checked<PostgresFacts.Sessions> {
        let other: PostgresConnection
        do {
            other = try await PostgresConnection.connect(configuration, logger: logger)
        } catch {
            return .unknown("no second session: \(error)")
        }
        let result: Result<PostgresFacts.Sessions, any Error>
        do {
            result = .success(try await compare(connection, other, isInRecovery: isInRecovery))
        } catch {
            result = .failure(error)
        }
        await other.close()
        switch result {
        case .success(let facts): return .known(facts)
        case .failure(let error as PostgresError): return .unknown(error.message)
        case .failure(let error): throw error
        }
    }

    private static func compare(
        _ first: PostgresConnection,
        _ second: PostgresConnection,
        isInRecovery: Bool
    ) async throws -> PostgresFacts.Sessions {
        var facts = PostgresFacts.Sessions()
        let before = try await process(of: first)
        // Holds whatever process serves it.
        try await second.run(script: "BEGIN READ ONLY", timeLimit: turnTimeLimit)
        let held = try await process(of: second)
        // Who shares the process that is held could only wait for it.
        if held == before {
            facts.sharesBackends = true
        } else {
            facts.sharesBackends = try await process(of: first) != before
        }
        try await second.run(script: "ROLLBACK", timeLimit: turnTimeLimit)
        facts.isServedByOwnBackend = before == Int64(first.backendPID) && held == Int64(second.backendPID)
        guard facts.isServedByOwnBackend, !facts.sharesBackends, !isInRecovery else { return facts }
        facts.notificationArrived = try await notificationArrives(from: second, at: first)
        return facts
    }

    private static func process(of connection: PostgresConnection) async throws -> Int64? {
        try await connection.query("SELECT pg_backend_pid()", timeLimit: turnTimeLimit).int64(0, 0)
    }

    private static func notificationArrives(
        from sender: PostgresConnection,
        at listener: PostgresConnection
    ) async throws -> Bool {
        // Nobody else listens there.
        let channel = "freshet_doctor_\(UInt64.random(in: .min ... .max))"
        try await listener.run(script: "LISTEN \(channel)")
        try await sender.run(script: "NOTIFY \(channel)")
        let deadline = ContinuousClock.now + notificationTimeLimit
        var arrived = false
        while !arrived, let notification = try await listener.nextNotification(until: deadline) {
            arrived = notification.channel == channel && notification.backendPID == sender.backendPID
        }
        try await listener.run(script: "UNLISTEN \(channel)")
        return arrived
    }
}
