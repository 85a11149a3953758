import FoundationEssentials
import LocalServices
import Logging
import Postgres
import Testing

@testable import Migrations

@Suite struct MigratorTests {
    private static let names = MigrationCatalog.migrations.map(\.name)
    private static let sqlFolder = #filePath.replacing(/\/Tests\/IntegrationTests\/[^\/]*$/, with: "/sql")

    private static func migrator(
        _ server: LocalPostgres,
        _ database: String,
        retryLimit: Duration = Migrator.defaultRetryLimit
    ) -> Migrator {
        Migrator(
            configuration: PostgresConfiguration(connectionString: server.connectionString(database: database)),
            retryLimit: retryLimit,
            logger: Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() })
        )
    }

    private static func dump(_ server: LocalPostgres, _ database: String) async throws -> String {
        withoutNoise(
            try await run(
                "pg_dump",
                ["--dbname", server.connectionString(database: database), "--schema-only", "--schema=freshet"]
            )
        )
    }

    /// A dump without pg_dump's headlines, session settings and spare empty lines, which differ between its versions.
    ///
    /// Comments in the bodies of functions are indented, and so remain.
    private static func withoutNoise(_ dump: String) -> String {
        let noise = ["--", "SET ", "SELECT pg_catalog.set_config(", "\\restrict", "\\unrestrict"]
        var lines: [Substring] = []
        for line in dump.split(separator: "\n", omittingEmptySubsequences: false) {
            if noise.contains(where: line.hasPrefix) || (line.isEmpty && lines.last?.isEmpty != false) { continue }
            lines.append(line)
        }
        if lines.last?.isEmpty != true { lines.append("") }
        return lines.joined(separator: "\n")
    }

    @Test func `twenty migrators at once end with one installed schema, each migration applied by one of them`()
        async throws
    {
        let (server, database) = try await SharedServers.database()
        try await server.psql(applicationTables(.none), database: database)
        let reports = try await withThrowingTaskGroup(of: MigrationReport.self) { group in
            for _ in 0..<20 {
                group.addTask { try await Self.migrator(server, database).migrate(tables: AttachedTables()) }
            }
            return try await group.reduce(into: []) { $0.append($1) }
        }
        #expect(reports.flatMap(\.applied).sorted() == Self.names)
        #expect(reports.count(where: \.attached) == 1)
        #expect(try await server.psql("SELECT bool_and(ok) FROM freshet.attached", database: database) == "t\n")
    }

    @Test func `a second run changes nothing`() async throws {
        let (server, database) = try await SharedServers.database()
        try await server.psql(applicationTables(.none), database: database)
        let migrator = Self.migrator(server, database)
        let first = try await migrator.migrate(tables: AttachedTables())
        #expect(first == MigrationReport(applied: Self.names, attached: true))
        let state = """
            SELECT m, m.xmin FROM freshet.migration AS m ORDER BY name;
            SELECT t.oid, t.xmin FROM pg_trigger AS t ORDER BY oid;
            SELECT count(*) FROM freshet.change;
            """
        let before = try await server.psql(state, database: database) + Self.dump(server, database)
        #expect(try await migrator.migrate(tables: AttachedTables()).isUnchanged)
        #expect(try await server.psql(state, database: database) + Self.dump(server, database) == before)
        #expect(try await migrator.script(tables: nil) == "-- nothing to do\n")
    }

    @Test func `a migration that was edited after it was applied is refused by name`() async throws {
        let (server, database) = try await SharedServers.database()
        let migrator = Self.migrator(server, database)
        _ = try await migrator.migrate(tables: nil)
        let name = Self.names[1]
        try await server.psql("UPDATE freshet.migration SET checksum = 'x' WHERE name = '\(name)'", database: database)
        let error = await #expect(throws: MigrationError.self) { try await migrator.migrate(tables: nil) }
        #expect(error?.code == .editedAfterwards)
        #expect(error?.message.contains(name) == true)
    }

    @Test func `a schema that a newer version installed is left alone`() async throws {
        let (server, database) = try await SharedServers.database()
        let migrator = Self.migrator(server, database)
        _ = try await migrator.migrate(tables: nil)
        try await server.psql("INSERT INTO freshet.migration VALUES ('m9999_later', 'x')", database: database)
        let error = await #expect(throws: MigrationError.self) { try await migrator.plan() }
        #expect(error?.code == .unknownMigration)
        #expect(error?.message.contains("m9999_later") == true)
    }

    @Test func `what a dry run prints does in psql what a run does`() async throws {
        let (server, database) = try await SharedServers.database()
        try await server.psql(applicationTables(.none), database: database)
        let migrator = Self.migrator(server, database)
        let script = try await migrator.script(tables: AttachedTables())
        #expect(try await server.psql("SELECT to_regnamespace('freshet')", database: database) == "\n")
        try await server.psql(script, database: database)
        #expect(try await migrator.migrate(tables: AttachedTables()).isUnchanged)

        let (_, other) = try await SharedServers.database()
        try await server.psql(applicationTables(.none), database: other)
        _ = try await Self.migrator(server, other).migrate(tables: AttachedTables())
        #expect(try await Self.dump(server, database) == Self.dump(server, other))
    }

    @Test func `psql with the files alone does what a run does`() async throws {
        let (server, database) = try await SharedServers.database()
        try await run(
            "sh",
            [
                "-c", "cd \"$0\" && exec psql -X -d \"$1\" -f install.sql", Self.sqlFolder,
                server.connectionString(database: database),
            ]
        )
        #expect(try await Self.migrator(server, database).migrate(tables: nil).isUnchanged)
    }

    @Test func `a table that others write to is attached in short tries that make no writer wait`() async throws {
        let (server, database) = try await SharedServers.database()
        try await server.psql(applicationTables(.none), database: database)
        let migrator = Self.migrator(server, database)
        _ = try await migrator.migrate(tables: nil)

        let logger = Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() })
        let configuration = PostgresConfiguration(connectionString: server.connectionString(database: database))
        let holder = try await PostgresConnection.connect(configuration, logger: logger)
        let writer = try await PostgresConnection.connect(configuration, logger: logger)
        let link = "INSERT INTO workflow_engine_detectorworkflow (detector_id, workflow_id) VALUES ($1, 1)"
        try await holder.run(script: "BEGIN; INSERT INTO workflow_engine_detectorworkflow VALUES (1000, 0, 0)")

        let attaching = Task { try await migrator.migrate(tables: AttachedTables()) }
        // The migrator is at it as soon as it holds the advisory lock.
        while try await server.psql(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted "
                + "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
            database: database
        ) == "0\n" {}
        // Only the wait for a lock is limited so closely: where the machine is busy, a statement may take longer.
        try await writer.run(script: "SET lock_timeout = '2s'")
        for number in 1...100 {
            _ = try await writer.query(link, [PostgresParameter(number)], timeLimit: .seconds(20))
        }
        #expect(try await server.psql("SELECT count(*) FROM freshet.attachment", database: database) == "0\n")
        try await holder.run(script: "COMMIT")
        #expect(try await attaching.value.attached)
        await holder.close()
        await writer.close()
    }

    @Test func `a table that stays locked is given up with one line`() async throws {
        let (server, database) = try await SharedServers.database()
        try await server.psql(applicationTables(.none), database: database)
        let migrator = Self.migrator(server, database, retryLimit: .zero)
        _ = try await migrator.migrate(tables: nil)
        let holder = try await PostgresConnection.connect(
            PostgresConfiguration(connectionString: server.connectionString(database: database)),
            logger: Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() })
        )
        try await holder.run(script: "BEGIN; LOCK TABLE workflow_engine_workflow IN ROW EXCLUSIVE MODE")
        let error = await #expect(throws: MigrationError.self) { try await migrator.migrate(tables: AttachedTables()) }
        #expect(error?.code == .locked)
        #expect(error?.message.contains("\n") == false)
        await holder.close()
    }

    @Test func `a table that does not exist is named with the flag that mends it`() async throws {
        let (server, database) = try await SharedServers.database()
        try await server.psql(applicationTables(.none), database: database)
        var tables = AttachedTables()
        tables.workflow = "app.flows"
        let error = await #expect(throws: MigrationError.self) {
            try await Self.migrator(server, database).migrate(tables: tables)
        }
        #expect(error?.code == .missingTable)
        #expect(error?.message.contains("app.flows") == true)
        #expect(error?.message.contains("--workflow-table") == true)
    }

    @Test func `uninstall leaves nothing, and a second one changes nothing`() async throws {
        // Roles belong to the cluster: not on the shared server.
        let server = try await LocalPostgres.start()
        let everything = """
            SELECT nspname FROM pg_namespace WHERE nspname LIKE 'freshet%';
            SELECT rolname FROM pg_roles WHERE rolname LIKE 'freshet%';
            SELECT tgname FROM pg_trigger;
            """
        try await server.psql(applicationTables(.none))
        let migrator = Self.migrator(server, "postgres")
        for uninstall in [
            { try await migrator.uninstall() },
            { _ = try await server.psql(Migrator.uninstallScript) },
        ] {
            _ = try await migrator.migrate(tables: AttachedTables())
            try await uninstall()
            #expect(try await server.psql(everything) == "")
            try await uninstall()
        }
        await server.destroy()
    }

    @Test func `the installed schema is the one in sql/schema.sql`() async throws {
        let (server, database) = try await SharedServers.database()
        _ = try await Self.migrator(server, database).migrate(tables: nil)
        let dump = try await Self.dump(server, database)
        let file = "\(Self.sqlFolder)/schema.sql"
        if ProcessInfo.processInfo.environment["FRESHET_UPDATE_SCHEMA"] != nil {
            try dump.write(toFile: file, atomically: true, encoding: .utf8)
        }
        let expected = Self.withoutNoise(try String(contentsOfFile: file, encoding: .utf8))
        #expect(dump == expected, "if the change is meant: deploy/test --update-schema, and read the difference")
    }
}
