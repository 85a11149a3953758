import LocalServices
import Postgres
import Synchronization

@testable import InvalidationWorker

/// A worker's session, led step by step.
///
/// A step that must wait for another session is left waiting.
final class SteppedClaimer: Sendable {
    /// Of more rows than this nothing is resolved.
    let collapseThreshold: Int64

    private let journal: Journal
    /// Looks at what the session is waiting for.
    private let observer: PostgresConnection
    /// What the server calls the session.
    private let name: String
    private let pending = Mutex<Task<Claim?, any Error>?>(nil)
    private let last = Mutex(Arrivals<Place>())

    private enum Place { case done }

    /// Opens a session under a name that no other has in the database.
    init(_ scenario: Scenario, name: String, collapseThreshold: Int64) async throws {
        let address = scenario.servers.postgres
        journal = try await Journal.open(
            PostgresConfiguration(
                connectionString: address.connectionString(database: scenario.database, user: Servers.Roles.worker),
                applicationName: name
            ),
            caches: [WorkflowRules()],
            collapseThreshold: collapseThreshold,
            logger: testLogger
        )
        self.collapseThreshold = collapseThreshold
        observer = scenario.admin
        self.name = name
    }

    func close() async {
        await journal.close()
    }

    /// Claims, and returns when that is done or waits for another session.
    func claim(_ request: PumpStateMachine.ClaimRequest) async throws {
        try await begin { journal in try await journal.claim(request) }
    }

    /// Commits, and returns when that is done or waits for another session.
    func commit(_ acknowledgements: [PassPlan.Acknowledgement]) async throws {
        try await begin { journal in
            try await journal.commit(acknowledgements)
            return nil
        }
    }

    private func begin(_ step: @escaping @Sendable (Journal) async throws -> Claim?) async throws {
        let arrivals = Arrivals<Place>()
        last.withLock { $0 = arrivals }
        let journal = journal
        let task = Task<Claim?, any Error> {
            defer { arrivals.arrive(at: .done) }
            return try await step(journal)
        }
        pending.withLock { $0 = task }
        _ = try await isDone()
    }

    /// Whether the last step is done, or has failed; false where it waits for another session.
    func isDone() async throws -> Bool {
        let arrivals = last.withLock { $0 }
        let (name, observer) = (name, observer)
        return try await eventually("\(name) to be done or to wait", every: .milliseconds(1)) {
            if arrivals.count(of: .done) > 0 { return true }
            let waiting = try await observer.query(
                """
                SELECT FROM pg_stat_activity
                WHERE datname = current_database() AND application_name = $1 AND cardinality(pg_blocking_pids(pid)) > 0
                """,
                [PostgresParameter(name)]
            )
            return waiting.rowCount > 0 ? false : nil
        }
    }

    /// What the last step came to, which must be done: what it claimed, and nil of a commit.
    func outcome() async throws -> Claim? {
        try await pending.withLock { $0.take() }?.value
    }

    func rollBack() async throws {
        _ = try await outcome()
        try await journal.rollBack()
    }
}
