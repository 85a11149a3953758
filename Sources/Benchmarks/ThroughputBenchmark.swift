import Logging
import Redis
import Subprocess

/// How much goes through one connection that 64 tasks share, beside redis-benchmark with a pipeline of the same depth.
struct ThroughputBenchmark: Benchmark {
    let name = "throughput"
    let heldEqual = "the Redis, the socket, the command, and how many are under way"

    private let depth = 64
    private let count = 200_000

    func run(on server: BenchmarkServer) async throws -> [Bar] {
        let cache = try WarmCache(detectorCount: 1, on: BareRedis(server.unix))
        let command = cache.command(for: 1)
        let node = RedisNode(server.unix.configuration, logger: .silent)
        var rates: (executor: [Double], pool: [Double], baseline: [Double]) = ([], [], [])
        for round in 0...5 {
            if round == 1 { rates = ([], [], []) }
            rates.executor.append(try await ours(node, command, on: node.executor))
            rates.pool.append(try await ours(node, command, on: nil))
            rates.baseline.append(try await baseline(server, command))
        }
        await node.close()
        let (baseline, unit) = (Stopwatch.median(rates.baseline), "commands a second, of whole rounds")
        return [("on the node's executor", rates.executor), ("on the pool", rates.pool)].map { place, ours in
            let median = Stopwatch.median(ours)
            return Bar(
                name: "\(depth) tasks on one connection / redis-benchmark -c 1 -P \(depth), \(place)",
                figure: median / baseline,
                limit: .atLeast(0.6),
                origin: "\(Int(median)) / \(Int(baseline)) commands a second, unix socket",
                measured: Distribution(ofRates: ours, unit: unit),
                baseline: Distribution(ofRates: rates.baseline, unit: unit)
            )
        }
    }

    private func ours(_ node: RedisNode, _ words: [String], on executor: (any TaskExecutor)?) async throws -> Double {
        let key = words[1]
        let command = RedisCommand(words[0], arguments: words.dropFirst().map { RedisArgument.string($0) })
        let share = count / depth
        let microseconds = try await Stopwatch.microseconds {
            try await withThrowingTaskGroup(of: Void.self) { group in
                for _ in 0..<depth {
                    group.addTask(executorPreference: executor) {
                        for _ in 0..<share {
                            let reply = try await node.send(command, key: key)
                            guard reply.array?.count == words.count - 2 else { throw NotWarm(description: "\(reply)") }
                        }
                    }
                }
                try await group.waitForAll()
            }
        }
        return Double(share * depth) / microseconds * 1e6
    }

    private func baseline(_ server: BenchmarkServer, _ words: [String]) async throws -> Double {
        guard case .unix(let path) = server.unix else { throw NotWarm(description: "no unix socket") }
        let result = try await Subprocess.run(
            .name("redis-benchmark"),
            arguments: Arguments(["-s", path, "-c", "1", "-P", "\(depth)", "-n", "\(count)", "--csv"] + words),
            output: .string(limit: 65_536),
            error: .string(limit: 65_536)
        )
        // "test","rps",… and below it the figures, each in quotes.
        let figures = result.standardOutput.split(separator: "\n").last?.split(separator: ",").map {
            $0.filter { $0 != "\"" }
        }
        guard let figures, figures.count > 1, let rate = figures.dropFirst().lazy.compactMap({ Double($0) }).first
        else {
            throw NotWarm(description: "redis-benchmark said: \(result.standardOutput)\(result.standardError)")
        }
        return rate
    }
}
