import Dispatch
import Glibc
import Keyspace
import LocalServices

/// The servers and programs between which a change travels: a durable Postgres with the tables twice, with our triggers and without,
/// the worker, and the floor.
struct CommitStage: Sendable {
    /// Who brings a change to Redis.
    enum Side: Hashable, Sendable {
        case ours, floor

        /// Where its tables are.
        var schema: String { self == .ours ? "public" : "bare" }
    }

    private let postgres: LocalPostgres
    private let worker: LocalProgram
    private let floor: LocalProgram
    private let redisPath: String

    private static let database = "commit"
    private static let namespace = CacheNamespace.workflows
    private static let floorPrefix = "floor:"

    /// Detectors from 100 to 409 and from 1,000 to 1,999; workflows that are named by how many detectors they have.
    private static let rows = """
        INSERT INTO workflow_engine_detector (id) SELECT generate_series(100, 409) UNION ALL SELECT generate_series(1000, 1999);
        INSERT INTO workflow_engine_workflow (id) VALUES (1), (3), (10), (1000);
        INSERT INTO workflow_engine_detectorworkflow (detector_id, workflow_id)
            SELECT 200, 1 UNION ALL SELECT id, 10 FROM generate_series(300, 309) AS id
            UNION ALL SELECT id, 1000 FROM generate_series(1000, 1999) AS id;
        """

    static func set(redisPath: String) async throws -> CommitStage {
        // As in production: a commit is on disk when it is acknowledged.
        let postgres = try await LocalPostgres.start(settings: ["fsync": "on", "full_page_writes": "on"])
        try await postgres.createDatabase(database)
        for schema in [Side.floor, .ours].map(\.schema) {
            try await postgres.psql(
                """
                CREATE SCHEMA IF NOT EXISTS \(schema); SET search_path = \(schema);
                \(ApplicationTables.statements(cascading: false)) \(rows)
                """,
                database: database
            )
        }
        let conninfo = postgres.connectionString(database: database)
        let redis = "unix://\(redisPath)"
        try await FreshetProgram.migrate(conninfo: conninfo, redis: redis)
        let worker = try await FreshetProgram.worker(conninfo: conninfo, redis: redis)
        let floor = try LocalProgram(
            executable: FreshetProgram.path(of: "CommitFloor"),
            arguments: [conninfo, redisPath]
        )
        try await floor.start()
        try await FreshetProgram.until("the floor to listen") { try floor.log().contains("ready") }
        let stage = CommitStage(postgres: postgres, worker: worker, floor: floor, redisPath: redisPath)
        try stage.fill()
        return stage
    }

    func end() async {
        await worker.destroy()
        await floor.destroy()
        await postgres.destroy()
    }

    /// Gives every detector what a cached one has: who is not cached is not raised.
    private func fill() throws {
        let redis = try BareRedis(.unix(path: redisPath))
        for detector in Array(Int64(100)...409) + Array(1_000...1_999) {
            for side in [Side.ours, .floor] {
                let generation = side == .ours ? "\(Generation.seed())" : "0"
                try redis.roundTrip(BareRedis.Commands([["HSET", key(of: detector, side), "g", generation]]))
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

    /// A writer who sees the keys that begin with a text.
    func client(_ side: Side, prefixText: String) throws -> CommitClient {
        let prefix = side == .ours ? Self.namespace.entityKeyPrefix(bucket: 0) : Self.floorPrefix
        return try CommitClient(
            conninfo: postgres.connectionString(database: Self.database),
            redisPath: redisPath,
            prefix: prefix + prefixText
        )
    }

    /// Does something that blocks where it holds up nobody.
    func onThread<Result: Sendable>(_ body: @escaping @Sendable () throws -> Result) async throws -> Result {
        try await withCheckedThrowingContinuation { continuation in
            DispatchQueue.global(qos: .userInitiated).async { continuation.resume(with: Swift.Result { try body() }) }
        }
    }
}
