import LocalServices
import Subprocess

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// Postgres' own pgbench, with a script of ours.
struct PgBench: Sendable {
    private let program: String

    init() async throws {
        program = try await LocalPostgres.program("pgbench")
    }

    /// Runs a script over and over, and returns how often a second it went through.
    ///
    /// - Parameters:
    ///   - script: Statements, each of which commits by itself unless the script says otherwise, and what pgbench adds to SQL.
    ///   - rate: How often a second it shall run, by all clients; nil for as often as they can.
    func runsPerSecond(
        of script: String,
        at conninfo: String,
        clients: Int,
        seconds: Int,
        rate: Int? = nil
    ) async throws -> Double {
        let name = "pgbench-\(UInt64.random(in: .min ... .max)).sql"
        let file = FileManager.default.temporaryDirectory.appending(path: name)
        try Data("\(script)\n".utf8).write(to: file)
        let result: Result<String, any Error>
        do {
            result = .success(
                try await output(
                    [
                        "--no-vacuum", "--client=\(clients)", "--jobs=\(min(clients, 2))", "--time=\(seconds)",
                        "--file=\(file.path)",
                    ] + (rate.map { ["--rate=\($0)"] } ?? []) + [conninfo]
                )
            )
        } catch {
            result = .failure(error)
        }
        try FileManager.default.removeItem(at: file)
        let text = try result.get()
        let label = "tps = "
        guard let start = text.firstRange(of: label)?.upperBound,
            let number = Double(text[start...].prefix { $0.isNumber || $0 == "." })
        else { throw BareRedis.Failure(description: "pgbench does not tell \(label): \(text)") }
        return number
    }

    private func output(_ arguments: [String]) async throws -> String {
        let result = try await Subprocess.run(
            // A program that is known by its path goes through env, which becomes that program.
            .name("env"),
            arguments: Arguments(["LC_ALL=C", program] + arguments),
            input: .none,
            output: .string(limit: 1_024 * 1_024),
            error: .string(limit: 1_024 * 1_024)
        )
        guard case .exited(0) = result.terminationStatus, result.standardOutput.contains("failed transactions: 0 (")
        else {
            throw BareRedis.Failure(description: "pgbench: \(result.standardOutput) \(result.standardError)")
        }
        return result.standardOutput
    }
}
