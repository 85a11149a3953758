import Freshet
import Keyspace

/// How fast entries become workflows: 300 workflows, as one lookup of 50 detectors decodes them.
struct DecodeBenchmark: Benchmark {
    let name = "decode"
    let heldEqual = "the entries, which one side decodes and the other fetches"

    func run(on server: BenchmarkServer) async throws -> [Bar] {
        let redis = try BareRedis(server.unix)
        let cache = try WarmCache(detectorCount: 50, on: redis)
        let stamp = EntryStamp(namespace: .seed(), entity: .seed(), variant: nil, readAt: RedisTime(microseconds: 1))
        let entries = cache.detectors.flatMap { detector in
            [nil, WarmCache.environment].map { environment in
                let payload = WorkflowCodec.encode(WarmCache.workflows(of: detector, in: environment))
                return EntryCodec.encode(Entry(stamp: stamp, payload: payload[...]))
            }
        }
        let count = entries.count * WarmCache.workflowsPerEntry
        let commands = BareRedis.Commands(cache.commands(for: cache.detectors))
        let times = try await Stopwatch.compare(rounds: 100, batch: 10) {
            var decoded = 0
            for entry in entries { decoded += try WorkflowCodec.decode(EntryCodec.decode(entry).payload).count }
            guard decoded == count else { throw NotWarm(description: "\(decoded) of \(count) workflows decoded") }
        } with: {
            try redis.roundTrip(commands)
        }
        return Self.bars(times, count: count)
    }

    /// What one workflow takes, and all of a lookup beside their round trip, where so many were timed together.
    static func bars(_ times: Stopwatch.Pair, count: Int) -> [Bar] {
        let one = times.measured?.divided(by: Double(count), unit: "µs")
        return [
            Bar(
                name: "decode, µs a workflow",
                figure: one?.median ?? .nan,
                limit: .atMost(1),
                origin:
                    "\(Bar.text(times.ours)) µs for \(count) workflows with their checksums; means of \(count) each",
                measured: one
            ),
            Bar(
                name: "decode / round trip of the same bytes",
                figure: times.ratio,
                limit: .none,
                origin: "\(Bar.text(times.ours)) µs / \(Bar.text(times.baseline)) µs, hiredis on a unix socket",
                measured: times.measured,
                baseline: times.against
            ),
        ]
    }
}
