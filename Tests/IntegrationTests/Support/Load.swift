import Freshet
import Postgres
import Synchronization
import Testing

/// Writers and a reader that do not rest.
///
/// Each writer moves, switches, links and unlinks workflows of its own, so that writers never wait for each other, and the
/// reader fills the cache while they do.
final class Load: Sendable {
    enum Place: Hashable, Sendable { case committed, read }

    /// Counts commits and lookups.
    let arrivals = Arrivals<Place>()
    private let scenario: Scenario
    private let survivesRestarts: Bool
    private let isStopping = Atomic(false)
    private let tasks = Mutex<[Task<Void, any Error>]>([])

    private static let writers: [Int64] = [1, 2, 3]
    private static let detectors = Array(1...6 as ClosedRange<Int64>)
    private static let environments: [Int64] = [5, 6, 7]

    private init(scenario: Scenario, survivesRestarts: Bool) {
        self.scenario = scenario
        self.survivesRestarts = survivesRestarts
    }

    /// Inserts what the writers write to, and lets them loose.
    ///
    /// - Parameter survivesRestarts: whether a lost connection is no failure, but a reason to connect again.
    static func start(on scenario: Scenario, survivesRestarts: Bool = false) async throws -> Load {
        let load = Load(scenario: scenario, survivesRestarts: survivesRestarts)
        try await scenario.insert(
            detectors: detectors,
            workflows: writers.flatMap { writer in (1...4).map { (writer * 10 + $0, environments.first) } }
        )
        load.tasks.withLock { tasks in
            tasks = writers.map { writer in Task { try await load.write(as: writer) } }
            tasks.append(Task { try await load.read() })
        }
        return load
    }

    /// Waits until so many more transactions were committed.
    func commits(_ count: Int) async throws {
        let before = arrivals.count(of: .committed)
        try await arrivals.wait(for: .committed, count: before + count, within: .seconds(60))
    }

    /// Ends all, and fails with the first failure of any of them.
    func stop() async throws {
        isStopping.store(true, ordering: .relaxed)
        for task in tasks.withLock({ $0 }) { try await task.value }
    }

    /// Holds what readers see against the database, when nothing is changing any more.
    func expectConsistent() async throws {
        try await scenario.expectConsistent(detectors: Self.detectors, environments: Self.environments)
    }

    private func write(as writer: Int64) async throws {
        while !isStopping.load(ordering: .relaxed) {
            try await unlessServerIsGone {
                let connection = try await scenario.connect(user: Servers.Roles.writer)
                do {
                    try await connection.run(script: "SET freshet.notify = auto")
                    while !isStopping.load(ordering: .relaxed) {
                        // Whoever waits longer for a lock fails, and with it a test that survives no restarts. Not at the end: there it
                        // waits for whoever else notifies, anywhere on this server.
                        try await connection.run(
                            script: """
                                BEGIN; SET LOCAL lock_timeout = '2s'; \(Self.change(of: writer));
                                SET LOCAL lock_timeout = 0; COMMIT
                                """
                        )
                        arrivals.arrive(at: .committed)
                    }
                } catch {
                    await connection.close()
                    throw error
                }
                await connection.close()
            }
        }
    }

    private func read() async throws {
        while !isStopping.load(ordering: .relaxed) {
            try await unlessServerIsGone {
                for environment in Self.environments {
                    _ = try await scenario.lookup.workflows(ofDetectors: Self.detectors, in: .environment(environment))
                    arrivals.arrive(at: .read)
                }
            }
        }
    }

    private func unlessServerIsGone(_ body: () async throws -> Void) async throws {
        do {
            try await body()
        } catch let error as PostgresError where survivesRestarts && error.isRetryable {
            try await Task.sleep(for: .milliseconds(20))
        }
    }

    private static func change(of writer: Int64) -> String {
        let workflow = writer * 10 + .random(in: 1...4)
        let detector = detectors.randomElement() ?? 1
        let environment = (environments.map(String.init) + ["NULL"]).randomElement() ?? "NULL"
        return switch Int.random(in: 1...5) {
        case 1: "UPDATE workflow_engine_workflow SET enabled = NOT enabled WHERE id = \(workflow)"
        case 2, 3: "UPDATE workflow_engine_workflow SET environment_id = \(environment) WHERE id = \(workflow)"
        case 4:
            """
            DELETE FROM workflow_engine_detectorworkflow WHERE detector_id = \(detector) AND workflow_id = \(workflow)
            """
        default:
            """
            INSERT INTO workflow_engine_detectorworkflow (detector_id, workflow_id) VALUES (\(detector), \(workflow))
            ON CONFLICT DO NOTHING
            """
        }
    }
}
