import FoundationEssentials
import Glibc

/// Where the programs of a Postgres server are.
struct PostgresInstallation: Sendable {
    /// The folder with initdb, postgres and pg_basebackup, which Debian keeps out of PATH.
    let programs: String

    func program(_ name: String) -> String { "\(programs)/\(name)" }

    /// Looks where pg_config says, then in Debian's folders, newest version first, then in PATH.
    static func find() async throws -> PostgresInstallation {
        var candidates: [String] = []
        do {
            let folder = try await Tool.run("pg_config", ["--bindir"], package: "libpq-dev")
            candidates.append(String(folder.prefix { $0 != "\n" }))
        } catch let error as LocalServiceError where error.code == .notInstalled {
            // It belongs to the development files, which a machine that only runs servers lacks.
        }
        let debian = "/usr/lib/postgresql"
        let versions = (try? FileManager.default.contentsOfDirectory(atPath: debian)) ?? []
        candidates += versions.sorted { (Int($0) ?? 0) > (Int($1) ?? 0) }.map { "\(debian)/\($0)/bin" }
        candidates += (Tool.environment["PATH"] ?? "").split(separator: ":").map(String.init)
        // pg_config comes with the client's development files and names a folder that may lack the server.
        for folder in candidates where access("\(folder)/initdb", X_OK) == 0 && access("\(folder)/postgres", X_OK) == 0
        {
            return PostgresInstallation(programs: folder)
        }
        throw LocalServiceError(.notInstalled, "the Postgres server is not installed: apt-get install postgresql")
    }
}

/// The data directory that all servers of this process are copies of, since initdb takes a second and a copy does not.
actor PostgresTemplate {
    static let shared = PostgresTemplate()

    struct Made: Sendable {
        var installation: PostgresInstallation
        var folder: ServiceFolder
        var data: String { folder.file("data") }
    }

    private var making: Task<Made, any Error>?

    func make(account: ServiceAccount) async throws -> Made {
        if let making { return try await making.value }
        let task = Task {
            let installation = try await PostgresInstallation.find()
            let folder = try ServiceFolder(account: account)
            do {
                try await Self.initialise(folder.file("data"), installation: installation, account: account)
            } catch {
                folder.remove()
                throw error
            }
            return Made(installation: installation, folder: folder)
        }
        making = task
        do {
            return try await task.value
        } catch {
            // What is missing may be installed by the time of the next attempt.
            making = nil
            throw error
        }
    }

    static func initialise(
        _ data: String,
        installation: PostgresInstallation,
        account: ServiceAccount
    ) async throws {
        _ = try await Tool.run(
            installation.program("initdb"),
            [
                "--pgdata", data, "--username", "postgres", "--auth", "trust", "--no-sync", "--encoding", "UTF8",
                "--locale", "C", "--no-instructions",
            ],
            as: account,
            package: "postgresql"
        )
    }
}
