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

/// Measures what speed is held to, prints every figure with its bar, and ends with 1 where one is missed.
///
/// Almost every figure is a ratio to something that was measured in the same run, in turns with it: the machine's speed, and what
/// else it is doing, then count on both sides.
@main
struct Main: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bench",
        abstract: "Measures what speed is held to; ends with 1 where a bar is missed."
    )

    static let benchmarks: [any Benchmark] = [
        DecodeBenchmark(), LookupBenchmark(), NearBenchmark(), ThroughputBenchmark(), CommitBenchmark(),
        DrainBenchmark(), WritersBenchmark(), ReadersBenchmark(), ScaleBenchmark(),
    ]

    @Argument(help: "Which: \(benchmarks.map(\.name).joined(separator: ", ")); all where none is named.")
    var names: [String] = []

    @Option(help: ArgumentHelp("Write the figures there, too, as JSON.", valueName: "file"))
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
    }

    func run() async throws {
        if !from.isEmpty {
            try draw(
                try from.flatMap { try JSONDecoder().decode([Bar].self, from: Data(contentsOf: URL(filePath: $0))) }
            )
            return
        }
        let redis = try await LocalRedis.start(listensOnTCP: true)
        let result: Result<[Bar], any Error>
        do { result = .success(try await measure(on: BenchmarkServer(redis))) } catch { result = .failure(error) }
        await redis.destroy()
        let bars = try result.get()
        if let json {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
            try encoder.encode(bars).write(to: URL(filePath: json))
        }
        try draw(bars)
        if !bars.allSatisfy(\.isMet) { throw ExitCode(1) }
    }

    private func draw(_ bars: [Bar]) throws {
        guard let plots else { return }
        for name in try PlotFolder(path: plots).draw(bars) { print("drew \(plots)/\(name)") }
    }

    private func measure(on server: BenchmarkServer) async throws -> [Bar] {
        var bars: [Bar] = []
        print("      figure     bar")
        for benchmark in Self.benchmarks where names.isEmpty || names.contains(benchmark.name) {
            print("\(benchmark.name): equal on all sides is \(benchmark.heldEqual)")
            for var bar in try await benchmark.run(on: server) {
                bar.benchmark = benchmark.name
                bar.heldEqual = benchmark.heldEqual
                print(bar)
                bars.append(bar)
            }
        }
        return bars
    }
}
