import Glibc
import LocalServices

/// Something that is measured and held to bars.
protocol Benchmark: Sendable {
    var name: String { get }
    func run(on server: BenchmarkServer) async throws -> [Bar]
}

/// Measures what speed is held to, prints every figure with its bar, and ends with 1 where one is missed.
///
/// Every figure but three is a ratio to something that was measured in the same run, in turns with it: the machine's speed,
/// and what else it is doing, then count on both sides.
@main
enum Main {
    static let benchmarks: [any Benchmark] = [
        DecodeBenchmark(), LookupBenchmark(), NearBenchmark(), ThroughputBenchmark(),
    ]

    static func main() async {
        let wanted = CommandLine.arguments.dropFirst()
        let unknown = wanted.filter { name in !benchmarks.contains { $0.name == name } }
        guard unknown.isEmpty else {
            let names = benchmarks.map(\.name).joined(separator: ", ")
            print("benchmark \"\(unknown.joined(separator: " "))\": there is none; choose among \(names)")
            exit(64)
        }
        do {
            let redis = try await LocalRedis.start(listensOnTCP: true)
            let server = try BenchmarkServer(redis)
            var isMet = true
            print("      figure     bar")
            for benchmark in benchmarks where wanted.isEmpty || wanted.contains(benchmark.name) {
                for bar in try await benchmark.run(on: server) {
                    print(bar)
                    isMet = isMet && bar.isMet
                }
            }
            await redis.destroy()
            exit(isMet ? 0 : 1)
        } catch {
            print("\(error)")
            exit(1)
        }
    }
}
