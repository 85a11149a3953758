import Doctor
import Keyspace
import Testing

@Suite struct DiagnosisTests {
    /// The only trouble of some facts, which a change of healthy ones made.
    private func onlyTrouble(
        _ limits: DoctorLimits = DoctorLimits(),
        _ spoil: (inout Healthy) -> Void
    ) throws -> Finding {
        var facts = Healthy()
        spoil(&facts)
        let troubles = facts.troubles(limits)
        #expect(troubles.count == 1, "\(troubles)")
        return try #require(troubles.first)
    }

    private func table(_ place: Int, _ change: (inout PostgresFacts.Table) -> Void) -> Checked<[PostgresFacts.Table]> {
        var tables = Healthy.tables
        change(&tables[place])
        return .known(tables)
    }

    @Test func `with nothing wrong every check is made and says so`() {
        let facts = Healthy()
        #expect(facts.troubles().isEmpty, "\(facts.troubles())")
        let checks = Set(facts.findings().map(\.check))
        #expect(Set(Check.allCases).subtracting(checks).isEmpty)
        #expect(facts.findings().map(\.check) == Check.allCases)
    }

    @Test func `what may not be looked at is unchecked, with the reason, and never passed over`() {
        var facts = Healthy()
        facts.postgres.sessions = .unknown("reason")
        facts.postgres.settings = .unknown("reason")
        facts.postgres.identity = .unknown("reason")
        facts.postgres.migrations = .unknown("reason")
        facts.postgres.tables = .unknown("reason")
        facts.postgres.strayTriggers = .unknown("reason")
        facts.postgres.functions = .unknown("reason")
        facts.postgres.relations = .unknown("reason")
        facts.postgres.generated = .unknown("reason")
        facts.postgres.missingOfOwner = .unknown("reason")
        facts.postgres.standbys = .unknown("reason")
        facts.postgres.schemaGrants = .unknown("reason")
        facts.postgres.tableGrants = .unknown("reason")
        facts.postgres.roles = .unknown("reason")
        facts.postgres.members = .unknown("reason")
        facts.postgres.leader = .unknown("reason")
        facts.postgres.journal = .unknown("reason")
        facts.postgres.journalTable = .unknown("reason")
        facts.postgres.openTransactions = .unknown("reason")
        facts.postgres.preparedTransactions = .unknown("reason")
        facts.postgres.replicationSlots = .unknown("reason")
        facts.postgres.eventTriggers = .unknown("reason")
        facts.postgres.marks = .unknown("reason")
        facts.redis.info = .unknown("reason")
        facts.redis.settings = .unknown("reason")
        facts.redis.rights = .unknown("reason")
        facts.redis.clock = .unknown("reason")
        let findings = facts.findings()
        #expect(Set(Check.allCases).subtracting(findings.map(\.check)).isEmpty)
        let known: Set<Check> = [
            .postgresReachable, .postgresVersion, .postgresRecovery, .postgresClock, .schemaInstalled, .redisReachable,
            .redisScripts, .redisEncryption, .cacheHead, .cacheSwitch, .cacheLease,
        ]
        for finding in findings where !known.contains(finding.check) {
            #expect(finding.severity == .unchecked && finding.what.contains("reason"), "\(finding)")
        }
        #expect(!findings.contains { $0.severity == .problem })
    }

    @Test func `a server that is away is told, and the other is examined all the same`() {
        let healthy = Healthy()
        let withoutRedis = Diagnosis(
            Facts(
                postgres: .reached(healthy.postgres),
                redis: .unreachable("gone"),
                version: "1.0",
                namespace: .workflows
            )
        ).findings
        #expect(withoutRedis.filter { $0.severity == .problem }.map(\.check) == [.redisReachable])
        #expect(withoutRedis.contains { $0.check == .tablesTriggers })
        let withoutPostgres = Diagnosis(
            Facts(postgres: .unreachable("gone"), redis: .reached(healthy.redis), version: "1.0", namespace: .workflows)
        ).findings
        #expect(withoutPostgres.filter { $0.severity == .problem }.map(\.check) == [.postgresReachable])
        #expect(withoutPostgres.contains { $0.check == .cacheMark && $0.severity == .unchecked })
    }

    // MARK: Postgres

    @Test func `without the schema nothing of it is judged`() throws {
        let finding = try onlyTrouble { $0.postgres.server.hasSchema = false }
        #expect(finding.check == .schemaInstalled && finding.mend == .shell("freshet migrate"))
    }

    @Test func `sessions that share a process, or have another than they were told, are a pooler's`() throws {
        let shared = Healthy.sessions { $0.sharesBackends = true }
        var facts = Healthy()
        facts.postgres.sessions = .known(shared)
        #expect(facts.troubles().map(\.check) == [.postgresPooler, .postgresNotifications])
        #expect(facts.troubles().map(\.severity) == [.problem, .unchecked])
        facts.postgres.sessions = .known(Healthy.sessions { $0.isServedByOwnBackend = false })
        #expect(facts.troubles().first?.what.contains("another process") == true)
    }

    @Test func `a notification that does not arrive is a problem`() throws {
        let finding = try onlyTrouble {
            $0.postgres.sessions = .known(Healthy.sessions { $0.notificationArrived = false })
        }
        #expect(finding.check == .postgresNotifications && finding.severity == .problem)
    }

    @Test func `notify on is a problem only where transactions may be prepared`() throws {
        func settings(_ notify: String, _ prepared: Int64) -> Checked<PostgresFacts.Settings> {
            var settings = PostgresFacts.Settings()
            settings.notify = notify
            settings.maxPreparedTransactions = prepared
            return .known(settings)
        }
        #expect(try onlyTrouble { $0.postgres.settings = settings("on", 5) }.severity == .problem)
        #expect(try onlyTrouble { $0.postgres.settings = settings("off", 0) }.severity == .advice)
        for (notify, prepared) in [("on", 0), ("auto", 0), ("auto", 5), ("off", 5)] as [(String, Int64)] {
            var facts = Healthy()
            facts.postgres.settings = settings(notify, prepared)
            #expect(facts.troubles().isEmpty)
        }
    }

    @Test func `a notification queue that fills is advice, and a problem from the share on at which triggers stop`()
        throws
    {
        func settings(_ share: Double) -> Checked<PostgresFacts.Settings> {
            var settings = PostgresFacts.Settings()
            settings.notificationQueueUsage = share
            return .known(settings)
        }
        #expect(try onlyTrouble { $0.postgres.settings = settings(0.2) }.severity == .advice)
        #expect(try onlyTrouble { $0.postgres.settings = settings(0.51) }.severity == .problem)
    }

    @Test func `a schema that is older, newer or edited is told apart`() throws {
        let own = PostgresFacts.Migration(name: "m0001_roles", checksum: "a")
        let next = PostgresFacts.Migration(name: "m0002_journal", checksum: "b")
        let older = try onlyTrouble { $0.postgres.carriedMigrations = .known([own, next]) }
        #expect(older.what.contains("not applied: m0002_journal") && older.mend == .shell("freshet migrate"))
        let newer = try onlyTrouble { $0.postgres.migrations = .known([own, next]) }
        #expect(newer.what.contains("unknown to this freshet") && newer.what.contains("m0002_journal"))
        let edited = try onlyTrouble {
            $0.postgres.migrations = .known([PostgresFacts.Migration(name: "m0001_roles", checksum: "z")])
        }
        #expect(edited.what.contains("other contents"))
    }

    @Test func `a function is held to its owner, path, caller and who may call it, and one mend restores all`() throws {
        let finding = try onlyTrouble { facts in
            var function = PostgresFacts.Function(signature: "freshet.link_insert()", name: "link_insert")
            function.isTrigger = true
            function.owner = "mallory"
            function.configuration = []
            function.isPublic = true
            facts.postgres.functions = .known([Healthy.function { _ in }, function])
        }
        #expect(finding.check == .schemaFunctions && finding.severity == .problem)
        let mend = try #require(finding.mend).text
        for part in [
            "OWNER TO freshet_owner", "SECURITY DEFINER", "SET search_path = freshet, pg_temp",
            "REVOKE ALL ON FUNCTION freshet.link_insert() FROM PUBLIC",
        ] {
            #expect(mend.contains(part))
        }
    }

    @Test func `the mend of a trigger attaches the tables with the columns and the level that they have`() throws {
        var tables = Healthy.tables
        tables[1].columns["environment"] = "env's"
        tables[2].disabledTriggers = ["freshet_link_insert=O"]
        for index in tables.indices { tables[index].level = "row" }
        var facts = Healthy()
        facts.postgres.tables = .known(tables)
        let finding = try #require(facts.troubles().first { $0.check == .tablesTriggers })
        #expect(finding.subject == "public.link" && finding.what.contains("freshet_link_insert=O"))
        #expect(
            finding.mend
                == .sql(
                    "SELECT freshet.attach('public.detector', 'public.workflow', 'public.link', "
                        + "workflow_environment => 'env''s', level => 'row');"
                )
        )
    }

    @Test func `tables that are gone, of a family, without a column, or subscribed are problems of their own`() throws {
        let gone = try onlyTrouble { $0.postgres.tables = table(0) { $0.exists = false } }
        #expect(gone.check == .tablesAttached)
        let family = try onlyTrouble { $0.postgres.tables = table(1) { $0.relatives = ["public.child"] } }
        #expect(family.check == .tablesKind)
        #expect(family.mend == .sql("ALTER TABLE public.child NO INHERIT public.workflow;"))
        let partitioned = try onlyTrouble { $0.postgres.tables = table(1) { $0.isOrdinary = false } }
        #expect(partitioned.check == .tablesKind)
        let renamed = try onlyTrouble { $0.postgres.tables = table(0) { $0.missingColumns = ["id"] } }
        #expect(
            renamed.check == .tablesColumns && renamed.mend?.text.contains("detector_id => '<its name now>'") == true
        )
        let subscribed = try onlyTrouble { $0.postgres.tables = table(2) { $0.isSubscribed = true } }
        #expect(subscribed.check == .tablesLevel && subscribed.mend?.text.contains("level => 'row'") == true)
        let other = try onlyTrouble { $0.postgres.tables = table(2) { $0.problem = "something else; do that" } }
        #expect(other.check == .tablesAttached && other.what == "something else; do that")
        let none = try onlyTrouble {
            $0.postgres.tables = .known([])
            $0.postgres.tableGrants = .known([])
        }
        #expect(none.check == .tablesAttached && none.mend == .shell("freshet migrate"))
    }

    @Test func `row-level security matters where a worker's login does not bypass it`() throws {
        let bound = try onlyTrouble { $0.postgres.tables = table(1) { $0.hasRowSecurity = true } }
        #expect(bound.check == .tablesRowSecurity && bound.mend == .sql("ALTER ROLE app_worker BYPASSRLS;"))
        var facts = Healthy()
        facts.postgres.tables = table(1) { $0.hasRowSecurity = true }
        var member = PostgresFacts.Member(role: "freshet_worker", name: "app_worker")
        member.bypassesRowSecurity = true
        facts.postgres.members = .known([member])
        #expect(facts.troubles().isEmpty)
    }

    @Test func `row-level security hides no other fault of a table`() throws {
        func facts(_ problem: String) -> Healthy {
            var facts = Healthy()
            facts.postgres.tables = table(1) {
                $0.hasRowSecurity = true
                $0.problem = problem
            }
            var member = PostgresFacts.Member(role: "freshet_worker", name: "app_worker")
            member.bypassesRowSecurity = true
            facts.postgres.members = .known([member])
            return facts
        }
        let retyped = facts("columns of public.workflow renamed or no longer integers: environment_id").troubles()
        #expect(retyped.map(\.check) == [.tablesAttached])
        // Of the role that asks, which need not be the worker's.
        #expect(facts("row-level security hides rows of public.workflow from role somebody").troubles().isEmpty)
    }

    @Test func `what the owner was refused is told, with the grant that gives it back`() throws {
        let finding = try onlyTrouble {
            $0.postgres.missingOfOwner = .known([
                PostgresFacts.Grant("INSERT", on: "TABLE freshet.change", to: "freshet_owner")
            ])
        }
        #expect(finding.check == .rolesSchemaPrivileges && finding.severity == .problem)
        #expect(finding.mend == .sql("GRANT INSERT ON TABLE freshet.change TO freshet_owner;"))
    }

    @Test func `a function with another body, or none, gets that of the migration, unless the schema is another's`()
        throws
    {
        let changed = try onlyTrouble { $0.postgres.functions = .known([Healthy.function { $0.source = "x" }]) }
        #expect(changed.check == .schemaFunctions && changed.what.contains("another body"))
        #expect(changed.mend == .sql(Healthy.wake.statement))
        let gone = try onlyTrouble { $0.postgres.functions = .known([]) }
        #expect(gone.what == "freshet.wake() is not there")
        #expect(gone.mend?.text.hasPrefix(Healthy.wake.statement) == true)
        var older = Healthy()
        older.postgres.functions = .known([Healthy.function { $0.source = "x" }])
        older.postgres.migrations = .known([])
        #expect(older.troubles().map(\.check) == [.schemaMigrations])
    }

    @Test func `a trigger function with another body is generated anew by attaching`() throws {
        func facts(_ checksum: String?) -> Healthy {
            var facts = Healthy()
            facts.postgres.tables = table(1) { $0.triggers = ["freshet_workflow_update"] }
            var function = PostgresFacts.Function(signature: "freshet.workflow_update()", name: "workflow_update")
            function.isTrigger = true
            function.isSecurityDefiner = true
            facts.postgres.functions = .known([Healthy.function { _ in }, function])
            facts.postgres.generated = .known(checksum.map { ["workflow_update": $0] } ?? [:])
            return facts
        }
        #expect(facts(GeneratedFunction.checksums["workflow_update"]).troubles().isEmpty)
        let changed = facts("another").troubles()
        #expect(changed.map(\.check) == [.schemaFunctions])
        #expect(
            changed.first?.mend == .sql("SELECT freshet.attach('public.detector', 'public.workflow', 'public.link');")
        )
    }

    @Test func `the names of columns are taken out of a generated body, and nothing else`() {
        let source =
            #"SELECT r.id, r.id2, o."it""s"::bigint, n.*, bar.id, key_id, OLD.id, c.id, "id" FROM old_rows AS o"#
        #expect(
            GeneratedFunction.withoutNames(source, columns: ["key": "id", "environment": #""it""s""#])
                == #"SELECT r."{key}", r.id2, o."{environment}"::bigint, n.*, bar.id, key_id, OLD."{key}", c.id, "id" "#
                + "FROM old_rows AS o"
        )
    }

    @Test func `every function that a migration creates is known by its signature, body and statement`() throws {
        let functions = CarriedFunction.all
        let wake = try #require(functions["freshet.wake()"])
        #expect(wake.source.hasPrefix("\nBEGIN\n    IF freshet.notify_enabled()"))
        #expect(
            wake.statement.hasPrefix(
                "CREATE OR REPLACE FUNCTION freshet.wake() RETURNS void LANGUAGE plpgsql "
                    + "SET search_path = freshet, pg_temp AS E'\\nBEGIN\\n"
            )
        )
        #expect(functions["freshet.detach(regclass, regclass, regclass, integer)"] != nil)
        #expect(functions["freshet.lock_tables(text[], text, integer)"] != nil)
        #expect(functions.values.allSatisfy { !$0.statement.contains("\n") })
    }

    @Test func `a privilege too many and one too few are told, each with its statement`() throws {
        let extra = PostgresFacts.Grant("INSERT", on: "TABLE freshet.change", to: "freshet_reader")
        let more = try onlyTrouble { $0.postgres.schemaGrants = .known(Array(DocumentedGrants.inSchema) + [extra]) }
        #expect(more.mend == .sql("REVOKE INSERT ON TABLE freshet.change FROM freshet_reader;"))
        let needed = PostgresFacts.Grant("DELETE", on: "TABLE freshet.change", to: "freshet_worker")
        let less = try onlyTrouble {
            $0.postgres.schemaGrants = .known(Array(DocumentedGrants.inSchema.subtracting([needed])))
        }
        #expect(less.mend == .sql("GRANT DELETE ON TABLE freshet.change TO freshet_worker;"))
    }

    @Test func `taking SELECT on a whole table back grants the columns again`() throws {
        let whole = PostgresFacts.Grant("SELECT", on: "TABLE public.workflow", to: "freshet_worker")
        let finding = try onlyTrouble { facts in
            facts.postgres.tableGrants = .known((facts.postgres.tableGrants.value ?? []) + [whole])
        }
        #expect(
            finding.mend
                == .sql(
                    "REVOKE SELECT ON TABLE public.workflow FROM freshet_worker; "
                        + "GRANT SELECT (environment_id, id) ON TABLE public.workflow TO freshet_worker;"
                )
        )
        let unreadable = try onlyTrouble {
            $0.postgres.tables = table(2) {
                $0.unreadableColumns = ["Odd"]
                $0.quotedColumns = ["Odd": "\"Odd\""]
            }
        }
        #expect(unreadable.mend == .sql("GRANT SELECT (\"Odd\") ON TABLE public.link TO freshet_worker;"))
    }

    @Test func `roles that can do anything by themselves, and workers that can do more, are told`() throws {
        let login = try onlyTrouble { facts in
            var roles = DocumentedGrants.roles.map { PostgresFacts.Role(name: $0) }
            roles[1].excessAttributes = ["LOGIN", "CREATEDB"]
            facts.postgres.roles = .known(roles)
        }
        #expect(login.mend == .sql("ALTER ROLE freshet_worker NOLOGIN NOCREATEDB;"))
        let gone = try onlyTrouble {
            $0.postgres.roles = .known(DocumentedGrants.roles.dropLast().map { PostgresFacts.Role(name: $0) })
        }
        #expect(gone.mend == .sql("CREATE ROLE freshet_auditor NOLOGIN;"))
        let superuser = try onlyTrouble {
            $0.postgres.leader = .known(
                PostgresFacts.Leader(processIdentifier: 7, role: "postgres", isSuperuser: true)
            )
        }
        #expect(superuser.check == .rolesMembers && superuser.severity == .problem)
        let owner = try onlyTrouble { facts in
            facts.postgres.members = .known([
                PostgresFacts.Member(role: "freshet_worker", name: "app"),
                PostgresFacts.Member(role: "freshet_owner", name: "app"),
            ])
        }
        #expect(owner.severity == .advice && owner.mend == .sql("REVOKE freshet_owner FROM app;"))
    }

    @Test func `old changes are a problem, young ones are not`() throws {
        func journal(_ seconds: Double, rows: Int64 = 3) -> Checked<PostgresFacts.Journal> {
            var journal = PostgresFacts.Journal()
            journal.rows = rows
            journal.oldestSeconds = seconds
            return .known(journal)
        }
        // Somebody leads, and does not get on.
        let old = try onlyTrouble { $0.postgres.journal = journal(31) }
        #expect(old.check == .journalBacklog && old.mend?.text.contains("backend 7") == true)
        var alone = Healthy()
        alone.postgres.leader = .known(nil)
        alone.postgres.journal = journal(31, rows: 1)
        let waiting = alone.troubles().first { $0.check == .journalBacklog }
        #expect(waiting?.mend == .shell("freshet run") && waiting?.what.hasPrefix("1 change waiting") == true)
        var facts = Healthy()
        facts.postgres.journal = journal(1)
        #expect(facts.troubles().isEmpty)
    }

    @Test func `a journal that is not vacuumed as it must be is told with the statement that sets it right`() throws {
        func changed(_ change: (inout PostgresFacts.JournalTable) -> Void) -> Checked<PostgresFacts.JournalTable> {
            var table = Healthy.journalTable
            change(&table)
            return .known(table)
        }
        let reset = try onlyTrouble { $0.postgres.journalTable = changed { $0.options = [] } }
        #expect(reset.mend?.text.contains("toast.vacuum_truncate=false") == true)
        let off = try onlyTrouble {
            $0.postgres.journalTable = changed { $0.isToastAutovacuumOff = true }
        }
        #expect(
            off.mend?.text.hasPrefix(
                "ALTER TABLE freshet.change RESET (autovacuum_enabled, toast.autovacuum_enabled);"
            ) == true
        )
        #expect(
            try onlyTrouble { $0.postgres.journalTable = changed { $0.hasIndex = false } }.check == .journalDefinition
        )
        let dead = try onlyTrouble { $0.postgres.journalTable = changed { $0.deadRows = 1_000_000 } }
        #expect(dead.check == .journalDeadRows && dead.mend == .sql("VACUUM freshet.change;"))
    }

    @Test func `what holds vacuum back is advice while it is young and a problem when it is old`() throws {
        func open(_ seconds: Double) -> Checked<[PostgresFacts.OpenTransaction]> {
            .known([
                PostgresFacts.OpenTransaction(
                    processIdentifier: 9,
                    role: "app",
                    application: "report",
                    state: "idle in transaction",
                    seconds: seconds
                )
            ])
        }
        #expect(try onlyTrouble { $0.postgres.openTransactions = open(301) }.severity == .advice)
        let old = try onlyTrouble { $0.postgres.openTransactions = open(3_601) }
        #expect(old.severity == .problem && old.mend == .sql("SELECT pg_terminate_backend(9);"))
        let prepared = try onlyTrouble {
            $0.postgres.preparedTransactions = .known([
                PostgresFacts.PreparedTransaction(name: "it's", owner: "app", seconds: 4_000)
            ])
        }
        #expect(prepared.mend == .sql("ROLLBACK PREPARED 'it''s';"))
    }

    @Test func `a slot or a standby is told when what it holds back is old, and is a problem when that is very old`()
        throws
    {
        func slots(_ age: Int64, isActive: Bool = false) -> Checked<[PostgresFacts.ReplicationSlot]> {
            .known([
                PostgresFacts.ReplicationSlot(name: "one", isActive: isActive, rowAge: age, catalogAge: age),
                PostgresFacts.ReplicationSlot(name: "new", isActive: false, rowAge: 9_999, catalogAge: nil),
            ])
        }
        var young = Healthy()
        young.postgres.replicationSlots = slots(9_999)
        young.postgres.standbys = .known([PostgresFacts.Standby(name: "two", rowAge: 9_999)])
        #expect(young.troubles().isEmpty, "\(young.troubles())")
        let old = try onlyTrouble { $0.postgres.replicationSlots = slots(10_000) }
        #expect(old.severity == .advice && old.mend == .sql("SELECT pg_drop_replication_slot('one');"))
        #expect(try onlyTrouble { $0.postgres.replicationSlots = slots(1_000_000) }.severity == .problem)
        let busy = try onlyTrouble { $0.postgres.replicationSlots = slots(1_000_000, isActive: true) }
        #expect(busy.severity == .problem && busy.mend?.text.contains("hot_standby_feedback = off") == true)
        let catalogs = try onlyTrouble {
            $0.postgres.replicationSlots = .known([
                PostgresFacts.ReplicationSlot(name: "one", isActive: false, rowAge: nil, catalogAge: 2_000_000)
            ])
        }
        #expect(catalogs.severity == .advice && catalogs.what.contains("of the catalogs"))
        let standby = try onlyTrouble {
            $0.postgres.standbys = .known([PostgresFacts.Standby(name: "two", rowAge: 1_000_000)])
        }
        #expect(standby.severity == .problem && standby.subject == "two")
    }

    @Test func `what a role does not see is mended by a grant only where that is the reason`() throws {
        let hidden = try onlyTrouble {
            $0.postgres.server.role = "App.Worker@x"
            $0.postgres.server.quotedRole = "\"App.Worker@x\""
            $0.postgres.openTransactions = .unknown(PostgresFacts.OpenTransaction.hidden(from: "App.Worker@x"))
        }
        #expect(hidden.severity == .unchecked)
        #expect(hidden.mend == .sql("GRANT pg_read_all_stats TO \"App.Worker@x\";"))
        let other = try onlyTrouble { $0.postgres.openTransactions = .unknown("canceling statement") }
        #expect(other.severity == .unchecked && other.mend == nil)
    }

    @Test func `what may be granted on, and what the worker's logins may do beside, is told`() throws {
        let grantable = try onlyTrouble { facts in
            var grants = facts.postgres.schemaGrants.value ?? []
            let place = grants.firstIndex {
                $0 == PostgresFacts.Grant("SELECT", on: "TABLE freshet.change", to: "freshet_worker")
            }
            if let place { grants[place].isGrantable = true }
            facts.postgres.schemaGrants = .known(grants)
        }
        #expect(
            grantable.mend
                == .sql("REVOKE GRANT OPTION FOR SELECT ON TABLE freshet.change FROM freshet_worker CASCADE;")
        )
        func member(_ role: String, _ others: [String]) -> PostgresFacts.Member {
            var member = PostgresFacts.Member(role: role, name: "app_worker")
            member.otherRoles = others
            return member
        }
        let mighty = try onlyTrouble {
            $0.postgres.members = .known([member("freshet_worker", ["pg_read_all_stats", "pg_write_all_data"])])
        }
        #expect(mighty.severity == .advice && mighty.mend == .sql("REVOKE pg_write_all_data FROM app_worker;"))
        let direct = [
            PostgresFacts.Grant("SELECT", on: "TABLE public.link", to: "app_worker"),
            PostgresFacts.Grant("DELETE", on: "TABLE public.link", to: "app_worker"),
        ]
        let granted = try onlyTrouble {
            $0.postgres.tableGrants = .known(($0.postgres.tableGrants.value ?? []) + direct)
        }
        #expect(granted.check == .rolesTablePrivileges && granted.severity == .advice)
        #expect(
            granted.mend
                == .sql(
                    "REVOKE DELETE ON TABLE public.link FROM app_worker; "
                        + "REVOKE SELECT ON TABLE public.link FROM app_worker;"
                )
        )
        // Who audits as well reads what is audited.
        var auditor = Healthy()
        auditor.postgres.members = .known([
            member("freshet_worker", ["freshet_auditor"]), member("freshet_auditor", ["freshet_worker"]),
        ])
        auditor.postgres.tableGrants = .known((auditor.postgres.tableGrants.value ?? []) + direct.prefix(1))
        #expect(auditor.troubles().isEmpty, "\(auditor.troubles())")
    }

    @Test func `a snapshot that failed is a problem where Redis refuses writes because of it`() throws {
        func failed(_ settings: Checked<[String: String]>) throws -> [Finding] {
            var facts = Healthy()
            info(["rdb_last_bgsave_status": "err"])(&facts)
            facts.redis.settings = settings
            return facts.troubles().filter { $0.check == .redisPersistence }
        }
        let settings = ["hash-max-listpack-value": "1024", "save": "60 1", "stop-writes-on-bgsave-error": "yes"]
        #expect(try failed(.known(settings)).map(\.severity) == [.problem])
        #expect(try failed(.unknown("no")).map(\.severity) == [.problem])
        #expect(try failed(.unknown("no")).first?.what.contains("may not be read") == true)
        let goesOn = settings.merging(["stop-writes-on-bgsave-error": "no"]) { _, new in new }
        #expect(try failed(.known(goesOn)).map(\.severity) == [.advice])
        #expect(try failed(.known(settings.merging(["save": ""]) { _, new in new })).map(\.severity) == [.advice])
    }

    // MARK: Redis

    private func info(_ changes: [String: String]) -> (inout Healthy) -> Void {
        { $0.redis.info = .known(($0.redis.info.value ?? [:]).merging(changes) { _, new in new }) }
    }

    @Test func `a Redis that is too old, a replica, a cluster or unable to save is a problem`() throws {
        #expect(try onlyTrouble(spoil: info(["redis_version": "4.0.14"])).severity == .problem)
        #expect(try onlyTrouble(spoil: info(["redis_version": "6.0.16"])).severity == .advice)
        let replica = try onlyTrouble(
            spoil: info(["role": "slave", "master_host": "cache.example", "master_port": "6379"])
        )
        #expect(replica.mend?.text.contains("redis://cache.example:6379") == true)
        #expect(try onlyTrouble(spoil: info(["cluster_enabled": "1"])).check == .redisCluster)
        #expect(try onlyTrouble(spoil: info(["rdb_last_bgsave_status": "err"])).mend == .shell("redis-cli BGSAVE"))
        #expect(try onlyTrouble(spoil: info(["loading": "1"])).check == .redisPersistence)
    }

    private func onlyTrouble(spoil: (inout Healthy) -> Void) throws -> Finding {
        try onlyTrouble(DoctorLimits(), spoil)
    }

    @Test func `memory without a limit, and a limit without eviction, are told`() throws {
        let unlimited = try onlyTrouble(spoil: info(["maxmemory": "0", "used_memory": "400000000"]))
        #expect(unlimited.severity == .advice && unlimited.mend == .shell("redis-cli CONFIG SET maxmemory 768mb"))
        let boundless = try onlyTrouble(spoil: info(["maxmemory": "0", "used_memory": "9223372036854775807"]))
        #expect(boundless.mend == .shell("redis-cli CONFIG SET maxmemory 17592186044416mb"))
        let stubborn = try onlyTrouble(spoil: info(["maxmemory_policy": "noeviction"]))
        #expect(stubborn.check == .redisEviction && stubborn.severity == .advice)
        var full = Healthy()
        info(["maxmemory_policy": "noeviction", "used_memory": "950000"])(&full)
        #expect(full.troubles().map(\.check) == [.redisMemory, .redisEviction])
        #expect(full.troubles().map(\.severity) == [.problem, .advice])
    }

    @Test func `a name that Redis tells is one word of a command`() {
        var facts = Healthy()
        facts.redis.user = .known("x; reboot 'now'")
        facts.redis.info = .unknown("reason")
        let finding = facts.troubles().first { $0.check == .redisVersion }
        #expect(finding?.mend == .shell(#"redis-cli ACL SETUSER 'x; reboot '\''now'\''' +info"#))
    }

    @Test func `a user that lacks what a worker needs is a problem, one that only reads is not judged`() throws {
        func rights(_ hset: Bool, _ unlink: Bool, _ flush: Bool) -> Checked<[RedisFacts.Right]> {
            .known([
                RedisFacts.Right(purpose: .worker, command: "HSET k", isGranted: hset),
                RedisFacts.Right(purpose: .worker, command: "UNLINK k", isGranted: unlink),
                RedisFacts.Right(purpose: .stranger, command: "FLUSHALL", isGranted: flush),
            ])
        }
        let lacking = try onlyTrouble {
            $0.redis.user = .known("app")
            $0.redis.rights = rights(true, false, false)
        }
        #expect(lacking.severity == .problem && lacking.what.contains("UNLINK k"))
        #expect(lacking.mend?.text.hasPrefix("redis-cli ACL SETUSER app resetkeys resetchannels '~freshet:*'") == true)
        // A user that lacks one command of many is the worker's all the same.
        let almost = try onlyTrouble { $0.redis.rights = rights(false, true, false) }
        #expect(almost.severity == .problem && almost.what.contains("HSET k"))
        let reader = try onlyTrouble { facts in
            facts.redis.rights = .known(
                [RedisFacts.Right(purpose: .worker, command: "HMGET k", isGranted: true)]
                    + (rights(false, false, false).value ?? [])
            )
        }
        #expect(reader.severity == .unchecked)
        #expect(try onlyTrouble { $0.redis.rights = rights(false, false, false) }.severity == .problem)
        let mighty = try onlyTrouble { $0.redis.rights = rights(true, true, true) }
        #expect(mighty.check == .redisExcessRights && mighty.severity == .advice)
    }

    @Test func `encryption is wanted between machines only`() throws {
        #expect(try onlyTrouble { $0.redis.address.isLocal = false }.check == .redisEncryption)
        var facts = Healthy()
        facts.redis.address.isLocal = false
        facts.redis.address.isEncrypted = true
        #expect(facts.troubles().isEmpty)
    }

    @Test func `a clock that differs is told with the direction, unless the round trip explains it`() throws {
        func clock(_ difference: Duration, _ error: Duration) -> Checked<RedisFacts.Clock> {
            .known(RedisFacts.Clock(difference: difference, error: error))
        }
        #expect(
            try onlyTrouble { $0.redis.clock = clock(.seconds(-9), .zero) }.what
                == "the clock of Redis is 9.0 s behind ours"
        )
        var facts = Healthy()
        facts.redis.clock = clock(.seconds(9), .seconds(5))
        #expect(facts.troubles().isEmpty)
    }

    // MARK: Heads

    private func head(_ change: (inout RedisFacts.CacheHead) -> Void) -> [String: Checked<RedisFacts.CacheHead>] {
        var head = Healthy.head
        change(&head)
        return ["workflows": .known(head)]
    }

    @Test func `a promise that has run out, or lies ahead, or was never made is a problem`() throws {
        let out = try onlyTrouble { $0.redis.heads = head { $0.now = RedisTime(microseconds: 7_000_000) } }
        #expect(out.check == .cacheLease && out.what.contains("6.0 s ago"))
        let ahead = try onlyTrouble { $0.redis.heads = head { $0.now = RedisTime(microseconds: 500_000) } }
        #expect(ahead.what.contains("500 ms ahead"))
        let never = try onlyTrouble { $0.redis.heads = head { $0.head.vouched = nil } }
        #expect(never.what.contains("ever vouched"))
        let withoutLeader = Healthy()
        var alone = withoutLeader
        alone.postgres.leader = .known(nil)
        alone.redis.heads = head { $0.head.vouched = nil }
        #expect(alone.troubles().allSatisfy { $0.mend == .shell("freshet run") })
    }

    @Test func `the switch is a problem, whatever the promise`() throws {
        let finding = try onlyTrouble { $0.redis.heads = head { $0.head.isSwitchedOff = true } }
        #expect(finding.check == .cacheSwitch && finding.mend == .shell("freshet cache on"))
    }

    @Test func `another Postgres, an old primary and a crash are told apart`() throws {
        let other = try onlyTrouble { $0.redis.heads = head { $0.head.postgres = "2/1/a" } }
        #expect(other.check == .cachePostgres && other.what.contains("another Postgres"))
        let behind = try onlyTrouble { $0.redis.heads = head { $0.head.postgres = "1/2/a" } }
        #expect(behind.what.contains("timeline 1") && behind.what.contains("timeline 2"))
        var crashed = Healthy()
        crashed.redis.heads = head { $0.head.postgres = "1/1/b" }
        #expect(crashed.troubles().isEmpty)
        #expect(crashed.findings().contains { $0.check == .cachePostgres && $0.severity == .information })
    }

    @Test func `marks that differ are a problem only where neither moved`() throws {
        let finding = try onlyTrouble { $0.redis.heads = head { $0.mark = "x" } }
        #expect(finding.check == .cacheMark && finding.severity == .problem)
        let moving = try onlyTrouble {
            $0.redis.heads = head {
                $0.mark = "x"
                $0.isMarkSteady = false
            }
        }
        #expect(moving.severity == .unchecked)
    }

    @Test func `no head, and something else in its place, leave the rest unchecked`() {
        var facts = Healthy()
        facts.redis.heads = head { $0.head = .absent }
        #expect(facts.troubles().map(\.severity) == [.problem, .unchecked, .unchecked, .unchecked, .unchecked])
        facts.redis.heads = head { $0.isDamaged = true }
        #expect(facts.troubles().first?.mend == .shell("redis-cli UNLINK 'freshet:workflows:{0}'"))
    }

    @Test func `a line of an access list has no password and drops what was there before`() {
        #expect(RedisAccess.worker.line().hasPrefix("user freshet_worker on resetkeys resetchannels ~freshet:* -@all"))
    }
}
