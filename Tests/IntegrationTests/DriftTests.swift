import Freshet
import Keyspace
import Postgres
import Testing

/// The attached tables change under the triggers' feet: writers go on, nothing is promised, and what is wrong is said.
///
/// Once it is mended, everything from before is dropped before anything is promised again.
@Suite struct DriftTests {
    /// Something that goes wrong with the attached tables.
    struct Drift: CustomTestStringConvertible, Sendable {
        var testDescription: String
        var breaking: String
        /// What the worker and `freshet.attached` say.
        var reason: String
        /// A change that reaches no trigger, where there can be one.
        var unseen: String?
        /// Whether the library can read the tables meanwhile.
        var isReadable = true
        /// An operation of the journal that a write meanwhile leads to.
        var operation: String?
        var mending = Scenario.attach
    }

    private static let drifts = [
        Drift(
            testDescription: "a trigger disabled",
            breaking: "ALTER TABLE workflow_engine_workflow DISABLE TRIGGER freshet_workflow_update",
            reason: "triggers not enabled ALWAYS on public.workflow_engine_workflow: freshet_workflow_update",
            unseen: "UPDATE workflow_engine_workflow SET enabled = false WHERE id = 11"
        ),
        Drift(
            testDescription: "all triggers disabled and enabled again, which leaves them off for replicas",
            breaking: """
                ALTER TABLE workflow_engine_workflow DISABLE TRIGGER ALL;
                ALTER TABLE workflow_engine_workflow ENABLE TRIGGER ALL
                """,
            reason: "triggers not enabled ALWAYS on public.workflow_engine_workflow: freshet_workflow_delete",
            unseen: """
                BEGIN;
                SET LOCAL session_replication_role = replica;
                UPDATE workflow_engine_workflow SET enabled = false WHERE id = 11;
                COMMIT
                """
        ),
        Drift(
            testDescription: "a trigger dropped",
            breaking: "DROP TRIGGER freshet_link_delete ON workflow_engine_detectorworkflow",
            reason: "triggers missing on public.workflow_engine_detectorworkflow: freshet_link_delete",
            unseen: "DELETE FROM workflow_engine_detectorworkflow WHERE detector_id = 1 AND workflow_id = 11"
        ),
        Drift(
            testDescription: "a copy of the table in its place",
            breaking: """
                CREATE TABLE copied (LIKE workflow_engine_workflow INCLUDING ALL);
                INSERT INTO copied SELECT * FROM workflow_engine_workflow;
                ALTER TABLE workflow_engine_workflow RENAME TO discarded;
                ALTER TABLE copied RENAME TO workflow_engine_workflow
                """,
            reason: "triggers missing on public.workflow_engine_workflow",
            unseen: "UPDATE workflow_engine_workflow SET enabled = false WHERE id = 11"
        ),
        Drift(
            testDescription: "a table renamed",
            breaking: "ALTER TABLE workflow_engine_detectorworkflow RENAME TO links",
            reason: "table public.workflow_engine_detectorworkflow does not exist",
            isReadable: false,
            mending: "ALTER TABLE links RENAME TO workflow_engine_detectorworkflow"
        ),
        Drift(
            testDescription: "a column renamed",
            breaking: "ALTER TABLE workflow_engine_workflow RENAME environment_id TO place",
            reason: "columns of public.workflow_engine_workflow renamed or no longer integers: environment_id",
            isReadable: false,
            operation: "workflow drift",
            mending: "ALTER TABLE workflow_engine_workflow RENAME place TO environment_id"
        ),
        Drift(
            testDescription: "a column retyped to what is no number",
            breaking: """
                ALTER TABLE workflow_engine_workflow ALTER environment_id TYPE text USING 'environment ' || environment_id
                """,
            reason: "columns of public.workflow_engine_workflow renamed or no longer integers: environment_id",
            isReadable: false,
            operation: "workflow drift",
            mending: """
                ALTER TABLE workflow_engine_workflow
                ALTER environment_id TYPE bigint USING substr(environment_id, length('environment ') + 1)::bigint
                """
        ),
        Drift(
            testDescription: "row-level security turned on",
            breaking: "ALTER TABLE workflow_engine_workflow ENABLE ROW LEVEL SECURITY",
            reason: "row-level security hides rows of public.workflow_engine_workflow from role service_worker",
            mending: "ALTER TABLE workflow_engine_workflow DISABLE ROW LEVEL SECURITY"
        ),
        Drift(
            testDescription: "a table that becomes a partition",
            breaking: """
                CREATE TABLE whole (LIKE workflow_engine_workflow INCLUDING ALL) PARTITION BY RANGE (id);
                ALTER TABLE whole ATTACH PARTITION workflow_engine_workflow DEFAULT
                """,
            reason: "public.workflow_engine_workflow is no longer an ordinary table",
            unseen: "UPDATE whole SET enabled = false WHERE id = 11",
            mending: "ALTER TABLE whole DETACH PARTITION workflow_engine_workflow"
        ),
        // Here it is the mending that no trigger sees: with the child go the rows that readers have stored of it.
        Drift(
            testDescription: "a table that becomes a parent",
            breaking: """
                CREATE TABLE child () INHERITS (workflow_engine_workflow);
                INSERT INTO child (id, environment_id) VALUES (12, 5);
                INSERT INTO workflow_engine_detectorworkflow (detector_id, workflow_id) VALUES (1, 12)
                """,
            reason: "public.workflow_engine_workflow is no longer an ordinary table",
            mending: "DROP TABLE child"
        ),
    ]

    @Test(arguments: drifts)
    func `nothing is promised until it is mended, and nothing from before is served then`(drift: Drift) async throws {
        var limits = KeyspaceLimits()
        limits.lease = .seconds(1)
        try await Scenario.run(limits: limits) { scenario in
            try await scenario.insert(detectors: [1, 2], workflows: [(10, nil), (11, 5)])
            let worker = try await scenario.startWorker()
            try await worker.catchUp()
            try await scenario.warm([1, 2], [.environment(5)])

            try await scenario.execute(drift.breaking)
            try await worker.events.wait(for: .distrusting, count: 1)
            let promises = worker.events.count(of: .vouched)
            #expect(worker.distrusts.first?.contains(drift.reason) == true, "\(worker.distrusts)")
            let asWorker = try await scenario.connect(user: Servers.Roles.worker)
            let problem = try await asWorker.query("SELECT problem FROM freshet.attached WHERE NOT ok").string(0, 0)
            await asWorker.close()
            #expect(problem?.contains(drift.reason) == true, "\(problem ?? "no problem")")
            try await scenario.waitUntil(.degraded)

            let writer = try await scenario.connect(user: Servers.Roles.writer)
            try await writer.run(script: "UPDATE workflow_engine_workflow SET name = 'written'")
            try await writer.run(script: "UPDATE workflow_engine_detector SET name = 'written' WHERE id = 1")
            await writer.close()
            try await worker.catchUp()
            // What the triggers do see is applied meanwhile.
            #expect(worker.applied.contains("detector update"))
            if let operation = drift.operation { #expect(worker.applied.contains(operation)) }

            var before: [Int64]?
            if drift.isReadable {
                try await scenario.warm([1, 2], [.environment(5)])
                before = try await scenario.read(1, .environment(5)).ids
            }
            if let unseen = drift.unseen {
                let applied = worker.applied
                try await scenario.execute(unseen)
                try await worker.catchUp()
                #expect(worker.applied == applied)
            }
            let generation = try await scenario.generation()
            #expect(worker.events.count(of: .vouched) == promises)

            try await scenario.execute(drift.mending)
            try await worker.vouchesAgain()
            try await scenario.waitUntil(.healthy)
            #expect(try await scenario.generation() != generation)
            if let before { #expect(try await scenario.read(1, .environment(5)).ids != before) }
            try await scenario.expectConsistent(detectors: [1, 2], environments: [5])
            // Told once, not at every pass; and once more at the most, by a pass that fell into the middle of the mending.
            #expect((1...2).contains(worker.distrusts.count), "\(worker.distrusts)")

            // And the triggers work again.
            try await scenario.execute("UPDATE workflow_engine_workflow SET environment_id = 5 WHERE id = 10")
            try await worker.catchUp()
            try await scenario.expectConsistent(detectors: [1, 2], environments: [5])
        }
    }

    @Test(arguments: [
        """
        BEGIN;
        ALTER TABLE workflow_engine_workflow DISABLE TRIGGER USER;
        UPDATE workflow_engine_workflow SET enabled = false WHERE id = 11;
        ALTER TABLE workflow_engine_workflow ENABLE ALWAYS TRIGGER freshet_workflow_insert;
        ALTER TABLE workflow_engine_workflow ENABLE ALWAYS TRIGGER freshet_workflow_update;
        ALTER TABLE workflow_engine_workflow ENABLE ALWAYS TRIGGER freshet_workflow_delete;
        ALTER TABLE workflow_engine_workflow ENABLE ALWAYS TRIGGER freshet_workflow_truncate;
        COMMIT
        """,
        """
        ALTER TABLE workflow_engine_workflow
        ALTER environment_id TYPE integer USING CASE id WHEN 11 THEN 6 ELSE environment_id END
        """,
    ])
    func `what is well again before anybody looked bumps the namespace all the same`(sql: String) async throws {
        try await Scenario.run { scenario in
            try await scenario.insert(detectors: [1, 2], workflows: [(10, nil), (11, 5)])
            let worker = try await scenario.startWorker()
            try await worker.catchUp()
            try await scenario.warm([1, 2], [.environment(5), .environment(6)])
            #expect(try await scenario.read(1, .environment(5)).ids == [10, 11])
            try await scenario.execute(sql)
            try await worker.vouchesAgain()
            #expect(worker.distrusts.isEmpty)
            #expect(try await scenario.read(1, .environment(5)).global == .miss(.stale(.namespace)))
            #expect(try await scenario.read(1, .environment(5)).ids == [10])
            try await scenario.expectConsistent(detectors: [1, 2], environments: [5, 6])
        }
    }

    @Test(arguments: ["statement", "row"])
    func `a cast that a table's owner has made up is not run by the triggers`(level: String) async throws {
        try await Scenario.run { scenario in
            try await scenario.insert(detectors: [1], workflows: [(11, 5)])
            try await scenario.execute(
                """
                SELECT freshet.detach();
                SELECT freshet.attach(
                    'workflow_engine_detector', 'workflow_engine_workflow', 'workflow_engine_detectorworkflow',
                    level => '\(level)'
                );
                CREATE TABLE ran (by_whom text);
                GRANT INSERT ON ran TO PUBLIC;
                CREATE TYPE odd AS (value bigint);
                CREATE FUNCTION odd_to_bigint(odd) RETURNS bigint LANGUAGE plpgsql AS $function$
                BEGIN
                    INSERT INTO public.ran VALUES (current_user);
                    RETURN $1.value;
                END
                $function$;
                CREATE CAST (odd AS bigint) WITH FUNCTION odd_to_bigint(odd);
                ALTER TABLE workflow_engine_workflow ALTER environment_id TYPE odd USING row(environment_id)::odd;
                DELETE FROM freshet.change;
                UPDATE workflow_engine_workflow SET environment_id = row(6)::odd;
                INSERT INTO workflow_engine_workflow (id, environment_id) VALUES (12, row(5)::odd);
                DELETE FROM workflow_engine_workflow
                """
            )
            #expect(try await scenario.admin.query("SELECT count(*) FROM ran").requiredString(0, 0) == "0")
            let drifts = "SELECT count(*) > 0 AND bool_and(operation = 'drift') FROM freshet.change"
            #expect(try await scenario.admin.query(drifts).requiredString(0, 0) == "t")
        }
    }

    // The last step of many a migration: it writes no row, and changes what every row says.
    @Test func `a column that takes another's name over bumps the namespace`() async throws {
        try await Scenario.run { scenario in
            try await scenario.insert(detectors: [1, 2], workflows: [(10, nil), (11, 5)])
            let worker = try await scenario.startWorker()
            try await scenario.execute(
                """
                ALTER TABLE workflow_engine_workflow ADD enabled_next boolean NOT NULL DEFAULT true;
                UPDATE workflow_engine_workflow SET enabled_next = id <> 11
                """
            )
            try await worker.catchUp()
            try await scenario.warm([1, 2], [.environment(5)])
            #expect(try await scenario.read(1, .environment(5)).environment == .hit)
            try await scenario.execute(
                """
                ALTER TABLE workflow_engine_workflow RENAME enabled TO enabled_before;
                ALTER TABLE workflow_engine_workflow RENAME enabled_next TO enabled
                """
            )
            try await worker.catchUp()
            #expect(try await scenario.read(1, .environment(5)).ids == [10])
            try await scenario.expectConsistent(detectors: [1, 2], environments: [5])
        }
    }

    @Test func `a worker that was not there when it was mended drops everything from before as well`() async throws {
        try await Scenario.run { scenario in
            try await scenario.insert(detectors: [1], workflows: [(10, nil), (11, 5)])
            let worker = try await scenario.startWorker()
            try await scenario.execute("ALTER TABLE workflow_engine_workflow ENABLE ROW LEVEL SECURITY")
            try await worker.events.wait(for: .distrusting, count: 1)
            try await scenario.warm([1], [.environment(5)])
            #expect(try await scenario.read(1, .environment(5)).ids == [])
            try await worker.stop()
            try await scenario.execute("ALTER TABLE workflow_engine_workflow DISABLE ROW LEVEL SECURITY")
            let successor = try await scenario.startWorker()
            try await successor.catchUp()
            #expect(try await scenario.read(1, .environment(5)).ids == [10, 11])
        }
    }

    @Test(arguments: [
        (
            "CREATE TABLE odd (id bigint PRIMARY KEY, environment_id bigint) PARTITION BY RANGE (id)",
            "public.odd cannot be attached: it is partitioned"
        ),
        (
            """
            CREATE TABLE whole (id bigint PRIMARY KEY, environment_id bigint) PARTITION BY RANGE (id);
            CREATE TABLE odd PARTITION OF whole DEFAULT
            """,
            "public.odd cannot be attached: it is a partition"
        ),
        (
            "CREATE TABLE odd (id bigint PRIMARY KEY, environment_id bigint); CREATE TABLE child () INHERITS (odd)",
            "public.odd cannot be attached: it is part of table inheritance"
        ),
        (
            "CREATE VIEW odd AS SELECT * FROM workflow_engine_workflow",
            "public.odd cannot be attached: it is a view"
        ),
    ])
    func `a table whose changes could pass its triggers by is refused`(sql: String, message: String) async throws {
        try await Scenario.run { scenario in
            try await scenario.execute("SELECT freshet.detach()")
            try await scenario.execute(sql)
            let error = await #expect(throws: PostgresError.self) {
                try await scenario.execute(
                    "SELECT freshet.attach('workflow_engine_detector', 'odd', 'workflow_engine_detectorworkflow')"
                )
            }
            #expect(error?.message.contains(message) == true)
            #expect(error?.hint?.isEmpty == false)
            #expect(try await scenario.column("SELECT count(*) FROM freshet.attachment") == ["0"])
        }
    }

    @Test func `attach and detach under busy writers disturb none of them, and recovery is by itself`() async throws {
        try await Scenario.run { scenario in
            // Who notifies waits for whoever else does, anywhere on this server, and here with locks that writers wait for.
            try await scenario.execute("SET freshet.notify = off")
            let load = try await Load.start(on: scenario)
            let worker = try await scenario.startWorker()
            for round in 1...3 {
                try await load.commits(20)
                #expect(try await scenario.column("SELECT freshet.detach()") == ["t"])
                try await worker.events.wait(for: .distrusting, count: round)
                #expect(worker.distrusts.last?.contains("no detector table is attached; run freshet.attach()") == true)
                let promises = worker.events.count(of: .vouched)
                // These reach no trigger.
                try await load.commits(20)
                #expect(worker.events.count(of: .vouched) == promises)
                #expect(try await scenario.column(Scenario.attach) == ["t"])
                try await worker.events.wait(for: .vouched, count: promises + 1)
            }
            try await load.commits(20)
            try await load.stop()
            try await worker.catchUp()
            try await load.expectConsistent()
        }
    }

    @Test(arguments: [true, false])
    func `attach and detach wait for a long transaction without making others wait`(isAttached: Bool) async throws {
        try await Scenario.run { scenario in
            try await scenario.insert(detectors: [1], workflows: [(10, nil), (11, nil)])
            if !isAttached { try await scenario.execute("SELECT freshet.detach()") }
            let long = try await scenario.connect()
            try await long.run(script: "BEGIN; UPDATE workflow_engine_workflow SET name = 'long' WHERE id = 10")

            let installer = try await scenario.connect()
            async let changed = installer.query(isAttached ? "SELECT freshet.detach()" : Scenario.attach).bool(0, 0)
            _ = try await eventually("the installer to try again and again") {
                let state = try await scenario.column(
                    "SELECT wait_event FROM pg_stat_activity WHERE pid = \(installer.backendPID)"
                )
                return state == ["PgSleep"] ? true : nil
            }
            let other = try await scenario.connect(user: Servers.Roles.writer)
            // Less than it takes to notice a deadlock: whoever is queued behind the installer fails. Who notifies would wait, too, for
            // whoever else commits anywhere on this server.
            try await other.run(script: "SET lock_timeout = '500ms'; SET freshet.notify = off")
            for number in 1...50 {
                try await other.run(script: "UPDATE workflow_engine_workflow SET name = '\(number)' WHERE id = 11")
            }
            try await long.run(script: "COMMIT")
            #expect(try await changed == true)
            for connection in [long, installer, other] { await connection.close() }
        }
    }

    @Test func `a prepared transaction is seen when it is committed, and not before`() async throws {
        try await Scenario.withOwnServers(postgresSettings: ["max_prepared_transactions": "4"]) { scenario in
            try await scenario.insert(detectors: [1], workflows: [(10, nil), (11, 5)])
            let worker = try await scenario.startWorker()
            try await worker.catchUp()
            try await scenario.warm([1], [.environment(5)])

            try await scenario.execute(
                "BEGIN; UPDATE workflow_engine_workflow SET enabled = false WHERE id = 11; PREPARE TRANSACTION 'two'"
            )
            // Later ones are processed meanwhile.
            try await scenario.execute("UPDATE workflow_engine_workflow SET name = 'new' WHERE id = 10")
            try await worker.catchUp()
            try await worker.catchUp()
            var found = try await scenario.read(1, .environment(5))
            #expect(found.global == .miss(.absent))
            #expect(found.environment == .hit)
            #expect(found.ids == [10, 11])

            try await scenario.execute("COMMIT PREPARED 'two'")
            try await worker.catchUp()
            found = try await scenario.read(1, .environment(5))
            #expect(found.environment == .miss(.absent))
            #expect(found.ids == [10])

            // Who insists on notifications cannot prepare: that is Postgres' own rule, and why `auto` leaves them out here.
            let error = await #expect(throws: PostgresError.self) {
                try await scenario.execute(
                    """
                    SET freshet.notify = on;
                    BEGIN;
                    UPDATE workflow_engine_workflow SET enabled = true WHERE id = 11;
                    PREPARE TRANSACTION 'three'
                    """
                )
            }
            #expect(error?.sqlState == .featureNotSupported)
        }
    }
}
