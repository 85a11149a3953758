// How the facts of Postgres are gathered. Every statement runs in a transaction of its own that is READ ONLY and rolled back, with
// settings that end with it: behind a pooler nothing stays on a session that others are given next. The one thing that leaves a
// trace is the notification of `SessionExamination`, which costs a transaction id.

import InvalidationWorker
import Migrations
import Postgres

/// Asks one session for everything that can be known of a Postgres.
struct PostgresExamination {
    private let connection: PostgresConnection
    private let role: String

    /// Looks at a server.
    ///
    /// - Throws: `PostgresError` where the connection fails; what a statement is refused is a fact.
    static func facts(on connection: PostgresConnection) async throws -> PostgresFacts {
        let server = try await server(connection)
        let examination = PostgresExamination(connection: connection, role: server.role)
        var facts = PostgresFacts()
        facts.server = server
        facts.settings = try await examination.settings()
        facts.openTransactions = try await examination.openTransactions()
        facts.preparedTransactions = try await examination.preparedTransactions()
        facts.replicationSlots = try await examination.replicationSlots()
        facts.standbys = try await examination.standbys()
        facts.roles = try await examination.roles()
        facts.members = try await examination.members()
        facts.leader = try await examination.leader()
        facts.eventTriggers = try await examination.eventTriggers()
        guard server.hasSchema else { return facts }
        facts.identity = try await examination.identity()
        facts.migrations = try await examination.migrations()
        facts.carriedMigrations = try await examination.carriedMigrations()
        facts.tables = try await examination.tables()
        facts.strayTriggers = try await examination.strayTriggers()
        facts.functions = try await examination.functions()
        facts.carriedFunctions = CarriedFunction.all
        facts.generated = try await examination.generated(facts.functions, facts.tables)
        facts.relations = try await examination.relations()
        facts.missingOfOwner = try await examination.missingOfOwner()
        facts.schemaGrants = try await examination.grants(isInSchema: true)
        facts.tableGrants = try await examination.grants(isInSchema: false)
        facts.journal = try await examination.journal()
        facts.journalTable = try await examination.journalTable()
        facts.marks = try await examination.marks()
        return facts
    }

    /// The mark of each cache.
    static func marks(on connection: PostgresConnection) async throws -> Checked<[String: String?]> {
        try await PostgresExamination(connection: connection, role: "").marks()
    }

    // MARK: Asking

    /// Rows of text, or why there are none.
    private func rows(_ sql: String) async throws -> Checked<[[String?]]> {
        try await Self.rows(connection, sql, role: role)
    }

    private static func rows(
        _ connection: PostgresConnection,
        _ sql: String,
        role: String
    ) async throws -> Checked<[[String?]]> {
        do {
            try await connection.run(
                script: """
                    BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY;
                    SET LOCAL statement_timeout = '10s';
                    SET LOCAL lock_timeout = '1s';
                    SET LOCAL search_path = pg_catalog;
                    SET LOCAL TimeZone = 'UTC';
                    """
            )
            let rows = try await texts(connection, sql)
            try await connection.run(script: "ROLLBACK")
            return .known(rows)
        } catch let error as PostgresError where error.sqlState != nil && error.code == .server {
            try await connection.run(script: "ROLLBACK")
            let reason = error.message.split(separator: "\n").first.map(String.init) ?? error.message
            return .unknown(
                error.sqlState == .insufficientPrivilege && !role.isEmpty ? "role \(role): \(reason)" : reason
            )
        }
    }

    private static func texts(_ connection: PostgresConnection, _ sql: String) async throws -> [[String?]] {
        let result = try await connection.query(sql)
        return result.rows.map { row in (0..<result.columnCount).map { result.string(row, $0) } }
    }

    /// What the rows say, read one by one.
    private func all<Value: Sendable>(_ sql: String, _ read: ([String?]) -> Value) async throws -> Checked<[Value]> {
        switch try await rows(sql) {
        case .known(let rows): .known(rows.map(read))
        case .unknown(let reason): .unknown(reason)
        }
    }

    /// What the only row says.
    private func one<Value: Sendable>(_ sql: String, _ read: ([String?]) -> Value) async throws -> Checked<Value> {
        switch try await rows(sql) {
        case .known(let rows): rows.first.map { .known(read($0)) } ?? .unknown("nothing was answered")
        case .unknown(let reason): .unknown(reason)
        }
    }

    // MARK: The server

    private static func server(_ connection: PostgresConnection) async throws -> PostgresFacts.Server {
        let before = WallClock.now
        let result = try await rows(
            connection,
            """
            SELECT current_setting('server_version'), current_setting('server_version_num'), current_database(),
                CURRENT_USER, pg_is_in_recovery(), to_regnamespace('freshet') IS NOT NULL,
                (extract(epoch FROM clock_timestamp()) * 1000000)::bigint, quote_ident(CURRENT_USER)
            """,
            role: ""
        )
        let after = WallClock.now
        guard case .known(let rows) = result, let row = rows.first, row.count == 8 else {
            throw PostgresError(.badResult, "Postgres does not say what it is; connect to it directly")
        }
        var server = PostgresFacts.Server()
        server.version = row[0] ?? ""
        server.versionNumber = row[1].flatMap { Int64($0) } ?? 0
        server.database = row[2] ?? ""
        server.role = row[3] ?? ""
        server.quotedRole = row[7] ?? ""
        server.isInRecovery = row[4].isTrue
        server.hasSchema = row[5].isTrue
        let theirs = row[6].flatMap { Int64($0) } ?? 0
        server.clockDifference = .microseconds(theirs - (before + (after - before) / 2))
        server.clockError = .microseconds((after - before) / 2)
        return server
    }

    private func settings() async throws -> Checked<PostgresFacts.Settings> {
        // On a server in recovery there is no notification queue.
        let found = try await one(
            """
            SELECT current_setting('max_prepared_transactions'), current_setting('autovacuum')::bool,
                current_setting('track_counts')::bool, current_setting('track_commit_timestamp')::bool,
                CASE WHEN pg_is_in_recovery() THEN 0 ELSE pg_notification_queue_usage() END
            """
        ) { row in
            var settings = PostgresFacts.Settings()
            settings.maxPreparedTransactions = row[0].flatMap { Int64($0) } ?? 0
            settings.autovacuum = row[1].isTrue
            settings.trackCounts = row[2].isTrue
            settings.trackCommitTimestamp = row[3].isTrue
            settings.notificationQueueUsage = row[4].flatMap { Double($0) } ?? 0
            settings.notify = nil
            return settings
        }
        guard case .known(var settings) = found else { return found }
        settings.notify = try await one("SELECT value FROM freshet.setting WHERE name = 'notify'") { $0[0] ?? "" }.value
        return .known(settings)
    }

    private func openTransactions() async throws -> Checked<[PostgresFacts.OpenTransaction]> {
        // Others' sessions show no time to a role that may not read statistics.
        let hidden = try await one(
            """
            SELECT count(*) FROM pg_stat_activity
            WHERE datname = current_database() AND usesysid <> (SELECT oid FROM pg_roles WHERE rolname = CURRENT_USER)
                AND NOT pg_has_role(CURRENT_USER, usesysid, 'USAGE')
                AND NOT pg_has_role(CURRENT_USER, 'pg_read_all_stats', 'USAGE')
            """
        ) { $0[0].flatMap { Int64($0) } ?? 0 }
        guard case .known(0) = hidden else {
            if case .unknown(let reason) = hidden { return .unknown(reason) }
            return .unknown(PostgresFacts.OpenTransaction.hidden(from: role))
        }
        return try await all(
            """
            SELECT pid, usename, application_name, state, extract(epoch FROM clock_timestamp() - xact_start)::float8
            FROM pg_stat_activity
            WHERE datname = current_database() AND backend_type = 'client backend' AND xact_start IS NOT NULL
                AND pid <> pg_backend_pid()
            ORDER BY xact_start LIMIT 20
            """
        ) { row in
            PostgresFacts.OpenTransaction(
                processIdentifier: row[0].flatMap { Int64($0) } ?? 0,
                role: row[1] ?? "",
                application: row[2] ?? "",
                state: row[3] ?? "",
                seconds: row[4].flatMap { Double($0) } ?? 0
            )
        }
    }

    private func preparedTransactions() async throws -> Checked<[PostgresFacts.PreparedTransaction]> {
        try await all(
            """
            SELECT gid, owner, extract(epoch FROM clock_timestamp() - prepared)::float8
            FROM pg_prepared_xacts WHERE database = current_database() ORDER BY prepared LIMIT 20
            """
        ) { row in
            PostgresFacts.PreparedTransaction(
                name: row[0] ?? "",
                owner: row[1] ?? "",
                seconds: row[2].flatMap { Double($0) } ?? 0
            )
        }
    }

    private func replicationSlots() async throws -> Checked<[PostgresFacts.ReplicationSlot]> {
        try await all(
            """
            SELECT slot_name, active, age(xmin), age(catalog_xmin) FROM pg_replication_slots
            WHERE xmin IS NOT NULL OR catalog_xmin IS NOT NULL ORDER BY slot_name LIMIT 50
            """
        ) { row in
            PostgresFacts.ReplicationSlot(
                name: row[0] ?? "",
                isActive: row[1].isTrue,
                rowAge: row[2].flatMap { Int64($0) },
                catalogAge: row[3].flatMap { Int64($0) }
            )
        }
    }

    private func standbys() async throws -> Checked<[PostgresFacts.Standby]> {
        // A role that may not read statistics sees of each that it is there, and nothing else.
        let found = try await all(
            """
            SELECT concat_ws(' at ', application_name, client_addr), age(backend_xmin), state IS NULL
            FROM pg_stat_replication WHERE backend_xmin IS NOT NULL OR state IS NULL ORDER BY 1 LIMIT 50
            """
        ) { row in
            (PostgresFacts.Standby(name: row[0] ?? "", rowAge: row[1].flatMap { Int64($0) } ?? 0), row[2].isTrue)
        }
        switch found {
        case .unknown(let reason): return .unknown(reason)
        case .known(let standbys) where standbys.contains { $0.1 }:
            return .unknown("role \(role) does not see what standbys hold back: it lacks pg_read_all_stats")
        case .known(let standbys): return .known(standbys.map(\.0))
        }
    }

    // MARK: Roles and privileges

    private static let roles = DocumentedGrants.roles.map { "'\($0)'" }.joined(separator: ", ")

    private func roles() async throws -> Checked<[PostgresFacts.Role]> {
        try await all(
            """
            SELECT r.rolname,
                array_to_string(ARRAY(
                    SELECT name FROM (VALUES
                        ('LOGIN', rolcanlogin), ('SUPERUSER', rolsuper), ('CREATEDB', rolcreatedb),
                        ('CREATEROLE', rolcreaterole), ('REPLICATION', rolreplication), ('BYPASSRLS', rolbypassrls)
                    ) AS attribute (name, is_set) WHERE is_set
                ), chr(10)),
                (SELECT string_agg(quote_ident(g.rolname), ',' ORDER BY g.rolname)
                FROM pg_auth_members AS m JOIN pg_roles AS g ON g.oid = m.roleid WHERE m.member = r.oid)
            FROM pg_roles AS r WHERE r.rolname IN (\(Self.roles)) ORDER BY r.rolname
            """
        ) { row in
            var role = PostgresFacts.Role(name: row[0] ?? "")
            role.excessAttributes = row[1].elements
            role.memberOf = (row[2] ?? "").split(separator: ",").map(String.init)
            return role
        }
    }

    /// Who may do what a role may, by itself or after SET ROLE.
    ///
    /// From Postgres 16 on there are members who may do neither and administer the role only, as everybody does who creates one
    /// without being a superuser.
    private static let memberships = """
        SELECT m.roleid, m.member FROM pg_auth_members AS m
        WHERE COALESCE((to_jsonb(m) ->> 'inherit_option')::bool OR (to_jsonb(m) ->> 'set_option')::bool, true)
        """

    private func members() async throws -> Checked<[PostgresFacts.Member]> {
        try await all(
            """
            WITH RECURSIVE granted (role, member) AS (\(Self.memberships)),
            membership (role, member) AS (
                SELECT role, member FROM granted
                UNION
                SELECT m.role, a.member FROM membership AS m JOIN granted AS a ON a.role = m.member
            )
            SELECT r.rolname, quote_ident(l.rolname), l.rolcanlogin, l.rolsuper, l.rolbypassrls,
                (SELECT string_agg(quote_ident(o.rolname), chr(10) ORDER BY o.rolname)
                FROM granted AS g JOIN pg_roles AS o ON o.oid = g.role
                WHERE g.member = l.oid AND o.oid <> r.oid
                    -- Not a group through which it is what it is.
                    AND NOT EXISTS (SELECT FROM membership AS w WHERE w.role = r.oid AND w.member = o.oid))
            FROM membership AS m JOIN pg_roles AS r ON r.oid = m.role JOIN pg_roles AS l ON l.oid = m.member
            WHERE r.rolname IN (\(Self.roles)) ORDER BY 1, 2
            """
        ) { row in
            var member = PostgresFacts.Member(role: row[0] ?? "", name: row[1] ?? "")
            member.canLogIn = row[2].isTrue
            member.isSuperuser = row[3].isTrue
            member.bypassesRowSecurity = row[4].isTrue
            member.otherRoles = row[5].elements
            return member
        }
    }

    private func grants(isInSchema: Bool) async throws -> Checked<[PostgresFacts.Grant]> {
        // An object without an access list has the default one, in which functions are everybody's.
        let place = isInSchema ? "n.nspname = 'freshet'" : "n.nspname <> 'freshet' AND n.nspname !~ '^pg_'"
        let whose =
            isInSchema
            ? "g.grantee <> o.owner"
            : "g.grantee IN (SELECT oid FROM pg_roles WHERE rolname IN (\(Self.roles)) "
                + "UNION SELECT member FROM workers) AND g.grantee <> o.owner"
        return try await all(
            """
            WITH RECURSIVE granted (role, member) AS (\(Self.memberships)),
            worker (member) AS (
                SELECT g.member FROM granted AS g JOIN pg_roles AS r ON r.oid = g.role WHERE r.rolname = 'freshet_worker'
                UNION
                SELECT g.member FROM worker AS w JOIN granted AS g ON g.role = w.member
            ),
            workers (member) AS (
                SELECT w.member FROM worker AS w JOIN pg_roles AS r ON r.oid = w.member WHERE r.rolcanlogin AND NOT r.rolsuper
            ),
            object (name, owner, acl, col) AS (
                SELECT format('SCHEMA %I', n.nspname), n.nspowner, COALESCE(n.nspacl, acldefault('n', n.nspowner)), NULL
                FROM pg_namespace AS n WHERE \(place)
                UNION ALL
                SELECT format('%s %I.%I', CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, n.nspname, c.relname),
                    c.relowner,
                    COALESCE(c.relacl, acldefault(CASE c.relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", c.relowner)), NULL
                FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
                WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND \(place)
                UNION ALL
                SELECT format('TABLE %I.%I', n.nspname, c.relname), c.relowner, a.attacl, a.attname
                FROM pg_attribute AS a
                JOIN pg_class AS c ON c.oid = a.attrelid JOIN pg_namespace AS n ON n.oid = c.relnamespace
                WHERE a.attacl IS NOT NULL AND NOT a.attisdropped AND \(place)
                UNION ALL
                SELECT format('%s %I.%I(%s)', CASE p.prokind WHEN 'p' THEN 'PROCEDURE' ELSE 'FUNCTION' END, n.nspname,
                        p.proname, oidvectortypes(p.proargtypes)),
                    p.proowner, COALESCE(p.proacl, acldefault('f', p.proowner)), NULL
                FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace WHERE \(place)
            )
            SELECT o.name, g.privilege_type, o.col, quote_ident(o.col),
                CASE g.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(g.grantee)) END, g.is_grantable
            FROM object AS o, aclexplode(o.acl) AS g
            WHERE \(whose)
            ORDER BY 1, 5, 2, 3
            """
        ) { row in
            var grant = PostgresFacts.Grant(row[1] ?? "", on: row[0] ?? "", column: row[2], to: row[4] ?? "")
            grant.quotedColumn = row[3]
            grant.isGrantable = row[5].isTrue
            return grant
        }
    }

    // MARK: The schema

    private func identity() async throws -> Checked<String> {
        try await one("SELECT freshet.identity()") { $0[0] ?? "" }
    }

    private func migrations() async throws -> Checked<[PostgresFacts.Migration]> {
        try await all("SELECT name, checksum FROM freshet.migration ORDER BY name") { row in
            PostgresFacts.Migration(name: row[0] ?? "", checksum: row[1] ?? "")
        }
    }

    /// Postgres computes the checksums, as it does when migrations are applied.
    private func carriedMigrations() async throws -> Checked<[PostgresFacts.Migration]> {
        let files = MigrationCatalog.migrations.enumerated().map { place, file in
            "(\(place), '\(file.name)', '\\x\(Self.hex(file.bytes))'::bytea)"
        }
        return try await all(
            """
            SELECT f.name, encode(sha256(f.bytes), 'hex')
            FROM (VALUES \(files.joined(separator: ", "))) AS f (place, name, bytes) ORDER BY f.place
            """
        ) { row in PostgresFacts.Migration(name: row[0] ?? "", checksum: row[1] ?? "") }
    }

    private func functions() async throws -> Checked<[PostgresFacts.Function]> {
        try await all(
            """
            SELECT format('freshet.%I(%s)', p.proname, oidvectortypes(p.proargtypes)), p.proname,
                pg_get_userbyid(p.proowner), p.prorettype = 'trigger'::regtype, p.prosecdef,
                array_to_string(p.proconfig, chr(10)),
                EXISTS (
                    SELECT FROM aclexplode(COALESCE(p.proacl, acldefault('f', p.proowner))) AS a WHERE a.grantee = 0
                ),
                p.prosrc
            FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace
            WHERE n.nspname = 'freshet' AND p.prokind = 'f' ORDER BY 1
            """
        ) { row in
            var function = PostgresFacts.Function(signature: row[0] ?? "", name: row[1] ?? "")
            function.owner = row[2] ?? ""
            function.isTrigger = row[3].isTrue
            function.isSecurityDefiner = row[4].isTrue
            function.configuration = row[5].elements
            function.isPublic = row[6].isTrue
            function.source = row[7] ?? ""
            return function
        }
    }

    /// Postgres computes these checksums, too.
    private func generated(
        _ functions: Checked<[PostgresFacts.Function]>,
        _ tables: Checked<[PostgresFacts.Table]>
    ) async throws -> Checked<[String: String]> {
        guard case .known(let functions) = functions else { return .unknown("no function may be read") }
        guard case .known(let tables) = tables else {
            if case .unknown(let reason) = tables { return .unknown(reason) }
            return .known([:])
        }
        var bodies: [String] = []
        for table in tables {
            let columns = table.columns.mapValues { table.quotedColumns[$0] ?? $0 }
            // Those of the other level may have been left behind; nothing calls them.
            let names = Set(table.triggers.map { String($0.dropFirst("freshet_".count)) })
            for function in functions where function.isTrigger && names.contains(function.name) {
                let body = GeneratedFunction.withoutNames(function.source, columns: columns)
                bodies.append("('\(function.name)', '\\x\(Self.hex(body.utf8))'::bytea)")
            }
        }
        guard !bodies.isEmpty else { return .known([:]) }
        let checksums = try await all(
            "SELECT name, md5(body) FROM (VALUES \(bodies.joined(separator: ", "))) AS f (name, body)"
        ) { ($0[0] ?? "", $0[1] ?? "") }
        switch checksums {
        case .known(let checksums): return .known(Dictionary(checksums) { first, _ in first })
        case .unknown(let reason): return .unknown(reason)
        }
    }

    private static func hex(_ bytes: some Sequence<UInt8>) -> String {
        bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    }

    private func relations() async throws -> Checked<[PostgresFacts.Relation]> {
        try await all(
            """
            SELECT format('freshet.%I', c.relname),
                CASE c.relkind WHEN 'v' THEN 'VIEW' WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END,
                pg_get_userbyid(c.relowner), c.relpersistence = 'u'
            FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
            WHERE n.nspname = 'freshet' AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
            UNION ALL
            SELECT 'freshet', 'SCHEMA', pg_get_userbyid(nspowner), false FROM pg_namespace WHERE nspname = 'freshet'
            ORDER BY 1
            """
        ) { row in
            var relation = PostgresFacts.Relation(name: row[0] ?? "")
            relation.kind = row[1] ?? ""
            relation.owner = row[2] ?? ""
            relation.isUnlogged = row[3].isTrue
            return relation
        }
    }

    /// What owners have and freshet_owner was refused, of what it owns: the functions of the schema run as it, or as a member of it.
    private func missingOfOwner() async throws -> Checked<[PostgresFacts.Grant]> {
        try await all(
            """
            WITH owner AS (SELECT oid FROM pg_roles WHERE rolname = 'freshet_owner'),
            freshet AS (SELECT n.* FROM pg_namespace AS n WHERE n.nspname = 'freshet')
            SELECT format('SCHEMA %I', n.nspname), p.name
            FROM freshet AS n JOIN owner AS o ON o.oid = n.nspowner
            CROSS JOIN unnest(ARRAY['USAGE', 'CREATE']) AS p (name)
            WHERE NOT has_schema_privilege(o.oid, n.oid, p.name)
            UNION ALL
            SELECT format('TABLE %I.%I', n.nspname, c.relname), p.name
            FROM freshet AS n JOIN pg_class AS c ON c.relnamespace = n.oid JOIN owner AS o ON o.oid = c.relowner
            CROSS JOIN unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS p (name)
            WHERE c.relkind IN ('r', 'p', 'v') AND (c.relkind <> 'v' OR p.name = 'SELECT')
                AND NOT has_table_privilege(o.oid, c.oid, p.name)
            UNION ALL
            SELECT format('FUNCTION %I.%I(%s)', n.nspname, f.proname, oidvectortypes(f.proargtypes)), 'EXECUTE'
            FROM freshet AS n JOIN pg_proc AS f ON f.pronamespace = n.oid JOIN owner AS o ON o.oid = f.proowner
            WHERE f.prokind = 'f' AND NOT has_function_privilege(o.oid, f.oid, 'EXECUTE')
            ORDER BY 1, 2
            """
        ) { row in PostgresFacts.Grant(row[1] ?? "", on: row[0] ?? "", to: "freshet_owner") }
    }

    private func eventTriggers() async throws -> Checked<[Bool]> {
        try await all(
            "SELECT evtenabled = 'A' FROM pg_event_trigger WHERE evtname IN ('freshet_ddl', 'freshet_drop')"
        ) { $0[0].isTrue }
    }

    // MARK: The attached tables

    private func tables() async throws -> Checked<[PostgresFacts.Table]> {
        let found = try await all(
            """
            SELECT a.cache, a.subject, format('%I.%I', a.schema_name, a.table_name), a.level,
                (SELECT string_agg(k, chr(10) ORDER BY k) FROM jsonb_object_keys(a.columns) AS k),
                (SELECT string_agg(a.columns ->> k, chr(10) ORDER BY k) FROM jsonb_object_keys(a.columns) AS k),
                c.oid IS NOT NULL, c.relkind = 'r' AND NOT c.relispartition,
                array_to_string(ARRAY(
                    SELECT format('%I.%I', rn.nspname, r.relname)
                    FROM pg_inherits AS i
                    JOIN pg_class AS r
                        ON r.oid = CASE WHEN i.inhparent = c.oid THEN i.inhrelid ELSE i.inhparent END
                    JOIN pg_namespace AS rn ON rn.oid = r.relnamespace
                    WHERE c.oid IN (i.inhparent, i.inhrelid) ORDER BY 1
                ), chr(10)),
                array_to_string(a.trigger_names, chr(10)),
                (SELECT string_agg(t.name, chr(10)) FROM (\(Self.triggers)) AS t WHERE t.state IS NULL),
                (SELECT string_agg(t.name || '=' || t.state, chr(10)) FROM (\(Self.triggers)) AS t WHERE t.state <> 'A'),
                array_to_string(ARRAY(
                    SELECT col.name FROM jsonb_each_text(a.columns) AS col (role, name)
                    WHERE NOT EXISTS (
                        SELECT FROM pg_attribute AS f
                        WHERE f.attrelid = c.oid AND f.attname = col.name::name AND f.attnum > 0 AND NOT f.attisdropped
                    ) ORDER BY 1
                ), chr(10)),
                EXISTS (SELECT FROM pg_subscription_rel AS s WHERE s.srrelid = c.oid),
                COALESCE(c.relrowsecurity, false), pg_get_userbyid(c.relowner),
                array_to_string(ARRAY(
                    SELECT f.attname FROM jsonb_each_text(a.columns) AS col (role, name)
                    JOIN pg_attribute AS f
                        ON f.attrelid = c.oid AND f.attname = col.name::name AND f.attnum > 0 AND NOT f.attisdropped
                    WHERE NOT has_column_privilege('freshet_worker', c.oid, f.attnum, 'SELECT') ORDER BY 1
                ), chr(10)),
                n.oid IS NULL OR has_schema_privilege('freshet_worker', n.oid, 'USAGE'), quote_ident(a.schema_name),
                (SELECT string_agg(quote_ident(a.columns ->> k), chr(10) ORDER BY k)
                FROM jsonb_object_keys(a.columns) AS k)
            FROM freshet.attachment AS a
            LEFT JOIN pg_namespace AS n ON n.nspname = a.schema_name
            LEFT JOIN pg_class AS c ON c.relnamespace = n.oid AND c.relname = a.table_name
            ORDER BY a.cache <> 'workflows', a.cache, a.subject
            """
        ) { row in
            var table = PostgresFacts.Table(cache: row[0] ?? "", subject: row[1] ?? "", name: row[2] ?? "")
            table.level = row[3] ?? ""
            table.columns = Dictionary(zip(row[4].elements, row[5].elements)) { first, _ in first }
            table.exists = row[6].isTrue
            table.isOrdinary = row[7].isTrue
            table.relatives = row[8].elements
            table.triggers = row[9].elements
            table.missingTriggers = row[10].elements
            table.disabledTriggers = row[11].elements
            table.missingColumns = row[12].elements
            table.isSubscribed = row[13].isTrue
            table.hasRowSecurity = row[14].isTrue
            table.owner = row[15] ?? ""
            table.unreadableColumns = AttachStatement.readSubjects.contains(table.subject) ? row[16].elements : []
            table.isSchemaUsable = row[17].isTrue
            table.schema = row[18] ?? ""
            table.quotedColumns = Dictionary(zip(row[5].elements, row[19].elements)) { first, _ in first }
            return table
        }
        guard case .known(var tables) = found else { return found }
        let problems = try await all("SELECT subject, problem FROM freshet.attached WHERE NOT ok") { ($0[0], $0[1]) }
        for case (let subject?, let problem?) in problems.value ?? [] {
            for index in tables.indices where tables[index].subject == subject { tables[index].problem = problem }
        }
        return .known(tables)
    }

    /// The triggers that attach made for `a` on `c`, each with its state, NULL where it is not there or calls something else.
    private static let triggers = """
        SELECT u.name AS name, CASE WHEN p.oid IS NOT NULL THEN g.tgenabled::text END AS state
        FROM unnest(a.trigger_names) AS u (name)
        LEFT JOIN pg_trigger AS g ON g.tgrelid = c.oid AND g.tgname = u.name AND NOT g.tgisinternal
        LEFT JOIN pg_namespace AS pn ON pn.nspname = 'freshet'
        LEFT JOIN pg_proc AS p
            ON p.oid = g.tgfoid AND p.pronamespace = pn.oid
            AND p.proname = substr(u.name, length('freshet_') + 1)
        """

    private func strayTriggers() async throws -> Checked<[PostgresFacts.StrayTrigger]> {
        try await all(
            """
            SELECT quote_ident(t.tgname), format('%I.%I', n.nspname, c.relname)
            FROM pg_trigger AS t
            JOIN pg_proc AS p ON p.oid = t.tgfoid
            JOIN pg_namespace AS pn ON pn.oid = p.pronamespace AND pn.nspname = 'freshet'
            JOIN pg_class AS c ON c.oid = t.tgrelid
            JOIN pg_namespace AS n ON n.oid = c.relnamespace
            WHERE NOT t.tgisinternal AND NOT EXISTS (
                SELECT FROM freshet.attachment AS a
                WHERE a.schema_name = n.nspname AND a.table_name = c.relname AND t.tgname = ANY (a.trigger_names)
            )
            ORDER BY 2, 1
            """
        ) { row in PostgresFacts.StrayTrigger(name: row[0] ?? "", table: row[1] ?? "") }
    }

    // MARK: The journal and who works it off

    private func journal() async throws -> Checked<PostgresFacts.Journal> {
        try await one(
            """
            SELECT count(*), extract(epoch FROM clock_timestamp() - min(changed_at))::float8
            FROM (SELECT changed_at FROM freshet.change LIMIT \(PostgresFacts.Journal.countedRows)) AS change
            """
        ) { row in
            var journal = PostgresFacts.Journal()
            journal.rows = row[0].flatMap { Int64($0) } ?? 0
            journal.oldestSeconds = row[1].flatMap { Double($0) }
            return journal
        }
    }

    private func journalTable() async throws -> Checked<PostgresFacts.JournalTable> {
        try await one(
            """
            SELECT array_to_string(c.reloptions, chr(10)), array_to_string(t.reloptions, chr(10)), c.relreplident = 'f',
                EXISTS (
                    SELECT FROM pg_index AS i JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attname = 'xid'
                    WHERE i.indrelid = c.oid AND i.indisvalid AND i.indkey[0] = a.attnum AND i.indpred IS NULL
                ),
                COALESCE(s.n_dead_tup, 0), pg_total_relation_size(c.oid),
                extract(epoch FROM clock_timestamp() - GREATEST(s.last_autovacuum, s.last_vacuum))::float8,
                COALESCE(s.autovacuum_count + s.vacuum_count, 0), \(Self.isAutovacuumOff("c")), \(Self.isAutovacuumOff("t"))
            FROM pg_class AS c
            JOIN pg_namespace AS n ON n.oid = c.relnamespace AND n.nspname = 'freshet'
            LEFT JOIN pg_class AS t ON t.oid = c.reltoastrelid
            LEFT JOIN pg_stat_all_tables AS s ON s.relid = c.oid
            WHERE c.relname = 'change'
            """
        ) { row in
            var table = PostgresFacts.JournalTable()
            table.options = row[0].elements
            table.toastOptions = row[1].elements
            table.hasFullReplicaIdentity = row[2].isTrue
            table.hasIndex = row[3].isTrue
            table.deadRows = row[4].flatMap { Int64($0) } ?? 0
            table.bytes = row[5].flatMap { Int64($0) } ?? 0
            table.vacuumedSeconds = row[6].flatMap { Double($0) }
            table.vacuumCount = row[7].flatMap { Int64($0) } ?? 0
            table.isAutovacuumOff = row[8].isTrue
            table.isToastAutovacuumOff = row[9].isTrue
            return table
        }
    }

    /// Whether the storage parameters of a row of pg_class say so: Postgres keeps them as they were written.
    private static func isAutovacuumOff(_ relation: String) -> String {
        """
        EXISTS (
            SELECT FROM pg_options_to_table(\(relation).reloptions) AS o
            WHERE o.option_name = 'autovacuum_enabled' AND NOT o.option_value::bool
        )
        """
    }

    private func leader() async throws -> Checked<PostgresFacts.Leader?> {
        // An advisory lock of one bigint shows its halves, and 1 as the third number.
        let key = UInt64(bitPattern: Leadership.advisoryLockKey)
        let found = try await all(
            """
            SELECT l.pid, quote_ident(s.usename), COALESCE(r.rolsuper, false)
            FROM pg_locks AS l
            LEFT JOIN pg_stat_activity AS s ON s.pid = l.pid
            LEFT JOIN pg_roles AS r ON r.oid = s.usesysid
            WHERE l.locktype = 'advisory' AND l.granted
                AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
                AND l.classid::bigint = \(key >> 32) AND l.objid::bigint = \(key & 0xFFFF_FFFF) AND l.objsubid = 1
            """
        ) { row in
            PostgresFacts.Leader(
                processIdentifier: row[0].flatMap { Int64($0) } ?? 0,
                role: row[1],
                isSuperuser: row[2].isTrue
            )
        }
        switch found {
        case .known(let leaders): return .known(leaders.first)
        case .unknown(let reason): return .unknown(reason)
        }
    }

    private func marks() async throws -> Checked<[String: String?]> {
        let found = try await all("SELECT cache, mark FROM freshet.fence") { ($0[0] ?? "", $0[1]) }
        switch found {
        case .known(let marks): return .known(Dictionary(marks) { first, _ in first })
        case .unknown(let reason): return .unknown(reason)
        }
    }
}

extension String? {
    /// Whether it is the text of a true truth value.
    fileprivate var isTrue: Bool { self == "t" }

    /// The lines: what an array was made into.
    fileprivate var elements: [String] {
        (self ?? "").split(separator: "\n").map(String.init)
    }
}
