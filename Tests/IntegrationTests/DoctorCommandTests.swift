// `freshet doctor` on real servers: what is spoiled is found, and what the finding says mends it.

import Doctor
import Foundation
import Freshet
import Keyspace
import LocalServices
import Postgres
import Redis
import Subprocess
import Testing

@Suite struct DoctorCommandTests {
    /// A well installation with a worker, and the flags to examine it with as its role.
    private func withPatient(
        on servers: Servers? = nil,
        _ body: @Sendable (Patient) async throws -> Void
    ) async throws {
        try await Scenario.run(on: servers) { scenario in
            let worker = try await scenario.startWorker()
            try await scenario.drain(worker)
            try await body(Patient(scenario: scenario))
        }
    }

    @Test func `a well installation is status 0, for the worker's role and for a superuser, and everything is checked`()
        async throws
    {
        try await withPatient { patient in
            let screen = try await freshet(["doctor"] + patient.flags())
            #expect(screen.status == .exited(0) && screen.complaint.isEmpty, "\(screen)")
            // Its role does not see the transactions of others.
            #expect(screen.output.hasPrefix("nothing wrong in what could be checked: "), "\(screen)")
            #expect(screen.output.contains("1 check not made") && !screen.output.contains("\u{1B}"), "\(screen)")
            let report = try await patient.examine(as: "postgres")
            #expect(report.well && report.problems.isEmpty, "\(report.problems)")
            #expect(Set(Check.allCases.map(\.rawValue)).subtracting(report.findings.map(\.check)).isEmpty)
            let superuser = try await freshet(["doctor"] + patient.flags(as: "postgres"))
            #expect(superuser.status == .exited(0) && superuser.output.hasPrefix("well"), "\(superuser)")
            let all = try await freshet(["doctor", "--all"] + patient.flags())
            #expect(all.status == .exited(0) && all.output.split(separator: "\n").count >= Check.allCases.count)
        }
    }

    @Test func `who may see little is told what was not checked, and why`() async throws {
        try await withPatient { patient in
            let worker = try await patient.examine()
            #expect(worker.findings.contains { $0.check == "vacuum.long_transactions" && $0.severity == "unchecked" })
            let auditor = try await patient.examine(as: Servers.Roles.auditor)
            #expect(auditor.well, "\(auditor.problems)")
            #expect(
                Set(auditor.unchecked.map(\.check)) == [
                    "postgres.notify_setting", "schema.migrations", "vacuum.long_transactions", "cache.mark",
                ]
            )
            let migrations = try #require(auditor.first("schema.migrations"))
            #expect(migrations.what.hasSuffix("permission denied for table migration"), "\(migrations)")
        }
    }

    @Test func `who may see nothing of what decides is told neither that all is well nor that it is not`() async throws
    {
        let servers = try await Servers.start()
        do {
            try await withPatient(on: servers) { patient in
                try await patient.scenario.execute("CREATE ROLE stranger LOGIN")
                // With triggers in order and without: it cannot tell one from the other.
                for spoiling in ["SELECT 1", "ALTER TABLE workflow_engine_workflow DISABLE TRIGGER ALL"] {
                    try await patient.scenario.execute(spoiling)
                    let outcome = try await freshet(["doctor", "--json"] + patient.flags(as: "stranger"))
                    #expect(outcome.status == .exited(77), "\(outcome)")
                    let report = try outcome.decoded(DoctorOutcome.self)
                    #expect(report.verdict == nil && report.problems.isEmpty, "\(outcome)")
                    #expect(report.findings.contains { $0.check == "tables.triggers" && $0.severity == "unchecked" })
                }
                let screen = try await freshet(["doctor"] + patient.flags(as: "stranger"))
                #expect(screen.status == .exited(77), "\(screen)")
                #expect(screen.output.hasPrefix("unknown, for what decides could not be checked"), "\(screen)")
            }
        } catch {
            await servers.destroy()
            throw error
        }
        await servers.destroy()
    }

    @Test func `the bodies that the doctor knows are those of a fresh installation`() async throws {
        try await Scenario.run { scenario in
            let installed = try await scenario.admin.query(
                """
                SELECT format('freshet.%I(%s)', p.proname, oidvectortypes(p.proargtypes)), p.prosrc
                FROM pg_proc AS p WHERE p.pronamespace = 'freshet'::regnamespace AND p.prorettype <> 'trigger'::regtype
                """
            )
            var bodies: [String: String] = [:]
            for row in installed.rows {
                bodies[try installed.requiredString(row, 0)] = try installed.requiredString(row, 1)
            }
            #expect(bodies == CarriedFunction.all.mapValues(\.source))
            let generated = try await scenario.admin.query(
                """
                SELECT t.subject || '_' || e, md5(freshet.trigger_source(t.subject, e, (
                    SELECT jsonb_object_agg(c.role, '{' || c.role || '}')
                    FROM freshet.cache_column AS c WHERE c.subject = t.subject
                )))
                FROM freshet.cache_table AS t, unnest(t.events || '{row,truncate}'::text[]) AS e
                """
            )
            var checksums: [String: String] = [:]
            for row in generated.rows {
                checksums[try generated.requiredString(row, 0)] = try generated.requiredString(row, 1)
            }
            #expect(checksums == GeneratedFunction.checksums)
        }
    }

    /// What can go wrong in a database, with the check that tells of it.
    static let spoilings: [(check: Check, sql: String)] = [
        (.tablesTriggers, "ALTER TABLE workflow_engine_workflow DISABLE TRIGGER ALL"),
        (.tablesTriggers, "ALTER TABLE workflow_engine_workflow ENABLE TRIGGER freshet_workflow_update"),
        (.tablesTriggers, "DROP TRIGGER freshet_link_delete ON workflow_engine_detectorworkflow"),
        (
            .tablesStrayTriggers,
            "CREATE TABLE copy (id bigint); CREATE TRIGGER left_over AFTER TRUNCATE ON copy "
                + "FOR EACH STATEMENT EXECUTE FUNCTION freshet.workflow_truncate()"
        ),
        (.tablesKind, "CREATE TABLE child () INHERITS (workflow_engine_workflow)"),
        (.schemaFunctions, "ALTER FUNCTION freshet.workflow_update() RESET search_path"),
        (.schemaFunctions, "ALTER FUNCTION freshet.link_insert() SECURITY INVOKER"),
        (.schemaFunctions, "GRANT EXECUTE ON FUNCTION freshet.invalidate_all() TO PUBLIC"),
        (.schemaFunctions, "ALTER FUNCTION freshet.wake() OWNER TO postgres"),
        (
            .schemaFunctions,
            "CREATE OR REPLACE FUNCTION freshet.workflow_update() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER "
                + "SET search_path = freshet, pg_temp AS 'BEGIN RETURN NULL; END'"
        ),
        (
            .schemaFunctions,
            "CREATE OR REPLACE FUNCTION freshet.journal(cache text, subject text, operation text, "
                + "row_count bigint DEFAULT 0) RETURNS bigint LANGUAGE sql SET search_path = freshet, pg_temp "
                + "AS 'SELECT 1::bigint'"
        ),
        (.schemaFunctions, "DROP FUNCTION freshet.wake()"),
        (.schemaOwnership, "ALTER TABLE freshet.setting OWNER TO postgres"),
        (.schemaOwnership, "ALTER SCHEMA freshet OWNER TO postgres"),
        (.rolesSchemaPrivileges, "REVOKE USAGE ON SCHEMA freshet FROM freshet_owner"),
        (.rolesSchemaPrivileges, "REVOKE INSERT ON freshet.change FROM freshet_owner"),
        (.rolesSchemaPrivileges, "REVOKE SELECT ON freshet.setting FROM freshet_owner"),
        (.rolesSchemaPrivileges, "REVOKE EXECUTE ON FUNCTION freshet.wake() FROM freshet_owner"),
        (.rolesSchemaPrivileges, "GRANT INSERT ON freshet.change TO freshet_reader"),
        (.rolesSchemaPrivileges, "REVOKE SELECT ON freshet.setting FROM freshet_worker"),
        (.rolesSchemaPrivileges, "GRANT UPDATE (value) ON freshet.setting TO PUBLIC"),
        (.rolesSchemaPrivileges, "GRANT SELECT ON freshet.change TO freshet_worker WITH GRANT OPTION"),
        (.rolesTablePrivileges, "GRANT SELECT ON workflow_engine_workflow TO freshet_worker"),
        (
            .rolesTablePrivileges,
            "GRANT SELECT (environment_id) ON workflow_engine_workflow TO freshet_worker WITH GRANT OPTION"
        ),
        (.rolesTablePrivileges, "GRANT DELETE ON workflow_engine_detector TO freshet_reader"),
        (.rolesTablePrivileges, "REVOKE SELECT (environment_id) ON workflow_engine_workflow FROM freshet_worker"),
        (.journalAutovacuum, "ALTER TABLE freshet.change SET (autovacuum_enabled = false)"),
        (.journalAutovacuum, "ALTER TABLE freshet.change SET (autovacuum_enabled = no)"),
        (.journalAutovacuum, "ALTER TABLE freshet.change SET (toast.autovacuum_enabled = 0)"),
        (.journalAutovacuum, "ALTER TABLE freshet.change RESET (vacuum_truncate)"),
        (.journalDefinition, "ALTER TABLE freshet.change REPLICA IDENTITY DEFAULT"),
        (.journalDefinition, "DROP INDEX freshet.change_xid"),
        (.postgresNotifySetting, "UPDATE freshet.setting SET value = 'off' WHERE name = 'notify'"),
    ]

    @Test(arguments: spoilings)
    func `what is spoiled in the database is found, and its mend ends it`(
        _ spoiling: (check: Check, sql: String)
    ) async throws {
        try await withPatient { patient in
            try await patient.scenario.execute(spoiling.sql)
            let found = try await patient.finding(spoiling.check)
            let mend = try #require(found.mend)
            #expect(mend.kind == "sql")
            // Exactly as a person would paste it.
            try await patient.scenario.servers.postgres.psql(mend.text, database: patient.scenario.database)
            let after = try await patient.troubles(spoiling.check)
            #expect(after.isEmpty, "\(after)")
        }
    }

    @Test func `what is wrong with the cluster and its roles is found, and its mend ends it`() async throws {
        let servers = try await Servers.start(
            postgresSettings: ["max_prepared_transactions": "4", "wal_level": "logical"]
        )
        do {
            try await withPatient(on: servers) { patient in
                let scenario = patient.scenario
                func heal(_ check: Check, _ sql: String) async throws {
                    try await scenario.execute(sql)
                    let mend = try #require(try await patient.finding(check, as: "postgres").mend)
                    try await scenario.servers.postgres.psql(mend.text, database: scenario.database)
                    let after = try await patient.troubles(check, as: "postgres")
                    #expect(after.isEmpty, "\(check): \(after)")
                }
                try await heal(.rolesAttributes, "ALTER ROLE freshet_reader LOGIN CREATEDB")
                try await heal(.rolesAttributes, "GRANT pg_monitor TO freshet_worker")
                try await heal(.rolesMembers, "GRANT freshet_owner TO \(Servers.Roles.worker)")
                try await heal(.postgresNotifySetting, "UPDATE freshet.setting SET value = 'on' WHERE name = 'notify'")
                try await heal(
                    .tablesRowSecurity,
                    "ALTER TABLE workflow_engine_workflow ENABLE ROW LEVEL SECURITY"
                )
                // The worker's login bypasses row security now, and is told of a column that was retyped all the same.
                try await scenario.execute("ALTER TABLE workflow_engine_workflow ALTER environment_id TYPE text")
                let retyped = try await patient.finding(.tablesAttached)
                #expect(retyped.severity == "problem" && retyped.what.contains("environment_id"), "\(retyped)")
                try await scenario.execute(
                    "ALTER TABLE workflow_engine_workflow ALTER environment_id TYPE bigint USING environment_id::bigint"
                )
                try await heal(.rolesMembers, "GRANT pg_read_all_data TO \(Servers.Roles.worker)")
                try await heal(
                    .rolesTablePrivileges,
                    "GRANT SELECT, DELETE ON ALL TABLES IN SCHEMA public TO \(Servers.Roles.worker)"
                )
                try await scenario.execute("SELECT freshet.attach_ddl_trigger()")
                try await heal(.schemaEventTrigger, "ALTER EVENT TRIGGER freshet_drop DISABLE")
                // A slot that was made just now is in nobody's way.
                try await scenario.execute("SELECT pg_create_logical_replication_slot('forgotten', 'test_decoding')")
                #expect(try await patient.troubles(.vacuumSlots, as: "postgres").isEmpty)
                try await scenario.execute("SELECT pg_drop_replication_slot('forgotten')")
                // ALTER SYSTEM runs in no transaction.
                try await servers.postgres.psql("ALTER SYSTEM SET autovacuum = off; SELECT pg_reload_conf();")
                try await heal(.journalAutovacuum, "SELECT 1")
            }
        } catch {
            await servers.destroy()
            throw error
        }
        await servers.destroy()
    }

    @Test func `a login whose name must be quoted is told what it does not see, and the grant shows it`() async throws {
        let servers = try await Servers.start()
        do {
            try await withPatient(on: servers) { patient in
                let login = "App.Worker@x"
                try await patient.scenario.execute("CREATE ROLE \"\(login)\" LOGIN IN ROLE freshet_worker")
                func finding() async throws -> DoctorOutcome.Finding? {
                    try await patient.examine(as: login).findings.first { $0.check == "vacuum.long_transactions" }
                }
                let before = try #require(try await finding())
                #expect(before.severity == "unchecked" && before.what.contains("lacks pg_read_all_stats"), "\(before)")
                try await servers.postgres.psql(try #require(before.mend?.text), database: patient.scenario.database)
                #expect(try await finding()?.severity == "well")
            }
        } catch {
            await servers.destroy()
            throw error
        }
        await servers.destroy()
    }

    @Test func `names that SQL quotes are taken as they are, and mends quote them`() async throws {
        try await Scenario.run { scenario in
            let patient = Patient(scenario: scenario)
            for level in ["statement", "row"] {
                if level == "statement" {
                    try await scenario.execute(
                        """
                        SELECT freshet.detach();
                        CREATE SCHEMA "app.v1";
                        ALTER TABLE workflow_engine_workflow SET SCHEMA "app.v1";
                        ALTER TABLE "app.v1".workflow_engine_workflow RENAME environment_id TO "user";
                        ALTER TABLE workflow_engine_detectorworkflow RENAME detector_id TO "Odd ""one";
                        """
                    )
                }
                try await scenario.execute(
                    """
                    SELECT freshet.attach(
                        'workflow_engine_detector', '"app.v1".workflow_engine_workflow', 'workflow_engine_detectorworkflow',
                        workflow_environment => 'user', link_detector => 'Odd "one', level => '\(level)'
                    )
                    """
                )
                for check in [Check.rolesTablePrivileges, .tablesAttached, .tablesColumns, .schemaFunctions] {
                    let troubles = try await patient.troubles(check)
                    #expect(troubles.isEmpty, "\(level): \(troubles)")
                }
            }
            for spoiling in [
                "REVOKE USAGE ON SCHEMA \"app.v1\" FROM freshet_worker",
                "REVOKE SELECT (\"user\") ON \"app.v1\".workflow_engine_workflow FROM freshet_worker",
                "REVOKE SELECT (\"Odd \"\"one\") ON workflow_engine_detectorworkflow FROM freshet_worker",
                "GRANT SELECT ON \"app.v1\".workflow_engine_workflow TO freshet_worker",
            ] {
                try await scenario.execute(spoiling)
                let mend = try #require(try await patient.finding(.rolesTablePrivileges).mend)
                try await scenario.servers.postgres.psql(mend.text, database: scenario.database)
                let after = try await patient.troubles(.rolesTablePrivileges)
                #expect(after.isEmpty, "\(spoiling): \(after)")
            }
        }
    }

    @Test func `transactions that are open and prepared are found, and their mends end them`() async throws {
        let servers = try await Servers.start(postgresSettings: ["max_prepared_transactions": "4"])
        do {
            try await withPatient(on: servers) { patient in
                let scenario = patient.scenario
                let idle = try await scenario.connect()
                try await idle.run(script: "BEGIN; SELECT pg_current_xact_id()")
                try await scenario.admin.run(script: "BEGIN; CREATE TABLE held (); PREPARE TRANSACTION 'it''s held'")
                var limits = DoctorLimits()
                limits.longTransaction = .zero
                let doctor = patient.doctor(as: "postgres")
                let found = Diagnosis(try await doctor.examine().facts, limits: limits).findings
                let own = found.filter { $0.check == .vacuumTransactions && $0.severity == .advice }
                #expect(own.contains { $0.subject == "\(idle.backendPID)" }, "\(own)")
                let prepared = found.first { $0.check == .vacuumPrepared }
                #expect(prepared?.subject == "it's held")
                for finding in [own.first { $0.subject == "\(idle.backendPID)" }, prepared] {
                    try await scenario.servers.postgres.psql(
                        try #require(finding?.mend?.text),
                        database: scenario.database
                    )
                }
                let after = Diagnosis(try await doctor.examine().facts, limits: limits).findings
                #expect(!after.contains { $0.subject == "\(idle.backendPID)" })
                #expect(after.contains { $0.check == .vacuumPrepared && $0.severity == .well })
                await idle.close()
            }
        } catch {
            await servers.destroy()
            throw error
        }
        await servers.destroy()
    }

    @Test func `what is wrong with Redis is found, and its mend ends it`() async throws {
        let redis = try await LocalRedis.start(
            options: ["maxmemory": "0", "enable-protected-configs": "yes"],
            listensOnTCP: true
        )
        let shared = try await Servers.shared()
        do {
            try await withPatient(on: Servers(postgres: shared.postgres, redis: redis)) { patient in
                func heal(_ check: Check, _ severity: String, _ command: [String]) async throws {
                    if !command.isEmpty { try await patient.redis(command) }
                    let found = try await patient.finding(check)
                    #expect(found.severity == severity, "\(found)")
                    let mend = try #require(found.mend)
                    #expect(mend.kind == "shell")
                    try await IntegrationTests.run(
                        "sh",
                        ["-c", mend.text.replacing("freshet cache", with: patient.cacheCommand)]
                    )
                    let after = try await patient.troubles(check)
                    #expect(after.isEmpty, "\(check): \(after)")
                }
                try await heal(.redisMemory, "advice", [])
                try await heal(.redisListpack, "advice", [])
                try await heal(.redisEviction, "advice", ["CONFIG", "SET", "maxmemory-policy", "noeviction"])
                try await heal(.cacheSwitch, "problem", ["HSET", patient.headKey, "switch", "off"])
            }
        } catch {
            await redis.destroy()
            throw error
        }
        await redis.destroy()
    }

    @Test func `each right that the worker's user of Redis lacks is found`() async throws {
        let redis = try await LocalRedis.start(listensOnTCP: true)
        let shared = try await Servers.shared()
        do {
            try await withPatient(on: Servers(postgres: shared.postgres, redis: redis)) { patient in
                func problems(without missing: String?) async throws -> [Finding] {
                    let rules = RedisAccess.worker.rules(prefix: patient.scenario.namespace.prefix)
                    if let missing { try #require(rules.contains(missing)) }
                    try await patient.redis(
                        ["ACL", "SETUSER", "worker", "reset", "on", ">\(testSecret)"] + rules.filter { $0 != missing }
                    )
                    let doctor = patient.doctor(
                        as: Servers.Roles.worker,
                        redis: try RedisConfiguration(url: redis.url(user: "worker", password: testSecret))
                    )
                    return Diagnosis(try await doctor.examine().facts).findings.filter { $0.severity == .problem }
                }
                let whole = try await problems(without: nil)
                #expect(whole.isEmpty, "\(whole)")
                for rule in RedisAccess.worker.rules(prefix: patient.scenario.namespace.prefix)
                where rule.hasPrefix("+") || rule.hasPrefix("~") {
                    let found = try await problems(without: rule)
                    #expect(found.contains { [.redisRights, .redisScripts].contains($0.check) }, "\(rule): \(found)")
                }
            }
        } catch {
            await redis.destroy()
            throw error
        }
        await redis.destroy()
    }

    @Test func `without a worker the lease, the leader and the head are problems, and a mark of another Redis is told`()
        async throws
    {
        try await Scenario.run { scenario in
            let patient = Patient(scenario: scenario)
            let before = try await patient.examine()
            #expect(!before.well)
            #expect(Set(before.problems.map(\.check)).isSuperset(of: ["worker.leader", "cache.head"]))
            let worker = try await scenario.startWorker()
            try await scenario.drain(worker)
            try await worker.stop()
            try await patient.redis(["HSET", patient.headKey, "mark", "another"])
            try await patient.redis(["HSET", patient.headKey, "vouched", "1"])
            let after = try await patient.examine()
            #expect(Set(after.problems.map(\.check)).isSuperset(of: ["worker.leader", "cache.lease", "cache.mark"]))
            try await scenario.startWorker()
            let mended = try await patient.examine()
            #expect(mended.well, "\(mended.problems)")
        }
    }

    @Test func `a standby is told, and what cannot be seen there is unchecked`() async throws {
        let servers = try await Servers.start()
        do {
            let standby = try await servers.postgres.createStandby()
            do {
                try await standby.catchUp(with: servers.postgres)
                let outcome = try await freshet([
                    "doctor", "--json", "--postgres", standby.connectionString(database: "template_none"), "--redis",
                    servers.redis.url,
                ])
                #expect(outcome.status == .exited(1), "\(outcome)")
                let report = try outcome.decoded(DoctorOutcome.self)
                #expect(report.problems.contains { $0.check == "postgres.recovery" })
                #expect(report.findings.contains { $0.check == "tables.triggers" && $0.severity == "well" })
            } catch {
                await standby.destroy()
                throw error
            }
            await standby.destroy()
        } catch {
            await servers.destroy()
            throw error
        }
        await servers.destroy()
    }

    @Test func `a server that is away is status 69, after what there is to tell of the other`() async throws {
        try await withPatient { patient in
            let withoutRedis = try await freshet(
                ["doctor", "--json", "--redis", "redis://:\(testSecret)@127.0.0.1:1"] + patient.postgresFlags()
            )
            #expect(withoutRedis.status == .exited(69), "\(withoutRedis)")
            let report = try withoutRedis.decoded(DoctorOutcome.self)
            #expect(report.problems.map(\.check) == ["redis.reachable"])
            #expect(report.findings.contains { $0.check == "tables.triggers" && $0.severity == "well" })
            let withoutPostgres = try await freshet(
                ["doctor", "--json", "--postgres", "postgresql://app:\(testSecret)@127.0.0.1:1/app"]
                    + patient.redisFlags
            )
            #expect(withoutPostgres.status == .exited(69), "\(withoutPostgres)")
            #expect(try withoutPostgres.decoded(DoctorOutcome.self).problems.map(\.check) == ["postgres.reachable"])
            for outcome in [withoutRedis, withoutPostgres] {
                #expect(!outcome.everything.contains(testSecret))
                #expect(outcome.complaint.split(separator: "\n").count == 1)
            }
        }
    }

    @Test func `it writes nothing anywhere`() async throws {
        let servers = try await Servers.start(postgresSettings: ["autovacuum": "off"])
        do {
            // Without a worker, which writes.
            try await Scenario.run(on: servers) { scenario in
                let patient = Patient(scenario: scenario)
                try await scenario.insert(detectors: [1], workflows: [(10, nil)])
                let worker = try await scenario.startWorker()
                try await scenario.drain(worker)
                try await scenario.warm([1], [.global])
                try await worker.stop()
                let before = try await patient.everything()
                for role in ["postgres", Servers.Roles.worker] {
                    for form in [[], ["--json"]] {
                        let outcome = try await freshet(["doctor"] + form + patient.flags(as: role))
                        // No worker runs.
                        #expect(outcome.status == .exited(1) && outcome.complaint.isEmpty, "\(outcome)")
                        guard !form.isEmpty else { continue }
                        let report = try outcome.decoded(DoctorOutcome.self)
                        #expect(report.problems.contains { $0.check == "worker.leader" }, "\(report.problems)")
                    }
                }
                #expect(try await patient.everything() == before)
            }
        } catch {
            await servers.destroy()
            throw error
        }
        await servers.destroy()
    }

    @Test(arguments: ["transaction", "session"])
    func `pgbouncer in front of Postgres is told, and nothing stays on the sessions that it lends`(
        _ mode: String
    ) async throws {
        try await withPatient { patient in
            let servers = patient.scenario.servers
            try await PgBouncer.run(in: front(of: servers.postgres), mode: mode) { bouncer in
                let pooled = bouncer.connectionString(database: patient.scenario.database, user: "postgres")
                let outcome = try await freshet(["doctor", "--json", "--postgres", pooled] + patient.redisFlags)
                #expect(outcome.status == .exited(1), "\(outcome)")
                let report = try outcome.decoded(DoctorOutcome.self)
                #expect(report.problems.map(\.check) == ["postgres.pooler"], "\(report.problems)")
                #expect(
                    report.problems.first?.what.contains("by transaction or statement") == (mode == "transaction"),
                    "\(report.problems)"
                )
                // Both sessions that it lends at most, at the same time, as whoever comes next finds them.
                var processes: Set<String> = []
                var next: [PostgresConnection] = []
                for _ in 1...2 {
                    let client = try await PostgresConnection.connect(
                        PostgresConfiguration(connectionString: pooled),
                        logger: testLogger
                    )
                    next.append(client)
                    try await client.run(script: "BEGIN")
                    let state = try await client.query(
                        """
                        SELECT pg_backend_pid()::text, current_setting('search_path'),
                            current_setting('default_transaction_read_only'), current_setting('statement_timeout'),
                            (SELECT count(*) FROM pg_listening_channels())::text
                        """
                    )
                    processes.insert(try state.requiredString(0, 0))
                    let settings = try (1...4).map { try state.requiredString(0, $0) }
                    #expect(settings == ["\"$user\", public", "off", "0", "0"])
                }
                #expect(processes.count == 2)
                for client in next {
                    try await client.run(script: "ROLLBACK")
                    await client.close()
                }
            }
        }
    }

    private func front(of postgres: LocalPostgres) -> (directory: String, port: Int) {
        (postgres.socketDirectory, postgres.port)
    }
}

/// What `doctor --json` has.
struct DoctorOutcome: Decodable, Sendable {
    struct Mend: Decodable, Sendable {
        var kind: String
        var text: String
    }

    struct Finding: Decodable, Sendable {
        var check: String
        var severity: String
        var subject: String?
        var what: String
        var why: String?
        var mend: Mend?
    }

    /// Null where what decides could not be checked.
    var verdict: Bool?
    var version: String
    var findings: [Finding]

    private enum CodingKeys: String, CodingKey {
        case verdict = "well"
        case version, findings
    }

    var well: Bool { verdict == true }

    var problems: [Finding] { findings.filter { $0.severity == "problem" } }
    var unchecked: [Finding] { findings.filter { $0.severity == "unchecked" } }

    func first(_ check: String) -> Finding? { findings.first { $0.check == check } }
}

/// An installation that is examined.
private struct Patient: Sendable {
    let scenario: Scenario

    var headKey: String { scenario.namespace.headKey(bucket: 0) }
    var redisFlags: [String] {
        ["--redis", scenario.servers.redis.url, "--prefix", scenario.namespace.prefix]
    }
    /// What `freshet cache` is here.
    var cacheCommand: String {
        "\(freshetExecutable) cache --redis \(scenario.servers.redis.url) --prefix \(scenario.namespace.prefix)"
    }

    func postgresFlags(as role: String = Servers.Roles.worker) -> [String] {
        ["--postgres", scenario.servers.postgres.connectionString(database: scenario.database, user: role)]
    }

    func flags(as role: String = Servers.Roles.worker) -> [String] { postgresFlags(as: role) + redisFlags }

    func doctor(as role: String, redis: RedisConfiguration? = nil) -> Doctor {
        Doctor(
            postgres: PostgresConfiguration(
                connectionString: scenario.servers.postgres.connectionString(database: scenario.database, user: role)
            ),
            redis: redis ?? RedisConfiguration(endpoint: .unix(path: scenario.servers.redis.socketPath)),
            namespace: scenario.namespace,
            version: "test",
            logger: testLogger
        )
    }

    func examine(as role: String = Servers.Roles.worker) async throws -> DoctorOutcome {
        let outcome = try await freshet(["doctor", "--json"] + flags(as: role))
        let report = try outcome.decoded(DoctorOutcome.self)
        #expect(outcome.status == .exited(report.well ? 0 : 1) && outcome.complaint.isEmpty, "\(outcome)")
        return report
    }

    /// What is not well of one check.
    func troubles(_ check: Check, as role: String = Servers.Roles.worker) async throws -> [DoctorOutcome.Finding] {
        try await examine(as: role).findings.filter {
            $0.check == check.rawValue && ["problem", "advice"].contains($0.severity)
        }
    }

    /// The one finding of a check that is not well.
    func finding(_ check: Check, as role: String = Servers.Roles.worker) async throws -> DoctorOutcome.Finding {
        let found = try await troubles(check, as: role)
        #expect(found.count == 1, "\(check): \(found)")
        return try #require(found.first)
    }

    func redis(_ command: [String]) async throws {
        _ = try await scenario.redis.send(
            RedisCommand(command[0], arguments: command.dropFirst().map { .string($0) }),
            key: headKey
        ).get()
    }

    /// Everything that either server holds, as text: each version of each row, and how often Redis was written to.
    func everything() async throws -> [String] {
        let servers = scenario.servers
        func ask(_ sql: String) async throws -> [String] {
            try await servers.postgres.psql(sql, database: scenario.database).split(separator: "\n").map(String.init)
        }
        let tables = try await ask(
            """
            SELECT format('%I.%I', schemaname, tablename) FROM pg_tables
            WHERE schemaname IN ('freshet', 'public') ORDER BY 1
            """
        )
        #expect(tables.contains("freshet.change") && tables.contains("public.workflow_engine_workflow"), "\(tables)")
        var texts: [String] = []
        for table in tables {
            texts += try await ask(
                "SELECT '\(table)', t.ctid, t.xmin, t.xmax, t.* FROM \(table) AS t ORDER BY t.ctid"
            )
        }
        let sequences = try await ask(
            """
            SELECT format('%I.%I', schemaname, sequencename) FROM pg_sequences
            WHERE schemaname IN ('freshet', 'public') ORDER BY 1
            """
        )
        #expect(!sequences.isEmpty)
        for sequence in sequences {
            texts += try await ask("SELECT '\(sequence)', last_value, is_called FROM \(sequence)")
        }
        // The token of \restrict is another in each dump.
        texts += try await run("pg_dumpall", ["-d", servers.postgres.connectionString(), "--globals-only"])
            .split(separator: "\n").map(String.init).filter { !$0.contains("restrict ") }
        let persistence = try await servers.redis.command("INFO", "persistence")
        let writes = persistence.split(whereSeparator: \.isNewline).filter {
            $0.hasPrefix("rdb_changes_since_last_save:")
        }
        #expect(writes.count == 1, "\(persistence)")
        return texts + writes.map(String.init) + [try await servers.redis.command("DEBUG", "DIGEST")]
    }
}

/// A pgbouncer of a test's own.
private struct PgBouncer: Sendable {
    let folder: String
    let port = 6_432

    func connectionString(database: String, user: String) -> String {
        "host=\(folder) port=\(port) dbname=\(database) user=\(user)"
    }

    /// Runs one in front of a Postgres for as long as `body` takes.
    static func run(
        in front: (directory: String, port: Int),
        mode: String,
        _ body: @escaping @Sendable (PgBouncer) async throws -> Void
    ) async throws {
        var template = Array("/tmp/freshet-test-XXXXXX".utf8CString)
        try #require(mkdtemp(&template) != nil)
        let folder = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        try #require(chmod(folder, 0o777) == 0)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let file = "\(folder)/pgbouncer.ini"
        try """
        [databases]
        * = host=\(front.directory) port=\(front.port)
        [pgbouncer]
        unix_socket_dir = \(folder)
        listen_port = 6432
        auth_type = trust
        auth_file = \(folder)/users.txt
        pool_mode = \(mode)
        default_pool_size = 2
        """.write(toFile: file, atomically: true, encoding: .utf8)
        try "\"postgres\" \"\"\n".write(toFile: "\(folder)/users.txt", atomically: true, encoding: .utf8)
        // It refuses to run as root. What it tells is told on standard error; "process up" is its readiness.
        let isRoot = geteuid() == 0
        let program = ["pgbouncer", file]
        let result = try await Subprocess.run(
            .name("env"),
            arguments: Arguments(
                (isRoot ? ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", "--"] : []) + program
            ),
            environment: .inherit.updating(["PATH": "/usr/sbin:/usr/bin:/bin:/sbin"]),
            input: .none,
            output: .discarded,
            error: .sequence
        ) { process in
            var log: [String] = []
            for try await line in process.standardError.strings() {
                log.append(line)
                guard line.contains("process up") else { continue }
                do {
                    try await body(PgBouncer(folder: folder))
                } catch {
                    try process.send(signal: .kill)
                    throw error
                }
                try process.send(signal: .kill)
            }
            return log
        }
        #expect(result.closureResult.contains { $0.contains("process up") }, "\(result.closureResult)")
    }
}
