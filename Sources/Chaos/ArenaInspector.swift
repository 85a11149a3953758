// Standstills of the arena, while everything is being broken.
//
// Nobody knows what a set of the arena was at which moment (ChaosData.swift), but while nobody writes to it, it is what the database
// holds. So writers are kept out of it again and again, by the lock that all of them share:
//
//  1. take the lock alone, and read what the database holds;
//  2. look every set up with a token of now, once a worker vouches for all of that: a hit must be what the database holds. Where the
//     session answers behind that, it has held the lock till then, and what was found counts, whatever becomes of the rest;
//  3. every third time, hold the lock for longer than a lease. Then what readers remember must be right as well, whatever they are
//     told meanwhile: they record it, and the checker holds it against the standstill at the end;
//  4. COMMIT. The lock lives and dies with its session, so where that succeeds nobody has written since the lock was taken. Where it
//     does not, or where 2 takes too long, a fault came between, and readers' answers are held against nothing.
//
// What a lost bump leaves behind is found only if nothing else bumps the set before the next standstill. Therefore there are many,
// and most are short.

import History
import Postgres
import Redis
import Synchronization

/// Stops the arena's writers now and then, and compares what is cached of it with the database.
struct ArenaInspector {
    let stage: Stage
    let findings: ArenaFindings

    /// For how long the arena is written to between two standstills.
    private static let interval = Duration.milliseconds(1_500)
    /// How long a worker is waited for with the writers kept out.
    private static let patience = Duration.milliseconds(1_500)
    /// For how much longer than a lease a long standstill lasts.
    private static let beyondLease = Duration.seconds(1)

    /// Does so again and again, as long as faults are made.
    func run(until end: ContinuousClock.Instant) async throws {
        for number in 1... {
            try await Task.sleep(for: Self.interval)
            guard ContinuousClock.now < end else { return }
            do {
                findings.note(try await standStill(isLong: number.isMultiple(of: 3)))
            } catch let error as PostgresError where error.isDefect {
                throw error
            } catch {
                try Task.checkCancellation()
                findings.breakOff()
            }
        }
    }

    private func standStill(isLong: Bool) async throws -> Standstill {
        try await stage.withRedis { redis in
            try await stage.withPrimary(connectTimeLimit: .seconds(2), queryTimeLimit: .seconds(3)) { connection in
                try await standStill(connection, redis, isLong: isLong)
            }
        }
    }

    private func standStill(
        _ connection: PostgresConnection,
        _ redis: RedisNode,
        isLong: Bool
    ) async throws -> Standstill {
        try await connection.run(script: "BEGIN; SET LOCAL lock_timeout = '2s'; \(ChaosData.stopArena)")
        let (began, start) = (Moment.now, ContinuousClock.now)
        let read = try await connection.query(ChaosData.readBack, [.array([Int64(ChaosData.arena)])])
        let values = try HistoryWriter.values(of: read)
        try await compare(connection, redis, until: start + Self.patience)
        if isLong {
            try await Task.sleep(until: start + stage.settings.lease + Self.beyondLease, clock: .continuous)
        }
        let standstill = Standstill(began: began, ended: .now, values: values)
        // Of a transaction that has failed COMMIT says so by its tag alone.
        guard try await connection.query("COMMIT").commandTag == "COMMIT" else {
            throw StageError(description: "the transaction of a standstill had failed")
        }
        return standstill
    }

    /// Looks every set up while the lock is held, and notes what that showed, also where it is cut short.
    private func compare(
        _ connection: PostgresConnection,
        _ redis: RedisNode,
        until end: ContinuousClock.Instant
    ) async throws {
        let detectors = ChaosData.detectors(of: ChaosData.arena).map { Int64($0) }
        var comparison = Comparison()
        let outcome: Result<Void, any Error>
        do {
            outcome = .success(
                try await CacheInspector(connection, redis: redis).compare(detectors, until: end, &comparison)
            )
        } catch {
            outcome = .failure(error)
        }
        _ = try await connection.query("SELECT")
        findings.note(comparison)
        try outcome.get()
    }
}

/// What all standstills have shown.
final class ArenaFindings: Sendable {
    /// What is known of them so far.
    struct Sums: Sendable {
        var standstills: [Standstill] = []
        /// How many were of no use, because a fault came between.
        var brokenOff = 0
        /// How many cached sets were compared with the database, each once in each standstill.
        var compared = 0
        var differences: [Comparison.Difference] = []
    }

    private let state = Mutex(Sums())

    var sums: Sums { state.withLock { $0 } }

    func note(_ standstill: Standstill) {
        state.withLock { $0.standstills.append(standstill) }
    }

    func note(_ comparison: Comparison) {
        state.withLock { sums in
            sums.compared += comparison.left.count
            sums.differences += comparison.differences.values.sorted { $0.key < $1.key }
        }
        for difference in comparison.differences.values.sorted(by: { $0.key < $1.key }) {
            say("          differs: \(difference)")
        }
    }

    func breakOff() {
        state.withLock { $0.brokenOff += 1 }
    }
}
