import CHiredis
import Freshet
import Glibc
import Keyspace
import LocalServices

/// So many detectors in Redis and in Postgres, and a worker.
struct ScaleStage: Sendable {
    /// How many detectors change that are cached.
    static let cachedCount = 300
    /// The same of those that are not: many, because the buffers of Redis' clients grow and shrink by some 60 kB.
    static let uncachedCount = 3_000

    let size: Int
    private let postgres: LocalPostgres
    private let redis: LocalRedis
    private let worker: LocalProgram
    private let database: String

    /// The bytes of one cached set of workflows.
    static let payloadLength = WorkflowCodec.encode(WarmCache.workflows(of: 1, in: nil)).count

    private static let namespace = CacheNamespace.workflows

    var transport: Transport { .unix(path: redis.socketPath) }
    /// Detectors that are not in Redis.
    var uncached: ClosedRange<Int64> { Int64(size + 1)...Int64(size + Self.uncachedCount) }
    /// As many others that are not there either, to change before those that count.
    var uncachedBefore: ClosedRange<Int64> {
        (uncached.upperBound + 1)...(uncached.upperBound + Int64(Self.uncachedCount))
    }
    var someCached: ClosedRange<Int64> { 1...Int64(Self.cachedCount) }

    /// - Parameter redis: Is ended with the stage.
    static func set(size: Int, on postgres: LocalPostgres, _ redis: LocalRedis) async throws -> ScaleStage {
        let database = "scale\(size)"
        try await postgres.createDatabase(database)
        // A namespace is invalidated without a look at workflows and links; a detector that changes, likewise.
        try await postgres.psql(
            """
            \(ApplicationTables.statements(cascading: false))
            INSERT INTO workflow_engine_detector (id) SELECT generate_series(1, \(size + 2 * uncachedCount));
            VACUUM ANALYZE;
            CHECKPOINT;
            """,
            database: database
        )
        let conninfo = postgres.connectionString(database: database)
        let url = "unix://\(redis.socketPath)"
        try await FreshetProgram.migrate(conninfo: conninfo, redis: url)
        // The history of changes takes some memory of Redis, which is bounded, and nothing of a detector.
        let worker = try await FreshetProgram.worker(
            conninfo: conninfo,
            redis: url,
            options: FreshetProgram.forgets
        )
        let stage = ScaleStage(size: size, postgres: postgres, redis: redis, worker: worker, database: database)
        do {
            let bare = try BareRedis(stage.transport)
            try await FreshetProgram.until("the worker to vouch") {
                try bare.text("HGET", namespace.headKey(bucket: 0), "vouched") != ""
            }
        } catch {
            await worker.destroy()
            throw error
        }
        return stage
    }

    func end() async {
        await worker.destroy()
        await redis.destroy()
    }

    // MARK: Redis

    /// Writes two entries for each detector, and returns how many bytes of Redis' memory each of them takes.
    func fill() throws -> Double {
        let bare = try BareRedis(transport)
        guard let generation = Generation(try bare.text("HGET", Self.namespace.headKey(bucket: 0), "gen")) else {
            throw NotWarm(description: "the worker vouches, and the namespace has no generation")
        }
        let before = try memory(bare)
        let time = RedisTime(microseconds: try bare.time())
        let variants = [nil, WarmCache.environment].map { environment in
            (
                field: Array("e:\(environment.map { Variant($0) } ?? .global)".utf8),
                payload: WorkflowCodec.encode(WarmCache.workflows(of: 1, in: environment))
            )
        }
        let (detectorsPerWrite, prefix) = (500, Self.namespace.entityKeyPrefix(bucket: 0))
        for start in stride(from: 1, through: size, by: detectorsPerWrite) {
            let words = (start..<min(start + detectorsPerWrite, size + 1)).map { detector in
                let own = Generation.seed()
                let stamp = EntryStamp(namespace: generation, entity: own, variant: nil, readAt: time)
                let entries = variants.flatMap { field, payload in
                    [field, EntryCodec.encode(Entry(stamp: stamp, payload: payload[...]))]
                }
                return [
                    Array("HSET".utf8), Array("\(prefix)\(detector)".utf8), [UInt8(ascii: "g")], Array("\(own)".utf8),
                ]
                    + entries
            }
            try bare.roundTrip(BareRedis.Commands(words: words))
        }
        return Double(try memory(bare) - before) / Double(2 * size)
    }

    /// How many keys there are, and how many bytes of memory Redis uses.
    func held(_ bare: BareRedis) throws -> (keys: Int, bytes: Int) {
        var count: Int64 = 0
        try bare.roundTrip(BareRedis.Commands([["DBSIZE"]])) { count = $0.pointee.integer }
        return (Int(count), try memory(bare))
    }

    private func memory(_ bare: BareRedis) throws -> Int {
        let info = try bare.text("INFO", "memory")
        let name = "used_memory:"
        guard let start = info.firstRange(of: name)?.upperBound, let bytes = Int(info[start...].prefix { $0.isNumber })
        else { throw NotWarm(description: "Redis does not tell \(name)") }
        return bytes
    }

    // MARK: Postgres

    /// Invalidates everything again and again, and returns how long it took from the commit to the new generation.
    func invalidate(times: Int) async throws -> Distribution {
        let (conninfo, path) = (postgres.connectionString(database: database), redis.socketPath)
        let samples = try await onThread {
            let key = Self.namespace.bumpKey(bucket: 0)
            let client = try CommitClient(conninfo: conninfo, redisPath: path, prefix: key, program: worker)
            // The first warms up, and does not count.
            return try (0...times).map { _ in
                try client.sample("SELECT freshet.invalidate_all()", changing: [key]).sinceAcknowledged
            }.dropFirst()
        }
        guard let distribution = Distribution(of: Array(samples)) else { throw NotWarm(description: "no samples") }
        return distribution
    }

    /// Changes some detectors one after another, each in a transaction of its own, and waits until the worker has applied all of it.
    func change(_ detectors: ClosedRange<Int64>) async throws {
        let conninfo = postgres.connectionString(database: database)
        try await onThread {
            let client = try CommitClient(
                conninfo: conninfo,
                redisPath: redis.socketPath,
                prefix: "none:",
                program: worker
            )
            for detector in detectors {
                try client.execute("UPDATE workflow_engine_detector SET enabled = NOT enabled WHERE id = \(detector)")
            }
        }
        try await FreshetProgram.until("the journal to be drained") {
            try await postgres.psql("SELECT count(*) FROM freshet.change", database: database) == "0\n"
        }
    }

    /// The worker's resident memory in MiB.
    func workerMemory() throws -> Double {
        guard let process = worker.processIdentifier, let file = fopen("/proc/\(process)/status", "r") else {
            throw NotWarm(description: "the worker has ended: \(try worker.log())")
        }
        defer { fclose(file) }
        var line = [CChar](repeating: 0, count: 256)
        while fgets(&line, Int32(line.count), file) != nil {
            let words = String(decoding: line.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
                .split(whereSeparator: \.isWhitespace)
            if words.first == "VmRSS:", words.count > 1, let kibibytes = Double(words[1]) { return kibibytes / 1_024 }
        }
        throw NotWarm(description: "the kernel does not tell the worker's memory")
    }
}
