import CAllocationCount
import Freshet
import Logging
import Redis

/// What a lookup of one detector costs that is answered from memory.
struct NearBenchmark: Benchmark {
    let name = "near"
    let heldEqual =
        "the detectors, in the same turns; one side answers from memory, the other fetches one command's reply"

    /// The detectors in memory, which are asked for in turns.
    private let detectorCount: Int64 = 100

    func run(on server: BenchmarkServer) async throws -> [Bar] {
        let bare = try BareRedis(server.unix)
        let cache = try WarmCache(detectorCount: detectorCount, on: bare)
        let node = RedisNode(server.unix.configuration, logger: .silent)
        var options = CacheOptions()
        options.registry = CacheRegistry()
        options.nearCache = NearCacheOptions(redis: server.unix.configuration)
        let lookup = try WorkflowLookup(
            redis: node,
            options: options,
            loader: { keys in throw NotWarm(description: "\(keys.count) keys were loaded") },
            logger: .silent
        )
        let running = Task { try await lookup.run() }
        defer { running.cancel() }
        try await warm(lookup, cache.detectors)

        let command = BareRedis.Commands([cache.command(for: 1)])
        let times = try await Stopwatch.compare(rounds: 50, batch: 20) {
            for detector in cache.detectors {
                let answer = try await lookup.workflows(
                    ofDetector: detector,
                    in: .environment(WarmCache.environment)
                )
                guard answer.detectors[0].environment == .near else { throw NotWarm(description: "not from memory") }
            }
        } with: {
            for _ in cache.detectors { try bare.roundTrip(command) }
        }
        let allocations = try await allocations(of: lookup, cache.detectors)
        await node.close()
        return [
            Self.bar(times, count: detectorCount),
            Bar(
                name: "near hit, allocations: the answer's array, and nothing else",
                figure: allocations,
                limit: .atMost(1),
                origin: "counted, the mean of \(detectorCount)"
            ),
        ]
    }

    /// What one lookup takes, where so many were timed together.
    static func bar(_ times: Stopwatch.Pair, count: Int64) -> Bar {
        // From microseconds of them all to nanoseconds of one.
        let divisor = Double(count) / 1_000
        let one = times.measured?.divided(by: divisor, unit: "ns")
        return Bar(
            name: "near hit, ns for one detector with two sets, of \(count) in turns",
            figure: one?.median ?? .nan,
            limit: .atMost(500),
            origin:
                "1/\(Int(times.baseline / times.ours)) of a bare round trip of one command; means of \(count) each",
            measured: one,
            baseline: times.against?.divided(by: divisor, unit: "ns")
        )
    }

    /// How often a lookup of one detector allocates memory.
    ///
    /// Nothing in between leaves the thread, because an answer from memory waits for nothing.
    private func allocations(of lookup: WorkflowLookup, _ detectors: [Int64]) async throws -> Double {
        let before = allocation_count()
        for detector in detectors {
            _ = try await lookup.workflows(ofDetector: detector, in: .environment(WarmCache.environment))
        }
        return Double(allocation_count() - before) / Double(detectors.count)
    }

    /// Asks until everything is answered from memory.
    private func warm(_ lookup: WorkflowLookup, _ detectors: [Int64]) async throws {
        let end = ContinuousClock.now + .seconds(10)
        var remaining = detectors
        while !remaining.isEmpty, ContinuousClock.now < end {
            var cold: [Int64] = []
            for detector in remaining {
                let answer = try await lookup.workflows(ofDetector: detector, in: .environment(WarmCache.environment))
                if answer.detectors[0].environment != .near { cold.append(detector) }
            }
            // The connections that keep the memory right are still being opened: a round trip later is soon enough.
            remaining = cold
        }
        guard remaining.isEmpty else { throw NotWarm(description: "\(remaining.count) detectors are not in memory") }
    }
}
