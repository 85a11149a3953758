import LocalServices
import Migrations
import Synchronization

/// Servers that tests share, each started when the first test asks for it and ended at the exit of the process.
///
/// A test takes a database of its own there, so tests run side by side. One that stops a server, or cares about what is
/// cluster-wide, starts its own.
actor SharedServers {
    static let shared = SharedServers()

    private static let databaseCount = Atomic(0)

    private var postgres: Task<LocalPostgres, any Error>?
    private var installed: Task<Servers, any Error>?

    private func postgresTask() -> Task<LocalPostgres, any Error> {
        if let postgres { return postgres }
        let task = Task { try await LocalPostgres.start(settings: ["max_connections": "300"]) }
        postgres = task
        return task
    }

    /// The shared Postgres.
    static func postgres() async throws -> LocalPostgres {
        try await shared.postgresTask().value
    }

    /// The shared Postgres, with the template databases in it, and a shared Redis.
    static func installed() async throws -> Servers {
        try await shared.installedTask().value
    }

    private func installedTask() -> Task<Servers, any Error> {
        if let installed { return installed }
        let postgres = postgresTask()
        let task = Task {
            let redis = try await LocalRedis.start()
            let servers = Servers(postgres: try await postgres.value, redis: redis)
            try await servers.install()
            return servers
        }
        installed = task
        return task
    }

    /// A new, empty database on the shared Postgres.
    static func database() async throws -> (server: LocalPostgres, name: String) {
        let server = try await postgres()
        let number = databaseCount.add(1, ordering: .relaxed).newValue
        let name = "test_\(number)"
        try await server.createDatabase(name)
        return (server, name)
    }
}
