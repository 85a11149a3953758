// What depends on how much is cached, and what must not: the same at 1,000, 100,000 and 1,000,000 detectors, each with two sets of
// three workflows in Redis.

import Freshet
import Keyspace
import LocalServices
import Redis
import Surroundings

struct ScaleBenchmark: Benchmark {
    let name = "scale"
    let heldEqual = """
        entries of the same bytes, a Redis and a worker that are new at each size, a Postgres with the detectors and without what is \
        not asked for; lookups in turns with a bare loop of hiredis that sends the same
        """

    private static let sizes = [1_000, 100_000, 1_000_000]

    private struct Figures {
        var size: Int
        var lookup: Stopwatch.Pair
        var bytesPerEntry: Double
        /// How many keys appeared when detectors changed that nobody had cached.
        var keysOfUncached: Int
        /// By how many bytes Redis' memory grew meanwhile, for each of these detectors.
        var bytesPerUncached: Double
        /// From the acknowledgement of the commit, in microseconds.
        var invalidation: Distribution
        var workerMemory: Double
    }

    func run(on server: BenchmarkServer) async throws -> [Bar] {
        let postgres = try await LocalPostgres.start(settings: [
            "fsync": "on", "full_page_writes": "on", "max_wal_size": "1GB",
        ])
        var all: [Figures] = []
        do {
            for size in Self.sizes { all.append(try await Self.figures(of: size, on: postgres)) }
        } catch {
            await postgres.destroy()
            throw error
        }
        await postgres.destroy()
        return Self.bars(all)
    }

    private static func figures(of size: Int, on postgres: LocalPostgres) async throws -> Figures {
        let redis = try await LocalRedis.start()
        let stage: ScaleStage
        do { stage = try await ScaleStage.set(size: size, on: postgres, redis) } catch {
            await redis.destroy()
            throw error
        }
        let figures: Figures
        do { figures = try await Self.figures(on: stage) } catch {
            await stage.end()
            throw error
        }
        await stage.end()
        return figures
    }

    private static func figures(on stage: ScaleStage) async throws -> Figures {
        let bytesPerEntry = try stage.fill()
        let lookup = try await lookup(on: stage)
        // The first changes leave scripts in Redis, whoever is cached. They are of other detectors: what a change left of the same ones
        // would be there before those that count.
        try await stage.change(stage.uncachedBefore)
        let bare = try BareRedis(stage.transport)
        let before = try stage.held(bare)
        try await stage.change(stage.uncached)
        let after = try stage.held(bare)
        let invalidation = try await stage.invalidate(times: 50)
        try await stage.change(stage.someCached)
        return Figures(
            size: stage.size,
            lookup: lookup,
            bytesPerEntry: bytesPerEntry,
            keysOfUncached: after.keys - before.keys,
            bytesPerUncached: Double(after.bytes - before.bytes) / Double(ScaleStage.uncachedCount),
            invalidation: invalidation,
            workerMemory: try stage.workerMemory()
        )
    }

    /// Lookups of one detector, any of them, whose sets are both in Redis.
    private static func lookup(on stage: ScaleStage) async throws -> Stopwatch.Pair {
        let node = RedisNode(stage.transport.configuration, logger: .silent)
        var options = CacheOptions()
        options.registry = CacheRegistry()
        let lookup = try WorkflowLookup(
            redis: node,
            options: options,
            loader: { keys in throw NotWarm(description: "\(keys.count) keys were loaded") },
            logger: .silent
        )
        var chance = SplitMix64(seed: 1)
        let detectors = (0..<4_000).map { _ in Int64(1 + chance.below(stage.size)) }
        let cache = WarmCache(filled: detectors)
        let commands = detectors.map { BareRedis.Commands(cache.commands(for: CollectionOfOne($0))) }
        let bare = try BareRedis(stage.transport)
        // Each goes through them on its own, so that neither finds in the processor's cache what the other has just read.
        var (ours, theirs) = (0, detectors.count / 2)
        let times = try await withTaskExecutorPreference(node.executor) {
            try await Stopwatch.compare(rounds: 60, batch: 100) {
                ours = (ours + 1) % detectors.count
                let answer = try await lookup.workflows(
                    ofDetector: detectors[ours],
                    in: .environment(WarmCache.environment)
                )
                guard answer.trust == .healthy, answer.detectors.first?.environment == .hit else {
                    throw NotWarm(description: "detector \(detectors[ours]) is not cached")
                }
            } with: {
                theirs = (theirs + 1) % detectors.count
                try bare.roundTrip(commands[theirs])
            }
        }
        await node.close()
        return times
    }

    // MARK: Figures

    private static func bars(_ all: [Figures]) -> [Bar] {
        guard let first = all.first, let last = all.last else { return [] }
        let rows = all.flatMap { figures in
            let labels = ["detectors": "\(figures.size)"]
            let title = "\(grouped(figures.size)) detectors"
            return [
                Bar(
                    name: "\(title), warm lookup of one, µs",
                    figure: figures.lookup.ours,
                    limit: .none,
                    origin: "\(Bar.text(figures.lookup.ratio)) of a bare round trip",
                    measured: figures.lookup.measured,
                    baseline: figures.lookup.against,
                    labels: labels,
                    figures: [
                        "lookup_us": figures.lookup.ours,
                        "bytes_per_entry": figures.bytesPerEntry,
                        "bytes_per_uncached_detector": figures.bytesPerUncached,
                        "namespace_invalidation_us": figures.invalidation.median,
                        "worker_memory_mib": figures.workerMemory,
                    ]
                ),
                Bar(
                    name: "\(title), commit to the new namespace generation, µs",
                    figure: figures.invalidation.median,
                    limit: .none,
                    origin: "\(figures.invalidation.count) times",
                    measured: figures.invalidation,
                    labels: labels
                ),
                Bar(
                    name: "\(title), bytes in Redis for one entry",
                    figure: figures.bytesPerEntry,
                    limit: .none,
                    origin: "used_memory, for \(grouped(2 * figures.size)) entries with their keys and generations; "
                        + "a value has \(ScaleStage.payloadLength)",
                    labels: labels
                ),
                Bar(
                    name: "\(title), keys in Redis of detectors that change and were never cached",
                    figure: Double(figures.keysOfUncached),
                    limit: .atMost(0),
                    origin: "after \(grouped(ScaleStage.uncachedCount)) changes, each of another",
                    labels: labels
                ),
                Bar(
                    name: "\(title), bytes in Redis for a detector that changes and was never cached",
                    figure: figures.bytesPerUncached,
                    limit: .none,
                    origin:
                        "used_memory, for \(grouped(ScaleStage.uncachedCount)) of them; the buffers of clients come and go, some 60 kB",
                    labels: labels
                ),
                Bar(
                    name: "\(title), the worker's memory, MiB",
                    figure: figures.workerMemory,
                    limit: .none,
                    origin:
                        "resident, after the invalidations and \(grouped(2 * ScaleStage.uncachedCount + ScaleStage.cachedCount)) changes",
                    labels: labels
                ),
            ]
        }
        func flat(_ what: String, _ figure: (Figures) -> Double, _ limit: Double) -> Bar {
            Bar(
                name: "\(what), \(grouped(last.size)) detectors / \(grouped(first.size))",
                figure: figure(last) / figure(first),
                limit: .atMost(limit),
                origin: "\(Bar.text(figure(last))) / \(Bar.text(figure(first)))"
            )
        }
        return rows + [
            flat("warm lookup", { $0.lookup.ours }, 1.5),
            flat("commit to the new namespace generation", { $0.invalidation.median }, 2),
            flat("bytes in Redis for one entry", { $0.bytesPerEntry }, 1.2),
            flat("the worker's memory", { $0.workerMemory }, 1.5),
        ]
    }

    private static func grouped(_ number: Int) -> String {
        number < 1_000 ? "\(number)" : grouped(number / 1_000) + "," + String("\(1_000 + number % 1_000)".dropFirst())
    }
}
