#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// Measures one benchmark after another.
///
/// Where one fails the next is measured all the same, and what was measured before is kept: in the file, too, whatever becomes of this
/// process.
struct BenchmarkRun {
    let benchmarks: [any Benchmark]
    /// The file that figures are written to, as JSON.
    let json: String?

    /// Something that could not be done, by its name, and why.
    struct Failure {
        var name: String
        var reason: String
    }

    /// What was measured, and what was not.
    struct Outcome {
        var bars: [Bar] = []
        var failures: [Failure] = []

        /// Does one thing, and says where it fails.
        mutating func attempt(_ name: String, _ body: (inout [Bar]) async throws -> Void) async {
            do { try await body(&bars) } catch {
                say("FAIL \(name): \(error)")
                failures.append(Failure(name: name, reason: "\(error)"))
            }
        }
    }

    func outcome(on server: BenchmarkServer) async -> Outcome {
        var outcome = Outcome()
        say("      figure     bar")
        for benchmark in benchmarks {
            say("\(benchmark.name): equal on all sides is \(benchmark.heldEqual)")
            await outcome.attempt(benchmark.name) { $0 += try await Self.bars(of: benchmark, on: server) }
            if let json { await outcome.attempt("--json") { try Self.write($0, to: json) } }
        }
        return outcome
    }

    private static func bars(of benchmark: any Benchmark, on server: BenchmarkServer) async throws -> [Bar] {
        try await benchmark.run(on: server).map { bar in
            var bar = bar
            bar.benchmark = benchmark.name
            bar.heldEqual = benchmark.heldEqual
            bar.cores = Machine.coreCount
            say("\(bar)")
            return bar
        }
    }

    /// Writes all figures, in place of the whole file at once: whoever reads it finds those of some benchmarks, and no half of any.
    private static func write(_ bars: [Bar], to path: String) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        try encoder.encode(bars).write(to: URL(filePath: path), options: .atomic)
    }
}

/// Some benchmarks have failed; the others' figures stand.
struct BenchmarksFailed: Error, CustomStringConvertible {
    var failures: [BenchmarkRun.Failure]

    var description: String {
        failures.map { "\($0.name) has failed: \($0.reason)" }.joined(separator: "\n")
    }
}
