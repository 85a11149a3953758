// The end: what the database holds is compared with what writers recorded, with what every cached entry says, and what readers
// were answered is checked.

import History
import Postgres

/// Finds out whether all went well.
struct Referee {
    let stage: Stage

    /// What the database held when nothing was written any more.
    struct Truth {
        var heads: [Int: UInt64]
        var readAt: Moment
        var values: [HistoryKey: String]

        /// The time from then on, in which nobody writes any more.
        func standstill(until end: Moment) -> Standstill {
            Standstill(began: readAt, ended: end, values: values, isLast: true)
        }
    }

    private static let drainTimeLimit: Duration = .seconds(90)

    /// Reads what is there, under the locks of all owners and of the arena.
    func truth() async throws -> Truth {
        try await stage.withPrimary { connection in
            try await connection.run(script: "BEGIN; \(ChaosData.stopArena)")
            let owners = try await connection.query(
                "SELECT owner, transaction FROM chaos_owner ORDER BY owner FOR UPDATE"
            )
            let readAt = Moment.now
            var heads: [Int: UInt64] = [:]
            for row in owners.rows {
                heads[Int(try owners.int64(row, 0) ?? 0)] = UInt64(try owners.int64(row, 1) ?? 0)
            }
            let read = try await connection.query(ChaosData.readBack, [.array(ChaosData.groups.map { Int64($0) })])
            let values = try HistoryWriter.values(of: read)
            try await connection.run(script: "COMMIT")
            return Truth(heads: heads, readAt: readAt, values: values)
        }
    }

    /// Waits until the journal is empty and the worker vouches, then compares every entry that a reader would be served.
    ///
    /// First what the readers have left, then what has been filled since.
    func compareCache() async throws -> Comparison {
        try await stage.withRedis { redis in
            try await stage.withPrimary { connection in
                let end = ContinuousClock.now + Self.drainTimeLimit
                try await drain(connection, until: end)
                let inspector = try CacheInspector(connection, redis: redis)
                var comparison = Comparison()
                try await inspector.compare(ChaosData.detectors, times: 2, until: end, &comparison)
                return comparison
            }
        }
    }

    private func drain(_ connection: PostgresConnection, until end: ContinuousClock.Instant) async throws {
        while let rows = try await connection.query("SELECT count(*) FROM freshet.change").int64(0, 0), rows > 0 {
            guard .now < end else {
                throw StageError(
                    description: "\(Self.drainTimeLimit) after the last fault \(rows) changes are in the journal"
                )
            }
            try await Task.sleep(for: .milliseconds(50))
        }
    }

    // MARK: The history

    /// Checks all that was recorded.
    ///
    /// - Parameter standstills: When nobody wrote to the arena.
    func check(
        _ truth: Truth,
        standstills: [Standstill]
    ) async throws -> (checker: HistoryChecker, meanings: [Digest: String]) {
        let history = try CommitHistory(
            records: try stage.written(),
            heads: truth.heads,
            readAt: truth.readAt,
            keys: ChaosData.keys
        )
        for key in ChaosData.keys {
            let last = history.keys[key]?.versions.last?.value ?? ""
            guard last == truth.values[key] ?? "" else {
                throw StageError(
                    description: """
                        \(key): the last transaction left "\(last)", and the database holds "\(truth.values[key] ?? "")": \
                        the recording is wrong
                        """
                )
            }
        }
        let bounds = Bounds(
            lease: stage.settings.lease,
            degradedAge: stage.settings.degradedAge,
            steps: await stage.redis.steps
        )
        var checker = HistoryChecker(history, bounds: bounds, standstills: standstills)
        var meanings: [Digest: String] = [:]
        for (name, path) in stage.reads {
            try ReadRecord.decode(try RecordFile.contents(of: path)) { record in
                switch record {
                case .lookup(let lookup): checker.check(lookup, by: name)
                case .meaning(let digest, let text): meanings[digest] = text
                }
            }
        }
        return (checker, meanings)
    }
}
