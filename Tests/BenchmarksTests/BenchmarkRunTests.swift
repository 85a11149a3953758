import Foundation
import Testing

@testable import Benchmarks

@Suite struct BenchmarkRunTests {
    private struct Sound: Benchmark {
        let name: String
        let heldEqual = "all"

        func run(on server: BenchmarkServer) async throws -> [Bar] {
            [Bar(name: "\(name)'s figure", figure: 1, limit: .atMost(2), origin: "nowhere")]
        }
    }

    private struct Broken: Benchmark {
        let name = "broken"
        let heldEqual = "all"

        func run(on server: BenchmarkServer) async throws -> [Bar] {
            throw NotWarm(description: "it is broken")
        }
    }

    /// Has the file as it was when it ran.
    private struct Reading: Benchmark {
        let name = "reading"
        let heldEqual = "all"
        let path: String

        func run(on server: BenchmarkServer) async throws -> [Bar] {
            let read = try JSONDecoder().decode([Bar].self, from: Data(contentsOf: URL(filePath: path)))
            return [Bar(name: "seen", figure: Double(read.count), limit: .none, origin: "the file")]
        }
    }

    private let server = BenchmarkServer(unix: .unix(path: "/nowhere"), tcp: .tcp(port: 1))

    private func withFile(_ body: (String) async throws -> Void) async throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "run-\(UUID().uuidString)").path
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        try await body("\(folder)/figures.json")
    }

    @Test func `what was measured before and behind a benchmark that fails is kept, and the failure is named`()
        async throws
    {
        try await withFile { path in
            let run = BenchmarkRun(benchmarks: [Sound(name: "first"), Broken(), Sound(name: "last")], json: path)
            let outcome = await run.outcome(on: server)
            #expect(outcome.bars.map(\.benchmark) == ["first", "last"])
            #expect(outcome.failures.map(\.name) == ["broken"])
            let failed = BenchmarksFailed(failures: outcome.failures)
            #expect(failed.description == "broken has failed: it is broken")
            let read = try JSONDecoder().decode([Bar].self, from: Data(contentsOf: URL(filePath: path)))
            #expect(read.map(\.name) == ["first's figure", "last's figure"])
            #expect(read.allSatisfy { $0.cores == Machine.coreCount && $0.heldEqual == "all" })
        }
    }

    @Test func `figures are written after each benchmark`() async throws {
        try await withFile { path in
            let run = BenchmarkRun(benchmarks: [Sound(name: "first"), Reading(path: path)], json: path)
            let outcome = await run.outcome(on: server)
            #expect(outcome.failures.isEmpty)
            #expect(outcome.bars.last?.figure == 1)
        }
    }

    @Test func `a file that cannot be written costs no figures`() async {
        let run = BenchmarkRun(benchmarks: [Sound(name: "first")], json: "/nowhere/figures.json")
        let outcome = await run.outcome(on: server)
        #expect(outcome.bars.count == 1)
        #expect(outcome.failures.map(\.name) == ["--json"])
    }
}
