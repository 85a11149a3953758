import InvalidationWorker

/// A session of a worker's hint lane with a simulated Postgres.
///
/// `@unchecked Sendable` because it is used on the one thread that runs the simulation.
final class SimulatedHints: HintSession, @unchecked Sendable {
    private let session: PostgresSession

    private init(_ session: PostgresSession) {
        self.session = session
    }

    /// Opens a session that listens, with whatever server the process finds.
    static func open(_ world: World, _ process: SimulatedProcess) async throws -> SimulatedHints {
        let session = try await world.connect(process)
        _ = try await session.call { session, answer in
            session.isListening = true
            answer(true)
        }
        return SimulatedHints(session)
    }

    func hear(
        _ isWanted: @Sendable (String) -> Bool,
        others: @Sendable () -> Void,
        _ body: @Sendable ([HeardChanges]) async -> Void
    ) async throws -> Never {
        while true {
            let payloads = try await session.waitForNotifications(until: session.process.nanoseconds + 60_000_000_000)
            if session.process.isDead || session.world.scheduler.isOver { throw SessionLost() }
            if payloads.isEmpty { continue }
            let heard = HeardNotifications(payloads, isWanted)
            if !heard.isAll { others() }
            var changes = heard.changes
            for place in changes.indices {
                let rows = changes[place].rows
                changes[place].facts = try await session.call { session, answer in
                    answer(session.model.facts(ofHinted: rows))
                }
            }
            if !changes.isEmpty { await body(changes) }
        }
    }

    func close() async {
        session.close()
    }
}
