import Freshet
import FreshetPostgres
import Keyspace
import Redis

/// Brings caches to where they would be after a long time, with what the database holds now.
///
/// Nothing is changed meanwhile.
struct CacheFill {
    typealias Sets = [(detector: Int64, environment: Int, age: Duration)]

    let popularity: ZipfDistribution
    let loader: PostgresWorkflowLoader
    let node: RedisNode

    private static let bulkShare = 1 / Double(ReadLoad.changesPerBulkChange)
    private static let keysPerLoad = 2_000
    /// How many loads are under way at once.
    private static let lanes = 3

    private func sets(_ changesPerSecond: Int, _ timeToLive: Duration, bulkInvalidates: Bool) -> Sets {
        StationaryFill(
            popularity,
            lookupsPerSecond: Double(ReadLoad.lookupsPerSecond),
            changesPerSecond: Double(changesPerSecond),
            timeToLive: timeToLive,
            sharesThatInvalidate: (1 - Self.bulkShare, bulkInvalidates ? Self.bulkShare : 0)
        ).sets()
    }

    /// Fills what is usual, each set with the rest of its time.
    func fill(_ cache: DeletingCache, changesPerSecond: Int) async throws {
        let sets = sets(changesPerSecond, DeletingCache.timeToLive, bulkInvalidates: false)
        for start in stride(from: 0, to: sets.count, by: Self.keysPerLoad) {
            let some = sets[start..<min(start + Self.keysPerLoad, sets.count)]
            let values = try await loader.load(some.map { Installation.key($0.detector, $0.environment) }).values
            let commands = some.map { set in
                let key = Installation.key(set.detector, set.environment)
                let rest = Stopwatch.microseconds(DeletingCache.timeToLive - set.age) / 1_000
                return RedisCommand(
                    "SET",
                    .string(cache.name(of: key)),
                    .bytes(WorkflowCodec.encode(values[key] ?? [])),
                    "PX",
                    .integer(max(1, Int64(rest)))
                )
            }
            let batch = RedisBatch(key: "usual", commands: commands, isTransaction: false)
            for reply in try await node.send([batch]).first ?? [] { _ = try reply.get() }
        }
    }

    /// Fills Freshet's entries by the library's own way, and returns what is there.
    func fill(changesPerSecond: Int) async throws -> Sets {
        let sets = sets(changesPerSecond, KeyspaceLimits().timeToLive, bulkInvalidates: true)
        var options = CacheOptions()
        options.registry = CacheRegistry()
        let definition = WorkflowLookup.definition(namespace: .workflows, limits: KeyspaceLimits(), loader: loader.load)
        let cache = try ReadThroughCache(definition, redis: node, options: options, logger: .silent)
        try await FreshetProgram.until("the worker to vouch") { try await cache.trust() == .healthy }
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            for lane in 0..<Self.lanes {
                tasks.addTask {
                    let first = lane * Self.keysPerLoad
                    for start in stride(from: first, to: sets.count, by: Self.lanes * Self.keysPerLoad) {
                        let some = sets[start..<min(start + Self.keysPerLoad, sets.count)]
                        _ = try await cache.values(for: some.map { Installation.key($0.detector, $0.environment) })
                    }
                }
            }
            try await tasks.waitForAll()
        }
        return sets
    }

    /// Reads the most popular sets of those that are there into a near cache, until it is full; the most popular last.
    func warm(_ lookup: WorkflowLookup, with sets: Sets) async throws {
        // As soon as both of its connections are there, a second read of the same comes from memory.
        try await FreshetProgram.until("the near cache to listen") {
            try await lookup.workflows(ofDetector: 1, in: .environment(1)).detectors.first?.environment == .near
        }
        let detectorCount = NearCacheLimits().count / Installation.setCount
        let hot = sets.filter { $0.detector <= detectorCount }
        let withGlobal = Set(hot.filter { $0.environment == 0 }.map(\.detector))
        for environment in 1...Installation.environmentCount {
            let detectors = hot.filter { $0.environment == environment && withGlobal.contains($0.detector) }.map(
                \.detector
            )
            for end in stride(from: detectors.count, to: 0, by: -Self.detectorsPerLookup) {
                let some = detectors[max(0, end - Self.detectorsPerLookup)..<end]
                _ = try await lookup.workflows(ofDetectors: some, in: .environment(Int64(environment)))
            }
        }
    }

    private static let detectorsPerLookup = 200
}
