import Glibc
import Keyspace
import LocalServices

/// The servers and programs between which a change travels: a durable Postgres with the tables twice, with our triggers and without,
/// the worker, and the floor.
///
/// Each side has a database of its own, because Postgres wakes all sessions that listen in the database of a notification, whatever they
/// listen to, and those in others only where they are far behind.
struct CommitStage: Sendable {
    /// Who brings a change to Redis.
    enum Side: Hashable, Sendable {
        case ours, floor

        /// Where its tables are.
        fileprivate var database: String { "commit_\(self)" }

        /// What its program calls itself in Postgres, as it connects.
        fileprivate var sessionName: String { "application_name=\(self)" }
    }

    private let postgres: LocalPostgres
    private let worker: LocalProgram
    private let floor: LocalProgram
    private let redisPath: String

    private static let namespace = CacheNamespace.workflows
    private static let floorPrefix = "floor:"

    /// A workflow that so many detectors have, of as many as there are of it, and these detectors.
    static func workflow(of count: Int, _ number: Int) -> (id: Int, detectors: ClosedRange<Int64>) {
        let place = number % workflowCount(of: count)
        let first = (count == 1 ? 200 : count == 10 ? 300 : 10_000) + place * count
        return (1_000 * count + place, Int64(first)...Int64(first + count - 1))
    }

    private static func workflowCount(of count: Int) -> Int { count == 1 ? 40 : count == 10 ? 20 : 4 }

    /// The single client's, then those of the clients who change something at once.
    private static let allDetectors: [ClosedRange<Int64>] =
        [100...699, 10_000...13_999, 6_000...6_799]
        + (0..<clientCount).map { client in
            let first = Int64(10_000 * (60 + client))
            return first...(first + 3_999)
        }

    /// How many clients change something at once, each of them what is its own: detectors, and workflows of 1, 10 and 1,000.
    static let clientCount = 8

    /// What the ids of a client's detectors begin with: 600 to 609, 6000 to 6099 and 600000 to 603999 are those of the first.
    static func prefixText(of client: Int) -> String { "\(60 + client)" }

    static func detectors(of client: Int) -> ClosedRange<Int64> {
        let first = Int64(10 * (60 + client))
        return first...(first + 9)
    }

    /// One of them after another.
    static func detector(_ number: Int, of client: Int) -> Int64 {
        detectors(of: client).lowerBound + Int64(number % 10)
    }

    /// One of a client's own workflows that so many detectors have, and these detectors, whom no other of them has.
    static func workflow(of count: Int, _ number: Int, ofClient client: Int) -> (id: Int, detectors: ClosedRange<Int64>)
    {
        let place = number % clientWorkflowCount(of: count)
        let (ids, first) =
            switch count {
            case 1: (2_000, 10 * (60 + client))
            case 10: (3_000, 100 * (60 + client))
            default: (4_000, 10_000 * (60 + client))
            }
        let begin = Int64(first + place * count)
        return (ids + 10 * client + place, begin...(begin + Int64(count) - 1))
    }

    private static func clientWorkflowCount(of count: Int) -> Int { count == 1_000 ? 4 : 10 }

    private static let workflowSizes = [1, 10, 1_000]

    /// Detectors, the workflows of 1, 10 and 1,000 of them, one that is linked and unlinked, and those of the clients.
    private static let rows: String = {
        let workflows = workflowSizes.flatMap { count in
            (0..<workflowCount(of: count)).map { workflow(of: count, $0) }
                + (0..<clientCount).flatMap { client in
                    (0..<clientWorkflowCount(of: count)).map { workflow(of: count, $0, ofClient: client) }
                }
        }
        return """
            INSERT INTO workflow_engine_detector (id)
                \(allDetectors.map { "SELECT generate_series(\($0.lowerBound), \($0.upperBound))" }.joined(separator: " UNION ALL "));
            INSERT INTO workflow_engine_workflow (id) VALUES (3), \(workflows.map { "(\($0.id))" }.joined(separator: ", "));
            \(workflows.map {
                """
                INSERT INTO workflow_engine_detectorworkflow (detector_id, workflow_id)
                    SELECT generate_series(\($0.detectors.lowerBound), \($0.detectors.upperBound)), \($0.id);
                """
            }.joined(separator: "\n"))
            """
    }()

    static func set(redisPath: String) async throws -> CommitStage {
        // As in production: a commit is on disk when it is acknowledged.
        let postgres = try await LocalPostgres.start(settings: ["fsync": "on", "full_page_writes": "on"])
        var programs: [LocalProgram] = []
        do {
            for side in [Side.floor, .ours] {
                try await postgres.createDatabase(side.database)
                try await postgres.psql(
                    "\(ApplicationTables.statements(cascading: false)) \(rows)",
                    database: side.database
                )
            }
            let ours = postgres.connectionString(database: Side.ours.database)
            let redis = "unix://\(redisPath)"
            try await FreshetProgram.migrate(conninfo: ours, redis: redis)
            let worker = try await FreshetProgram.worker(conninfo: "\(ours) \(Side.ours.sessionName)", redis: redis)
            programs.append(worker)
            let floor = try LocalProgram(
                executable: FreshetProgram.path(of: "CommitFloor"),
                arguments: [
                    "\(postgres.connectionString(database: Side.floor.database)) \(Side.floor.sessionName)", redisPath,
                ]
            )
            programs.append(floor)
            try await floor.start()
            try await FreshetProgram.until("the floor to listen") { try floor.log().contains("ready") }
            let stage = CommitStage(postgres: postgres, worker: worker, floor: floor, redisPath: redisPath)
            try stage.fill()
            return stage
        } catch {
            for program in programs { await program.destroy() }
            await postgres.destroy()
            throw error
        }
    }

    func end() async {
        await worker.destroy()
        await floor.destroy()
        await postgres.destroy()
    }

    /// Gives every detector what a cached one has: who is not cached is not raised.
    private func fill() throws {
        let redis = try BareRedis(.unix(path: redisPath))
        for detectors in Self.allDetectors {
            for side in [Side.ours, .floor] {
                let commands = detectors.map { detector in
                    ["HSET", key(of: detector, side), "g", side == .ours ? "\(Generation.seed())" : "0"]
                }
                try redis.roundTrip(BareRedis.Commands(commands))
            }
        }
    }

    // MARK: What both sides are told

    private func key(of detector: Int64, _ side: Side) -> String {
        side == .ours ? Self.namespace.key(of: Entity(detector)) : "\(Self.floorPrefix)\(detector)"
    }

    func keys(of detectors: ClosedRange<Int64>, _ side: Side) -> Set<String> {
        Set(detectors.map { key(of: $0, side) })
    }

    /// The message that commits a change: with a notification for the floor, which has no triggers.
    func sql(_ statement: String, changing detectors: ClosedRange<Int64>, _ side: Side) -> String {
        guard side == .floor else { return statement }
        return "\(statement); NOTIFY commit_floor, '\(Self.floorPrefix) \(detectors.lowerBound) \(detectors.count)'"
    }

    private func program(_ side: Side) -> LocalProgram { side == .ours ? worker : floor }

    private func conninfo(_ side: Side) -> String { postgres.connectionString(database: side.database) }

    /// The clocks of those who bring changes to Redis on a side, and of who makes them; each writer knows that of its own session.
    func clocks(_ side: Side) throws -> [CommitParty: [ProcessorClock]] {
        guard let program = program(side).processIdentifier else {
            throw NotWarm(description: "no process of \(side)")
        }
        let sessions = try BarePostgres(conninfo(side)).otherSessions("application_name = '\(side)'")
        guard !sessions.isEmpty else { throw NotWarm(description: "no session of \(side)") }
        return [
            .sessions: try sessions.map(ProcessorClock.init(of:)),
            .program: [try ProcessorClock(of: program)],
            .redis: [try ProcessorClock(of: BareRedis(.unix(path: redisPath)).processIdentifier())],
            .clients: [try ProcessorClock(of: getpid())],
        ]
    }

    /// Waits until the worker is done with all changes, so that what it does for one side's falls into no turn of the other's.
    ///
    /// A row that it has claimed is there until its pass has committed.
    func settle() async throws {
        try await FreshetProgram.until("the journal to be claimed") {
            try await onThread {
                try BarePostgres(conninfo(.ours)).rowCount(of: "SELECT FROM freshet.change LIMIT 1") == 0
            }
        }
        // Where a pass has claimed a change before its hint was heard, that asks for one more, which begins 40 ms later at most. That
        // none begins is told by nobody.
        try await Task.sleep(for: .milliseconds(60))
    }

    /// A writer who sees the keys that begin with a text.
    func client(_ side: Side, prefixText: String) throws -> CommitClient {
        let prefix = side == .ours ? Self.namespace.entityKeyPrefix(bucket: 0) : Self.floorPrefix
        return try CommitClient(
            conninfo: conninfo(side),
            redisPath: redisPath,
            prefix: prefix + prefixText,
            program: program(side)
        )
    }
}
