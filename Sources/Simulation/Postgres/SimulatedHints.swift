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

    func hear(_ isWanted: @Sendable (String) -> Bool) async throws -> [HeardChanges] {
        var payloads: [String] = []
        while payloads.isEmpty {
            payloads = try await session.waitForNotifications(until: session.process.nanoseconds + 60_000_000_000)
            if session.process.isDead || session.world.scheduler.isOver { throw SessionLost() }
        }
        var heard = HeardChanges.read(payloads, isWanted)
        for place in heard.indices {
            let rows = heard[place].rows
            heard[place].facts = try await session.call { session, answer in answer(session.model.facts(ofHinted: rows))
            }
        }
        return heard
    }

    func close() async {
        session.close()
    }
}
