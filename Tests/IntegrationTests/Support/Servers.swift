import Foundation
import LocalServices
import Logging
import Migrations
import Postgres

/// A Postgres and a Redis, with template databases in which everything is installed.
struct Servers: Sendable {
    let postgres: LocalPostgres
    let redis: LocalRedis

    /// Servers of a test's own, for tests that stop, kill or break them.
    ///
    /// The test destroys them.
    static func start(
        postgresSettings: [String: String] = [:],
        redisOptions: [String: String] = [:]
    ) async throws -> Servers {
        let logger = testLogger
        let servers = Servers(
            postgres: try await LocalPostgres.start(settings: postgresSettings, logger: logger),
            redis: try await LocalRedis.start(options: redisOptions, logger: logger)
        )
        try await servers.install()
        return servers
    }

    /// Servers that all tests share which leave them as they are.
    ///
    /// They end with the process.
    static func shared() async throws -> Servers {
        try await SharedServers.installed()
    }

    func destroy() async {
        await postgres.destroy()
        await redis.destroy()
    }

    /// Creates the login roles and, for each kind of foreign key, a database to be used as a template.
    func install() async throws {
        for keys in ForeignKeys.allCases {
            try await postgres.createDatabase(keys.template)
            let database = PostgresConfiguration(connectionString: postgres.connectionString(database: keys.template))
            let connection = try await PostgresConnection.connect(database, logger: testLogger)
            try await connection.run(script: applicationTables(keys))
            await connection.close()
            _ = try await Migrator(configuration: database, logger: testLogger).migrate(tables: AttachedTables())
        }
        let admin = try await PostgresConnection.connect(
            PostgresConfiguration(connectionString: postgres.connectionString()),
            logger: testLogger
        )
        try await admin.run(
            script: """
                CREATE ROLE \(Roles.worker) LOGIN IN ROLE freshet_worker;
                CREATE ROLE \(Roles.reader) LOGIN IN ROLE freshet_reader, pg_read_all_data;
                CREATE ROLE \(Roles.auditor) LOGIN IN ROLE freshet_auditor;
                CREATE ROLE \(Roles.writer) LOGIN IN ROLE pg_read_all_data, pg_write_all_data;
                """
        )
        await admin.close()
    }

    /// The login roles of the tests: no more than the documented grants each.
    enum Roles {
        static let worker = "service_worker"
        static let reader = "service_reader"
        static let writer = "service_writer"
        /// A test lets it read the tables that it audits.
        static let auditor = "service_auditor"
    }
}

/// How the links refer to detectors and workflows.
enum ForeignKeys: String, CaseIterable, Sendable {
    /// They do not: the application keeps them in order, or does not.
    case none
    /// ON DELETE CASCADE.
    case cascading

    fileprivate var template: String { "template_\(rawValue)" }

    func createDatabase(_ name: String, on postgres: LocalPostgres) async throws {
        try await postgres.createDatabase(name, template: template)
    }
}

/// Silent, because errors are told by what they make fail; with `FRESHET_TEST_LOG=debug` in the environment it tells all.
let testLogger: Logger = {
    let level = ProcessInfo.processInfo.environment["FRESHET_TEST_LOG"].flatMap(Logger.Level.init(rawValue:))
    var logger = Logger(label: "freshet.tests") { label in
        if level == nil { return SwiftLogNoOpLogHandler() as any LogHandler }
        return StreamLogHandler.standardError(label: label)
    }
    logger.logLevel = level ?? .critical
    return logger
}()

/// The three tables of the application, empty.
func applicationTables(_ keys: ForeignKeys) -> String {
    ApplicationTables.statements(cascading: keys == .cascading)
}
