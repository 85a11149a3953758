import Foundation
import Keyspace
import LocalServices
import Subprocess

/// `freshet run` as a process of its own, to be killed as processes are.
final class WorkerProcess: Sendable {
    private enum Order { case kill }

    private let orders = Arrivals<Order>()
    private let task: Task<String, any Error>

    private init(_ arguments: [String]) {
        let orders = orders
        task = Task {
            // The executable that was built with the tests lies beside them.
            let tests = URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath()
            let executable = tests.deletingLastPathComponent().appendingPathComponent("freshet").path
            let result = try await Subprocess.run(
                // A program that is known by its path goes through env, which becomes that program.
                .name("env"),
                arguments: Arguments([executable] + arguments),
                input: .none,
                output: .discarded,
                error: .string(limit: 1_024 * 1_024)
            ) { process in
                try await orders.wait(for: .kill, count: 1, within: .seconds(300))
                try process.send(signal: .kill)
            }
            return result.standardError
        }
    }

    /// Runs a worker for as long as `body` takes, or until it is killed.
    ///
    /// - Parameters:
    ///   - postgres: The way to Postgres, where it is not the direct one.
    ///   - redis: The same for Redis.
    ///   - flags: Further flags.
    static func run(
        _ scenario: Scenario,
        through postgres: HoldingProxy? = nil,
        _ redis: HoldingProxy? = nil,
        flags: [String] = [],
        _ body: (WorkerProcess) async throws -> Void
    ) async throws {
        let servers = scenario.servers
        let way = "dbname=\(scenario.database) user=\(Servers.Roles.worker) sslmode=disable gssencmode=disable"
        let process = WorkerProcess(
            [
                "run",
                "--postgres",
                postgres.map { "host=127.0.0.1 port=\($0.port) \(way)" }
                    ?? servers.postgres.connectionString(database: scenario.database, user: Servers.Roles.worker),
                "--redis", redis.map { "redis://127.0.0.1:\($0.port)" } ?? servers.redis.url,
                "--prefix", scenario.namespace.prefix, "--namespace", scenario.namespace.name,
            ] + flags
        )
        do {
            try await body(process)
        } catch {
            throw WorkerProcessFailure(cause: error, log: try await process.kill())
        }
        try await process.kill()
    }

    /// SIGKILL, and waits for the end.
    ///
    /// - Returns: What it wrote to standard error.
    @discardableResult
    func kill() async throws -> String {
        orders.arrive(at: .kill)
        return try await task.value
    }
}

/// What failed while a process ran, and what that process said.
struct WorkerProcessFailure: Error {
    var cause: any Error
    var log: String
}
