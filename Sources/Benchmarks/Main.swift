import ArgumentParser
import LocalServices

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// Something that is measured and held to bars.
protocol Benchmark: Sendable {
    var name: String { get }
    /// What is the same on both sides of its figures, for who reads them.
    var heldEqual: String { get }
    func run(on server: BenchmarkServer) async throws -> [Bar]
}

/// Measures what speed is held to, prints every figure with its bar, and ends with 1 where one is missed, or a benchmark fails.
///
/// Almost every figure is a ratio to something that was measured in the same run, in turns with it: the machine's speed, and what
/// else it is doing, then count on both sides.
@main
struct Main: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bench",
        abstract: "Measures what speed is held to; ends with 1 where a bar is missed, or a benchmark fails."
    )

    static let benchmarks: [any Benchmark] = [
        DecodeBenchmark(), LookupBenchmark(), NearBenchmark(), ThroughputBenchmark(), CommitBenchmark(),
        DrainBenchmark(), WritersBenchmark(), ReadersBenchmark(), ScaleBenchmark(),
    ]

    @Argument(help: "Which: \(benchmarks.map(\.name).joined(separator: ", ")); all where none is named.")
    var names: [String] = []

    @Option(help: ArgumentHelp("Write the figures there, too, as JSON, after each benchmark.", valueName: "file"))
    var json: String?

    @Option(help: ArgumentHelp("Draw the figures into this folder, as SVG.", valueName: "folder"))
    var plots: String?

    @Option(
        help: ArgumentHelp(
            "Measure nothing, and draw what --json wrote there; may be said several times.",
            valueName: "file"
        )
    )
    var from: [String] = []

    func validate() throws {
        let known = Self.benchmarks.map(\.name)
        if let unknown = names.first(where: { !known.contains($0) }) {
            throw ValidationError("benchmark \(unknown): there is none; choose among \(known.joined(separator: ", "))")
        }
        if !from.isEmpty, plots == nil || json != nil || !names.isEmpty {
            throw ValidationError("--from draws what was measured before: say --plots FOLDER with it, and nothing else")
        }
        if let json, json.hasPrefix("/dev/") {
            throw ValidationError(
                "--json \(json): after each benchmark another file takes its place; name one that may go"
            )
        }
    }

    func run() async throws {
        if !from.isEmpty {
            try draw(
                try from.flatMap { try JSONDecoder().decode([Bar].self, from: Data(contentsOf: URL(filePath: $0))) }
            )
            return
        }
        let redis = try await LocalRedis.start(listensOnTCP: true)
        let server: BenchmarkServer
        do { server = try BenchmarkServer(redis) } catch {
            await redis.destroy()
            throw error
        }
        let benchmarks = Self.benchmarks.filter { names.isEmpty || names.contains($0.name) }
        var outcome = await BenchmarkRun(benchmarks: benchmarks, json: json).outcome(on: server)
        await redis.destroy()
        await outcome.attempt("--plots") { try draw($0) }
        guard outcome.failures.isEmpty else { throw BenchmarksFailed(failures: outcome.failures) }
        if !outcome.bars.allSatisfy(\.isMet) { throw ExitCode(1) }
    }

    private func draw(_ bars: [Bar]) throws {
        guard let plots else { return }
        for name in try PlotFolder(path: plots).draw(bars) { say("drew \(plots)/\(name)") }
    }
}
