import Freshet
import FreshetPostgres
import History
import Keyspace
import Postgres
import Redis

/// Compares what is cached with what the database holds, while nobody writes.
///
/// What is compared is what a reader is given with a token of now. That knows of no lease and of no doubt: a hit is a value that no
/// commit has changed by now, or the promise is broken, whatever else is being broken meanwhile.
struct CacheInspector {
    private let lookup: WorkflowLookup
    private let connection: PostgresConnection

    /// - Parameters:
    ///   - connection: To the server that takes writes; used by nobody else meanwhile.
    ///   - redis: Where the readers' entries are; it is not closed.
    init(_ connection: PostgresConnection, redis: RedisNode) throws {
        self.connection = connection
        var options = CacheOptions()
        // Several of these may be there at once.
        options.registry = CacheRegistry()
        lookup = try WorkflowLookup(
            redis: redis,
            options: options,
            loader: { try await Self.load($0, on: connection) },
            logger: .client("inspector")
        )
    }

    private static func load(
        _ keys: [DetectorWorkflowsKey],
        on connection: PostgresConnection
    ) async throws -> LoadedValues<DetectorWorkflowsKey, [Workflow]> {
        try await PostgresWorkflowLoader.load(keys, from: WorkflowTables(), on: connection)
    }

    /// Looks every set of some detectors up, several times, and holds it against the database.
    ///
    /// - Parameters:
    ///   - end: When to give up waiting for a worker that has applied everything.
    ///   - comparison: Is told of each set, so that what was found is known also where an error ends it.
    /// - Throws: ``StageError`` where none has.
    func compare(
        _ detectors: [Int64],
        times: Int = 1,
        until end: ContinuousClock.Instant,
        _ comparison: inout Comparison
    ) async throws {
        for _ in 1...times {
            for environment in ChaosData.environments.map({ DetectorEnvironment.environment(Int64($0)) }) {
                try await compare(detectors, in: environment, until: end, &comparison)
            }
        }
    }

    private func compare(
        _ detectors: [Int64],
        in environment: DetectorEnvironment,
        until end: ContinuousClock.Instant,
        _ comparison: inout Comparison
    ) async throws {
        let keys = detectors.flatMap { id in
            [DetectorEnvironment.global, environment].map { DetectorWorkflowsKey(detectorID: id, environment: $0) }
        }
        let truth = try await Self.load(keys, on: connection).values
        let answer = try await appliedAnswer(detectors, in: environment, until: end)
        let found = Moment.now
        for (set, cached) in answer.detectors.flatMap({ $0.sets(in: environment) }) {
            let (key, expected) = (ChaosData.key(of: set), truth[set] ?? [])
            let difference = Comparison.Difference(
                key: key,
                found: found,
                answer: ChaosData.text(of: cached.value),
                truth: ChaosData.text(of: expected)
            )
            comparison.note(
                key,
                isCached: cached.source == .hit,
                difference: cached.value == expected ? nil : difference
            )
        }
    }

    /// What a reader is given that asks for nothing from before now, once a worker vouches for all of that.
    private func appliedAnswer(
        _ detectors: [Int64],
        in environment: DetectorEnvironment,
        until end: ContinuousClock.Instant
    ) async throws -> WorkflowAnswer {
        while true {
            // A new one each time: one that was made after a crash, before the worker has taken over, names an incarnation that
            // no head will ever have. It is never answered from the cache.
            let token = try await connection.query("SELECT freshet.token()").requiredString(0, 0)
            let answer = try await lookup.workflows(ofDetectors: detectors, in: environment, after: ReadToken(token))
            // Not loaded because the token's transaction has not been applied.
            let isApplied = answer.detectors.allSatisfy { $0.global != .miss(.behind) }
            if isApplied, answer.trust == .healthy { return answer }
            guard .now < end else {
                throw StageError(
                    description: """
                        readers are \(answer.trust), and what was committed by now is \(isApplied ? "" : "not ")known to be \
                        applied
                        """
                )
            }
            try await Task.sleep(for: .milliseconds(50))
        }
    }
}
