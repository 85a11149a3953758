import InvalidationWorker
import Postgres

extension Scenario {
    /// Waits until everything that was committed before this call has been applied and committed, and makes the worker do
    /// it now.
    func drain(_ worker: RunningWorker) async throws {
        // The first pass to end may have begun before the call; the one after it has not.
        let passes = worker.gate.steps.count(of: .waiting)
        for pass in 1...2 {
            try await execute("NOTIFY freshet_change")
            try await worker.gate.steps.wait(for: .waiting, count: passes + pass)
        }
    }

    /// How many rows the journal shows now.
    func journalDepth() async throws -> Int64 {
        try await admin.query("SELECT count(*) FROM freshet.change").int64(0, 0) ?? -1
    }

    /// The backend whose session leads, nil where none does.
    func leader() async throws -> Int64? {
        let found = try await admin.query(
            """
            SELECT pid FROM pg_locks
            WHERE locktype = 'advisory' AND granted
                AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
                AND (classid::bigint << 32) | objid::bigint = \(Leadership.advisoryLockKey)
            """
        )
        return try found.rowCount == 0 ? nil : found.int64(0, 0)
    }
}
