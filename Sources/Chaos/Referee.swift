// The end: what the database holds is compared with what writers recorded, with what every cached entry says, and what readers
// were answered is checked.

import Freshet
import FreshetPostgres
import History
import Keyspace
import LocalServices
import Postgres
import Redis

/// Finds out whether all went well.
struct Referee {
    let stage: Stage

    /// What the database held when nothing was written any more.
    struct Truth {
        var heads: [Int: UInt64]
        var readAt: Moment
        var values: [HistoryKey: String]
    }

    /// How the cache was found at the end: each set counts once, however often it was read.
    struct Cached {
        var compared: Set<DetectorWorkflowsKey> = []
        /// In words.
        var differences: [DetectorWorkflowsKey: String] = [:]
    }

    private static let drainTimeLimit: Duration = .seconds(90)

    /// Reads what is there, under the locks of all owners.
    func truth() async throws -> Truth {
        let primary = await stage.postgres.primary
        let connection = try await PostgresConnection.connect(
            PostgresConfiguration(connectionString: primary.connectionString(database: ChaosData.database)),
            logger: .client("referee")
        )
        do {
            try await connection.run(script: "BEGIN")
            let owners = try await connection.query(
                "SELECT owner, transaction FROM chaos_owner ORDER BY owner FOR UPDATE"
            )
            let readAt = Moment.now
            var heads: [Int: UInt64] = [:]
            for row in owners.rows {
                heads[Int(try owners.int64(row, 0) ?? 0)] = UInt64(try owners.int64(row, 1) ?? 0)
            }
            let read = try await connection.query(
                ChaosData.readBack,
                [.array(ChaosData.owners.map { Int64($0) })]
            )
            let values = try HistoryWriter.values(of: read)
            try await connection.run(script: "COMMIT")
            await connection.close()
            return Truth(heads: heads, readAt: readAt, values: values)
        } catch {
            await connection.close()
            throw error
        }
    }

    /// Waits until the journal is empty and the worker vouches, then compares every entry that a reader would be served.
    func compareCache() async throws -> Cached {
        let primary = await stage.postgres.primary
        let redis = RedisNode(try RedisConfiguration(url: await stage.redis.url), logger: .client("referee"))
        let pool = PostgresPool(
            configuration: PostgresConfiguration(
                connectionString: primary.connectionString(database: ChaosData.database)
            ),
            maximumConnections: 2,
            logger: .client("referee")
        )
        let result: Result<Cached, any Error>
        do {
            result = .success(try await compare(redis, pool))
        } catch {
            result = .failure(error)
        }
        await pool.close()
        await redis.close()
        return try result.get()
    }

    private func compare(_ redis: RedisNode, _ pool: PostgresPool) async throws -> Cached {
        let loader = PostgresWorkflowLoader(pool: pool)
        let lookup = try WorkflowLookup(redis: redis, loader: loader.load, logger: .client("referee"))
        try await drain(lookup, pool)
        var cached = Cached()
        // First what the readers have left, then what the same reads have filled.
        for _ in 1...2 {
            for environment in ChaosData.environments.map({ DetectorEnvironment.environment(Int64($0)) }) {
                let keys = ChaosData.detectors.flatMap { id in
                    [DetectorEnvironment.global, environment].map {
                        DetectorWorkflowsKey(detectorID: id, environment: $0)
                    }
                }
                let truth = try await loader.load(keys).values
                var answer = try await lookup.workflows(ofDetectors: ChaosData.detectors, in: environment)
                // A promise that is not renewed in time, on a machine that is busy, is made again.
                let end = ContinuousClock.now + Self.drainTimeLimit
                while answer.trust != .healthy {
                    guard .now < end else {
                        throw StageError(description: "with all faults over, readers are \(answer.trust)")
                    }
                    try await drain(lookup, pool)
                    answer = try await lookup.workflows(ofDetectors: ChaosData.detectors, in: environment)
                }
                for (key, found) in answer.detectors.flatMap({ $0.sets(in: environment) }) {
                    if found.source == .hit { cached.compared.insert(key) }
                    let expected = truth[key] ?? []
                    guard found.value != expected else { continue }
                    cached.differences[key] = """
                        detector \(key.detectorID), environment \(key.environment.variant): the cache says \
                        "\(ChaosData.text(of: found.value))", the database "\(ChaosData.text(of: expected))"
                        """
                }
            }
        }
        return cached
    }

    private func drain(_ lookup: WorkflowLookup, _ pool: PostgresPool) async throws {
        let end = ContinuousClock.now + Self.drainTimeLimit
        while true {
            // A new one each time: one that was made after a crash, before the worker has taken over, names an incarnation that
            // no head will ever have. It is never answered from the cache.
            let token = try await pool.withConnection { connection in
                let result = try await connection.query("SELECT freshet.token()")
                return result.string(0, 0)
            }
            let rows = try await pool.withConnection { connection in
                let result = try await connection.query("SELECT count(*) FROM freshet.change")
                return try result.int64(0, 0)
            }
            let answer = try await lookup.workflows(
                ofDetectors: ChaosData.detectors,
                after: token.flatMap { ReadToken($0) }
            )
            // Not loaded because the token's transaction has not been applied.
            let isApplied = answer.detectors.allSatisfy { $0.global != .miss(.behind) }
            if rows == 0, isApplied, answer.trust == .healthy { return }
            guard ContinuousClock.now < end else {
                throw StageError(
                    description: """
                        \(Self.drainTimeLimit) after the last fault \(rows ?? -1) changes are in the journal, readers are \
                        \(answer.trust), and what was committed by now is \(isApplied ? "" : "not ")known to be applied
                        """
                )
            }
            try await Task.sleep(for: .milliseconds(50))
        }
    }

    // MARK: The history

    /// Checks all that was recorded.
    func check(_ truth: Truth) async throws -> (checker: HistoryChecker, meanings: [Digest: String]) {
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
        var checker = HistoryChecker(history, bounds: bounds)
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

    /// The violations with the shortest histories, told.
    func tell(
        _ checker: HistoryChecker,
        _ meanings: [Digest: String],
        _ incidents: Incidents,
        count: Int
    ) throws -> [String] {
        // One for each set: the next answers of the same reader say the same.
        var seen: Set<HistoryKey> = []
        let worst = checker.violations
            .sorted { ($0.commitsBetween, $0.lookup.began) < ($1.commitsBetween, $1.lookup.began) }
            .filter { seen.insert($0.answer.key).inserted }
            .prefix(count)
        let story = Story(origin: incidents.origin, meanings: meanings)
        var neighbours: [HistoryKey: [Story.Neighbour]] = [:]
        for (name, path) in stage.reads where !worst.isEmpty {
            try ReadRecord.decode(try RecordFile.contents(of: path)) { record in
                guard case .lookup(let lookup) = record else { return }
                for violation in worst where abs((lookup.began - violation.lookup.began) / .seconds(1)) < 10 {
                    for answer in lookup.answers where answer.key == violation.answer.key {
                        neighbours[answer.key, default: []].append(
                            Story.Neighbour(reader: name, lookup: lookup, answer: answer)
                        )
                    }
                }
            }
        }
        return worst.flatMap { violation in
            guard let key = checker.history.keys[violation.answer.key] else { return [] as [String] }
            let others = (neighbours[violation.answer.key] ?? []).sorted { $0.lookup.began < $1.lookup.began }
            return story.tell(violation, of: key, neighbours: others, incidents: incidents.all)
        }
    }
}
