// A primary and a standby that replicates synchronously, always: what is acknowledged is on both, so that no promotion loses it. While
// there is no standby, commits wait. The old primary is ended, or stands still for good, before the standby is promoted, and a
// new standby takes its place.

import History
import LocalServices

/// A Postgres and its standby, and what can be done to them.
///
/// One task at a time makes faults.
actor PostgresPair {
    private(set) var primary: LocalPostgres
    private var standby: LocalPostgres
    /// Where the primary is reached, and where the standby is.
    private var places: (primary: Destination, standby: Destination)
    private let clock: SteppableClock?
    private var aheadBySeconds = 0

    private static let settings = [
        "max_connections": "100", "wal_retrieve_retry_interval": "200ms", "wal_receiver_timeout": "5s",
        "wal_sender_timeout": "5s", "hot_standby_feedback": "on",
        // Deadlocks are part of the game; a second for each would be most of the time.
        "deadlock_timeout": "50ms",
    ]
    private static let synchronous = ["synchronous_standby_names": "*"]

    /// - Parameter furnish: Puts the tables into the primary, before anything waits for the standby.
    static func start(
        to primaryPlace: Destination,
        and standbyPlace: Destination,
        furnish: (LocalPostgres) async throws -> Void
    ) async throws -> PostgresPair {
        let clock = try await SteppableClock.make(isForPostgres: true)
        let primary = try await LocalPostgres.start(settings: settings, environment: clock?.environment ?? [:])
        try await furnish(primary)
        let standby = try await primary.createStandby(settings: synchronous)
        try await primary.restart(settings: synchronous)
        let pair = PostgresPair(
            primary: primary,
            standby: standby,
            places: (primaryPlace, standbyPlace),
            clock: clock
        )
        primaryPlace.socketPath = pair.socketPath(of: primary)
        standbyPlace.socketPath = pair.socketPath(of: standby)
        return pair
    }

    private init(
        primary: LocalPostgres,
        standby: LocalPostgres,
        places: (primary: Destination, standby: Destination),
        clock: SteppableClock?
    ) {
        self.primary = primary
        self.standby = standby
        self.places = places
        self.clock = clock
    }

    private nonisolated func socketPath(of server: LocalPostgres) -> String {
        "\(server.socketDirectory)/.s.PGSQL.\(server.port)"
    }

    func destroy() async {
        await primary.destroy()
        await standby.destroy()
        clock?.destroy()
    }

    /// Does it, waits, and undoes it.
    ///
    /// - Parameter cut: Ends all connections that lead to a destination.
    func make(_ fault: Fault, lasting duration: Duration, cut: (Destination) -> Void) async throws {
        switch fault {
        case .postgresKilled:
            try await primary.kill()
            try await Task.sleep(for: duration)
            try await primary.startAgain()
        case .postgresStopped:
            try await primary.restart(.immediate)
        case .postgresSuspended:
            try primary.suspend()
            try await Task.sleep(for: duration)
            try primary.resume()
        case .backendKilled:
            // Of the server itself, because those of clients come and go.
            let found = try await primary.psql(
                "SELECT pid FROM pg_stat_activity WHERE backend_type IN ('background writer', 'walwriter') LIMIT 1"
            )
            guard let backend = Int32(found.prefix { !$0.isNewline }) else {
                throw StageError(description: "Postgres has neither a background writer nor a WAL writer")
            }
            try await primary.crash(backend: backend)
        case .sessionsTerminated:
            try await primary.psql(
                """
                SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()
                """
            )
        case .postgresClock(let seconds):
            guard let clock else { return }
            aheadBySeconds += seconds
            try clock.set(aheadBySeconds: aheadBySeconds)
        case .standbyAway:
            try await standby.kill()
            try await Task.sleep(for: duration)
            try await standby.startAgain()
        case .standbyPromoted(let old):
            switch old {
            case .killed: try await primary.kill()
            case .stopped: try await primary.stop(.immediate)
            case .suspended: try primary.suspend()
            }
            places.primary.socketPath = nil
            cut(places.primary)
            try await standby.promote()
            await primary.destroy()
            primary = standby
            places = (places.standby, places.primary)
            standby = try await primary.createStandby()
            places.standby.socketPath = socketPath(of: standby)
        default:
            return
        }
    }
}
