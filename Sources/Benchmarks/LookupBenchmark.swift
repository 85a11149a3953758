import CHiredis
import Freshet
import Logging
import Redis

/// What a warm lookup costs beside the same bytes fetched by a bare loop of hiredis, which blocks its thread.
struct LookupBenchmark: Benchmark {
    let name = "lookup"
    let heldEqual = "the Redis, the way to it, and the bytes that are sent, which are counted"

    func run(on server: BenchmarkServer) async throws -> [Bar] {
        var bars: [Bar] = []
        for transport in [server.unix, server.tcp] {
            for count in [1, 100] as [Int64] {
                for isOnEventLoop in [true, false] {
                    bars += try await measure(count, over: transport, isOnEventLoop: isOnEventLoop)
                }
            }
        }
        return bars
    }

    private func measure(_ count: Int64, over transport: Transport, isOnEventLoop: Bool) async throws -> [Bar] {
        let bare = try BareRedis(transport)
        let cache = try WarmCache(detectorCount: count, on: bare)
        let commands = BareRedis.Commands(cache.commands(for: cache.detectors))
        let node = RedisNode(transport.configuration, logger: .silent)
        var options = CacheOptions()
        options.registry = CacheRegistry()
        let lookup = try WorkflowLookup(
            redis: node,
            options: options,
            loader: { keys in throw NotWarm(description: "\(keys.count) keys were loaded") },
            logger: .silent
        )
        let look: () async throws -> Void = {
            let answer = try await lookup.workflows(
                ofDetectors: cache.detectors,
                in: .environment(WarmCache.environment)
            )
            guard answer.detectors.count == cache.detectors.count else { throw NotWarm(description: "too few answers") }
        }
        try await look()
        // The comparison means something only while both sides send the same bytes.
        let ours = try await traffic(of: look, measuredBy: bare)
        let theirs = try await traffic(of: { try bare.roundTrip(commands) }, measuredBy: bare)
        guard ours == theirs else {
            throw NotWarm(description: "a lookup sends \(ours) bytes, the bare loop \(theirs): mend the bare commands")
        }
        let batch = cache.batch(for: cache.detectors)
        let runs = count == 1 ? 100 : 10
        let (whole, client) = try await withTaskExecutorPreference(isOnEventLoop ? node.executor : nil) {
            let bareLoop = {
                try bare.roundTrip(commands) { reply in
                    guard reply.pointee.elements == cache.detectors.count + 2 else {
                        throw NotWarm(description: "the bare loop got too few replies")
                    }
                }
            }
            let whole = try await Stopwatch.compare(rounds: 60, batch: runs, look, with: bareLoop)
            let client = try await Stopwatch.compare(rounds: 60, batch: runs) {
                guard try await node.send([batch]).first?.count == cache.detectors.count + 2 else {
                    throw NotWarm(description: "the client got too few replies")
                }
            } with: {
                try bareLoop()
            }
            return (whole, client)
        }
        await node.close()
        let detectors = "\(count) detector\(count == 1 ? "" : "s")"
        let place = isOnEventLoop ? "on the node's executor" : "on the pool"
        return [
            Bar(
                name: "warm lookup / bare hiredis, \(detectors), \(transport.name), \(place)",
                figure: whole.ratio,
                limit: .atMost(1.5),
                origin: "\(Bar.text(whole.ours)) µs / \(Bar.text(whole.baseline)) µs",
                measured: whole.measured,
                baseline: whole.against
            ),
            Bar(
                name: "  of which the client alone, without reading the answer",
                figure: client.ratio,
                limit: isOnEventLoop ? .atMost(1.5) : .none,
                origin: "\(Bar.text(client.ours)) µs / \(Bar.text(client.baseline)) µs",
                measured: client.measured,
                baseline: client.against
            ),
        ]
    }

    /// How many bytes one run of something sends, as the server counts them.
    ///
    /// Commands of the same length are the same here, and so are then the replies.
    private func traffic(of body: () async throws -> Void, measuredBy redis: BareRedis) async throws -> Int {
        let first = try redis.bytesReceived()
        let second = try redis.bytesReceived()
        try await body()
        // Asking is counted as well.
        return try redis.bytesReceived() - second - (second - first)
    }
}
