// Least privilege, proven: the grants that the README documents, and no others, let everybody do their work on a real Postgres; what
// is beyond it is refused. What is run to grant them is read from the README.

import Doctor
import Foundation
import LocalServices
import Postgres
import Subprocess
import Testing

@Suite struct PrivilegeTests {
    private static let heading = "### Who may do what"

    /// A database as the README has it: tables of app_owner, logins with the documented grants, all caches attached.
    private func withDocumentedGrants(
        _ body: @Sendable (LocalPostgres, LocalRedis) async throws -> Void
    ) async throws {
        let postgres = try await LocalPostgres.start(settings: ["log_statement": "all"], logger: testLogger)
        let redis = try await LocalRedis.start(logger: testLogger)
        do {
            let blocks = try Repository.sql(under: Self.heading)
            try #require(blocks.count == 2, "one block before the migration, one after it")
            try await postgres.psql("CREATE ROLE app_owner LOGIN; CREATE ROLE app_writer LOGIN; CREATE DATABASE app;")
            try await postgres.psql(
                """
                GRANT CREATE ON SCHEMA public TO app_owner;
                CREATE SCHEMA other;
                CREATE TABLE other.secret (id bigint);
                """,
                database: "app"
            )
            try await postgres.psql(
                """
                \(ApplicationTables.statements(cascading: true));
                \(DataSourceStage.tables(.cascading));
                GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON ALL TABLES IN SCHEMA public TO app_writer;
                GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO app_writer;
                """,
                database: "app",
                user: "app_owner"
            )
            try await postgres.psql(blocks[0], database: "app")
            let migrated = try await freshet(
                ["migrate", "--attach", "datasources", "--postgres", login("app_migrator", postgres)]
            )
            #expect(migrated.status == .exited(0), "\(migrated)")
            try await postgres.psql(blocks[1], database: "app")
            try await body(postgres, redis)
        } catch {
            await postgres.destroy()
            await redis.destroy()
            throw error
        }
        await postgres.destroy()
        await redis.destroy()
    }

    private func login(_ role: String, _ postgres: LocalPostgres) -> String {
        postgres.connectionString(database: "app", user: role)
    }

    /// The entries of a server's log; a statement of several lines is one.
    private func entries(of log: String) -> [String] {
        var entries: [String] = []
        for line in log.split(separator: "\n") {
            if line.hasPrefix("\t"), let last = entries.popLast() {
                entries.append("\(last)\n\(line)")
            } else {
                entries.append(String(line))
            }
        }
        return entries
    }

    /// What an application does to its tables, of every kind.
    private static let writes = """
        INSERT INTO workflow_engine_detector (id) VALUES (1), (2), (3);
        INSERT INTO workflow_engine_workflow (id, environment_id) VALUES (10, NULL), (11, 7);
        INSERT INTO workflow_engine_detectorworkflow (detector_id, workflow_id) VALUES (1, 10), (1, 11), (2, 10);
        INSERT INTO workflow_engine_datasource (id, source_id, type) VALUES (1, '1', 'error');
        INSERT INTO workflow_engine_datasourcedetector (data_source_id, detector_id) VALUES (1, 1);
        UPDATE workflow_engine_workflow SET environment_id = 8 WHERE id = 11;
        UPDATE workflow_engine_detector SET name = 'x' WHERE id = 1;
        UPDATE workflow_engine_datasource SET type = 'other' WHERE id = 1;
        DELETE FROM workflow_engine_detectorworkflow WHERE workflow_id = 11;
        DELETE FROM workflow_engine_detector WHERE id = 3;
        """

    @Test func `with the documented grants everybody does their work, and no statement of theirs is refused`()
        async throws
    {
        try await withDocumentedGrants { postgres, redis in
            let address = ["--redis", redis.url]
            let worker = ["--postgres", login("app_worker", postgres)] + address
            let reader = ["--postgres", login("app_reader", postgres)] + address
            let auditor = ["--postgres", login("app_auditor", postgres)] + address
            try await whileRunning(["run"] + worker) { _ in
                try await postgres.psql(Self.writes, database: "app", user: "app_writer")
                try await postgres.psql(
                    "TRUNCATE workflow_engine_datasource CASCADE",
                    database: "app",
                    user: "app_writer"
                )
                for command in [["--all"], ["--detector", "1"], ["--detector", "1", "--global"]] {
                    #expect(try await freshet(["invalidate"] + command + worker).status == .exited(0))
                }
                _ = try await eventually("the status to be well") {
                    let status = try await freshet(["status", "--json"] + worker)
                    return status.status == .exited(0) && status.output.contains(#""rows":0"#) ? status : nil
                }
                let lookup = ["lookup", "--detector", "1", "2", "--json"] + reader
                #expect(try await freshet(lookup).output.contains(#""workflows":[10]"#))
                #expect(try await freshet(lookup).output.contains(#""global":"hit""#))
                #expect(try await postgres.psql("SELECT freshet.token()", database: "app", user: "app_reader") != "")
                let audit = try await freshet(["audit", "--all", "--json"] + auditor)
                #expect(audit.status == .exited(0), "\(audit)")
                let again = try await freshet(
                    ["migrate", "--attach", "datasources", "--postgres", login("app_migrator", postgres)]
                )
                #expect(again.output == "up to date\n", "\(again)")
                // Nothing is granted that the list of documented grants does not have, and nothing of it is missing.
                for role in ["app_worker", "postgres"] {
                    let doctor = try await freshet(
                        ["doctor", "--json", "--postgres", login(role, postgres)] + address
                    )
                    let report = try doctor.decoded(DoctorOutcome.self)
                    #expect(report.problems.isEmpty, "\(report.problems)")
                    #expect(
                        report.findings.filter { $0.check.hasPrefix("roles.") }.allSatisfy { $0.severity == "well" },
                        "\(report.findings)"
                    )
                }
            }
            let log = try entries(of: postgres.log())
            // The log shows what each sends: every kind of statement that a worker has was among it.
            for statement in [
                "pg_try_advisory_lock", "LISTEN freshet_change", "INSERT INTO freshet.incarnation",
                "freshet.notify_enabled()",
                "freshet.identity()", "WITH counted AS MATERIALIZED", "UPDATE freshet.fence", "FROM freshet.attachment",
                "public.workflow_engine_detectorworkflow", "public.workflow_engine_datasourcedetector",
            ] {
                #expect(log.contains { $0.contains("app_worker@app") && $0.contains(statement) }, "\(statement)")
            }
            let refusals = log.filter { $0.contains("ERROR:") && $0.contains("@app") }
            #expect(refusals.isEmpty, "\(refusals)")
        }
    }

    /// What each must not be able to do, among much else.
    static let refused: [(role: String, statements: [String])] = [
        (
            "app_worker",
            [
                "SELECT name FROM workflow_engine_workflow", "SELECT config FROM workflow_engine_workflow",
                "SELECT date_added FROM workflow_engine_detectorworkflow", "SELECT id FROM workflow_engine_detector",
                "UPDATE workflow_engine_workflow SET enabled = false", "DELETE FROM workflow_engine_detectorworkflow",
                "INSERT INTO workflow_engine_detector (id) VALUES (99)", "TRUNCATE workflow_engine_detector CASCADE",
                "INSERT INTO freshet.change (subject, operation, row_count) VALUES ('namespace', 'invalidate', 0)",
                "UPDATE freshet.change SET cache = NULL", "TRUNCATE freshet.change",
                "UPDATE freshet.setting SET value = 'off'", "DELETE FROM freshet.migration",
                "DELETE FROM freshet.attachment", "INSERT INTO freshet.fence (cache) VALUES ('x')",
                "SELECT * FROM freshet.cache", "SELECT freshet.journal(NULL, 'namespace', 'invalidate')",
                "SELECT freshet.wake()", "SELECT freshet.detach()", "SELECT freshet.attach_ddl_trigger()",
                "SELECT * FROM other.secret", "CREATE TABLE public.x ()", "CREATE TABLE freshet.x ()",
                "CREATE FUNCTION freshet.x() RETURNS int LANGUAGE sql AS 'SELECT 1'", "SET ROLE freshet_owner",
                "ALTER TABLE workflow_engine_workflow DISABLE TRIGGER ALL",
            ]
        ),
        (
            "app_reader",
            [
                "SELECT * FROM freshet.change", "DELETE FROM freshet.change", "SELECT * FROM freshet.incarnation",
                "SELECT freshet.invalidate_all()", "SELECT freshet.invalidate_detector(1)",
                "SELECT freshet.notify_enabled()", "SELECT * FROM freshet.attached", "SELECT * FROM other.secret",
                "UPDATE workflow_engine_workflow SET enabled = false", "SET ROLE freshet_worker",
            ]
        ),
        (
            "app_auditor",
            [
                "DELETE FROM freshet.change",
                "INSERT INTO freshet.change (subject, operation, row_count) VALUES ('n', 'i', 0)",
                "SELECT freshet.invalidate_all()", "SELECT freshet.token()", "SELECT * FROM freshet.fence",
                "SELECT * FROM freshet.incarnation", "SELECT * FROM other.secret",
                "DELETE FROM workflow_engine_detectorworkflow", "SET ROLE freshet_worker",
            ]
        ),
        (
            "app_writer",
            [
                "SELECT * FROM freshet.change", "DELETE FROM freshet.change", "SELECT freshet.invalidate_all()",
                "SELECT freshet.identity()", "SELECT freshet.journal(NULL, 'namespace', 'invalidate')",
                "SELECT freshet.workflow_update()", "SELECT * FROM other.secret", "SET ROLE freshet_owner",
                "ALTER TABLE workflow_engine_workflow DISABLE TRIGGER ALL",
                "CREATE TEMP TABLE x (); CREATE TRIGGER x AFTER TRUNCATE ON x EXECUTE FUNCTION freshet.workflow_truncate()",
            ]
        ),
        (
            "app_migrator",
            [
                "SELECT * FROM other.secret", "CREATE ROLE x", "ALTER ROLE freshet_worker LOGIN",
                "SELECT pg_reload_conf()", "SELECT pg_read_file('/etc/passwd')",
                "SELECT freshet.attach_ddl_trigger()", "CREATE TABLE other.x ()",
            ]
        ),
    ]

    @Test func `with the documented grants nobody can do more`() async throws {
        try await withDocumentedGrants { postgres, _ in
            for (role, statements) in Self.refused {
                let connection = try await PostgresConnection.connect(
                    PostgresConfiguration(connectionString: login(role, postgres)),
                    logger: testLogger
                )
                for statement in statements {
                    do {
                        try await connection.run(script: "BEGIN; \(statement)")
                        Issue.record("\(role) may: \(statement)")
                    } catch let error as PostgresError {
                        #expect(error.sqlState == .insufficientPrivilege, "\(role): \(statement): \(error)")
                    }
                    try await connection.run(script: "ROLLBACK")
                }
                await connection.close()
            }
            // The triggers run as the owner of the schema, which can read no table of the application.
            let owner = try await PostgresConnection.connect(
                PostgresConfiguration(connectionString: login("postgres", postgres)),
                logger: testLogger
            )
            try await owner.run(script: "SET ROLE freshet_owner")
            for table in ["workflow_engine_workflow", "workflow_engine_detector", "other.secret"] {
                do {
                    _ = try await owner.query("SELECT * FROM \(table)")
                    Issue.record("freshet_owner may read \(table)")
                } catch let error as PostgresError {
                    #expect(error.sqlState == .insufficientPrivilege, "\(error)")
                }
            }
            await owner.close()
        }
    }

    @Test func `a worker with a privilege less does not do its work`() async throws {
        try await withDocumentedGrants { postgres, redis in
            let worker = ["--postgres", login("app_worker", postgres), "--redis", redis.url]
            // Those that one statement of `freshet run` needs: it tries them all before it begins.
            let needed = [
                "USAGE ON SCHEMA freshet", "SELECT ON freshet.change", "DELETE ON freshet.change",
                "SELECT ON freshet.fence",
                "UPDATE ON freshet.fence", "SELECT ON freshet.attachment", "SELECT ON freshet.attached",
                "EXECUTE ON FUNCTION freshet.identity()", "EXECUTE ON FUNCTION freshet.notify_enabled()",
            ]
            for privilege in needed {
                try await postgres.psql("REVOKE \(privilege) FROM freshet_worker", database: "app")
                try await freshet(["run"] + worker).isMistake(77, "freshet_worker")
                try await postgres.psql("GRANT \(privilege) TO freshet_worker", database: "app")
            }
        }
    }
}
