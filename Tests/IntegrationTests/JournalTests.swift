import Foundation
import Freshet
import Keyspace
import LocalServices
import Postgres
import Testing

@testable import InvalidationWorker

/// The journal: what is written to it, by whom, and how the worker finds it.
@Suite struct JournalTests {
    // MARK: Writing

    @Test func `a statement that touches more rows than the setting says is journaled as one escalation`() async throws
    {
        try await Scenario.run { scenario in
            try await scenario.insert(detectors: [], workflows: (1...4).map { ($0, 5) })
            try await scenario.execute("UPDATE freshet.setting SET value = '3' WHERE name = 'escalation_rows'")
            try await scenario.execute("DELETE FROM freshet.change")
            try await scenario.execute("UPDATE workflow_engine_workflow SET name = 'new' WHERE id <= 3")
            try await scenario.execute("UPDATE workflow_engine_workflow SET name = 'newer'")
            try await scenario.execute(
                "UPDATE workflow_engine_workflow SET name = 'newest' WHERE id <= 3 OR name = 'old'"
            )
            try await scenario.execute("DELETE FROM workflow_engine_workflow")
            #expect(
                try await scenario.column(
                    """
                    SELECT concat_ws(' ', subject, operation, row_count, workflow_ids) FROM freshet.change ORDER BY id
                    """
                ) == [
                    "workflow update 3 {1,2,3}", "workflow escalation 4", "workflow update 3 {1,2,3}",
                    "workflow escalation 4",
                ]
            )
        }
    }

    /// The first fifty rows and those at the limit stand for all, where a statement has changed each of them.
    @Test func `of a large statement that left some of its rows alone, all are looked at, or a hundred stand for them`()
        async throws
    {
        try await Scenario.run { scenario in
            try await scenario.insert(detectors: [], workflows: (1...400).map { ($0, 5) })
            try await scenario.execute("UPDATE freshet.setting SET value = '200' WHERE name = 'escalation_rows'")
            try await scenario.execute("DELETE FROM freshet.change")
            func rename(_ ids: String) async throws {
                try await scenario.execute(
                    "UPDATE workflow_engine_workflow SET name = CASE WHEN \(ids) THEN name || 'x' ELSE name END"
                )
            }
            try await scenario.execute("CLUSTER workflow_engine_workflow USING workflow_engine_workflow_pkey")
            try await rename("false")
            try await rename("id > 200")
            try await scenario.execute("CLUSTER workflow_engine_workflow USING workflow_engine_workflow_pkey")
            try await rename("id > 199")
            try await scenario.execute("CLUSTER workflow_engine_workflow USING workflow_engine_workflow_pkey")
            try await rename("id <= 100")
            try await scenario.execute("CLUSTER workflow_engine_workflow USING workflow_engine_workflow_pkey")
            try await rename("id <= 50 OR id BETWEEN 152 AND 201")
            #expect(
                try await scenario.column(
                    """
                    SELECT concat_ws(' ', operation, row_count, pg_catalog.cardinality(workflow_ids))
                    FROM freshet.change WHERE operation <> 'ddl' ORDER BY id
                    """
                ) == ["update 200 200", "escalation 400", "update 100 100", "escalation 400"]
            )
        }
    }

    @Test func `writers need no privilege on anything of Freshet's`() async throws {
        try await Scenario.run { scenario in
            let role = "writer_of_\(scenario.database)"
            try await scenario.execute(
                """
                CREATE ROLE \(role) LOGIN;
                GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON workflow_engine_detector, workflow_engine_workflow,
                    workflow_engine_detectorworkflow TO \(role);
                GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO \(role)
                """
            )
            let writer = try await scenario.connect(user: role)
            for sql in [
                "INSERT INTO workflow_engine_detector (id) VALUES (1)",
                "INSERT INTO workflow_engine_workflow (id) VALUES (10)",
                "INSERT INTO workflow_engine_detectorworkflow (detector_id, workflow_id) VALUES (1, 10)",
                "UPDATE workflow_engine_detector SET name = 'new'",
                "UPDATE workflow_engine_workflow SET name = 'new'",
                "UPDATE workflow_engine_detectorworkflow SET detector_id = 2",
                "DELETE FROM workflow_engine_detectorworkflow",
                "DELETE FROM workflow_engine_workflow",
                "DELETE FROM workflow_engine_detector",
                "TRUNCATE workflow_engine_detector, workflow_engine_workflow, workflow_engine_detectorworkflow",
            ] {
                try await writer.run(script: sql)
            }
            for sql in ["SELECT * FROM freshet.change", "SELECT freshet.invalidate_all()"] {
                let error = await #expect(throws: PostgresError.self) { try await writer.run(script: sql) }
                #expect(error?.sqlState == .insufficientPrivilege)
            }
            await writer.close()
            #expect(
                try await scenario.column(
                    "SELECT subject || ' ' || operation FROM freshet.change WHERE user_name = '\(role)' ORDER BY id"
                ) == [
                    "workflow insert", "link insert", "detector update", "workflow update", "link update",
                    "link delete",
                    "workflow delete", "detector delete", "detector truncate", "workflow truncate", "link truncate",
                ]
            )
            try await scenario.execute("DROP OWNED BY \(role); DROP ROLE \(role)")
        }
    }

    // MARK: Notifications

    /// A setting of the installation, what a session does about it, and what follows.
    struct Notifying: CustomTestStringConvertible, Sendable {
        var setting: String
        var session: [String] = []
        var notifies: Bool

        var testDescription: String { ([setting] + session).joined(separator: "; ") }
    }

    @Test(arguments: [
        Notifying(setting: "auto", notifies: true),
        Notifying(setting: "on", notifies: true),
        Notifying(setting: "off", notifies: false),
        Notifying(setting: "off", session: ["SET freshet.notify = on"], notifies: true),
        Notifying(setting: "on", session: ["SET freshet.notify = off"], notifies: false),
        Notifying(setting: "off", session: ["SET freshet.notify = auto"], notifies: true),
        Notifying(setting: "on", session: ["SET freshet.notify = off", "RESET freshet.notify"], notifies: true),
        Notifying(setting: "off", session: ["SET freshet.notify = on", "RESET freshet.notify"], notifies: false),
        Notifying(setting: "off", session: ["SET freshet.notify = 'perhaps'"], notifies: false),
    ])
    func `a change notifies where the session says so, or else the setting`(notifying: Notifying) async throws {
        try await Scenario.run { scenario in
            try await scenario.insert(detectors: [], workflows: [(10, nil)])
            try await scenario.execute(
                "UPDATE freshet.setting SET value = '\(notifying.setting)' WHERE name = 'notify'"
            )
            let listener = try await scenario.connect()
            try await listener.run(script: "LISTEN freshet_change")
            let writer = try await scenario.connect(user: Servers.Roles.writer)
            for sql in notifying.session { try await writer.run(script: sql) }
            try await writer.run(script: "UPDATE workflow_engine_workflow SET name = 'new'")
            // Notifications come in the order of commits, so whatever the change sent comes before this.
            try await writer.run(script: "NOTIFY freshet_change, 'end'")
            let first = try await listener.nextNotification(until: .now + .seconds(20))
            #expect((first?.payload == "end") == !notifying.notifies)
            await listener.close()
            await writer.close()
        }
    }

    @Test func `a worker without notifications polls`() async throws {
        try await Scenario.run { scenario in
            try await scenario.insert(detectors: [1], workflows: [(10, nil)])
            try await scenario.execute("UPDATE freshet.setting SET value = 'off' WHERE name = 'notify'")
            let worker = try await scenario.startWorker { configuration in
                // What it would wait for with notifications; longer than the test may take.
                configuration.pollInterval = .seconds(300)
            }
            #expect(InvalidationWorker.Configuration().pollIntervalWithoutNotifications == .milliseconds(100))
            try await worker.catchUp()
            try await scenario.warm([1], [.global])
            try await scenario.execute("UPDATE workflow_engine_workflow SET enabled = false")
            try await worker.catchUp()
            #expect(try await scenario.read(1).ids == [])
        }
    }

    @Test func `a worker with notifications does not wait for its poll`() async throws {
        try await Scenario.run { scenario in
            try await scenario.insert(detectors: [1], workflows: [(10, nil)])
            let worker = try await scenario.startWorker { $0.pollInterval = .seconds(300) }
            try await worker.gate.steps.wait(for: .waiting, count: 1)
            try await scenario.warm([1], [.global])
            let applied = worker.events.count(of: .applied)
            try await scenario.execute("UPDATE workflow_engine_workflow SET enabled = false")
            try await worker.events.wait(for: .applied, count: applied + 1)
            #expect(try await scenario.read(1).ids == [])
        }
    }

    // MARK: Claiming

    @Test func `a backlog above the threshold is one bump of the namespace`() async throws {
        try await Scenario.run { scenario in
            try await scenario.insert(detectors: [1, 2], workflows: [(10, nil)])
            var worker = try await scenario.startWorker { $0.collapseThreshold = 5 }
            try await worker.catchUp()
            try await scenario.warm([1, 2], [.global])
            try await worker.stop()
            let update = "UPDATE workflow_engine_detector SET name = name || '!' WHERE id = 1"

            // As many as are resolved one by one: the other detector stays cached.
            for _ in 1...5 { try await scenario.execute(update) }
            worker = try await scenario.startWorker { $0.collapseThreshold = 5 }
            try await worker.catchUp()
            #expect(worker.reports.map(\.rowCount) == [5])
            #expect(worker.reports.first?.changes.count == 5)
            #expect(try await scenario.read(2).global == .hit)
            #expect(try await scenario.read(1).global == .miss(.absent))
            try await worker.stop()

            for _ in 1...6 { try await scenario.execute(update) }
            worker = try await scenario.startWorker { $0.collapseThreshold = 5 }
            try await worker.catchUp()
            #expect(worker.reports.map(\.rowCount) == [6])
            #expect(worker.reports.first?.changes == [])
            #expect(worker.reports.first?.scopes == ScopeSet([.namespace]))
            #expect(try await scenario.journalDepth() == "0")
            #expect(try await scenario.read(2).global == .miss(.stale(.namespace)))
        }
    }

    @Test func `a workflow of more detectors than the threshold is one bump of the namespace`() async throws {
        try await Scenario.run { scenario in
            try await scenario.insert(detectors: Array(1...6), workflows: [(10, nil)])
            try await scenario.insert(detectors: [], workflows: [(11, nil)])
            try await scenario.execute(
                "INSERT INTO workflow_engine_detectorworkflow (detector_id, workflow_id) SELECT n, 11 FROM generate_series(1, 5) AS n"
            )
            let worker = try await scenario.startWorker(hears: false) { $0.collapseThreshold = 5 }
            try await worker.catchUp()
            for (workflow, isCollapsed) in [(11, false), (10, true)] {
                try await scenario.warm(Array(1...6), [.global])
                try await scenario.execute("UPDATE workflow_engine_workflow SET name = 'new' WHERE id = \(workflow)")
                try await worker.catchUp()
                #expect(worker.reports.last?.rowCount == 1)
                #expect((worker.reports.last?.scopes == ScopeSet([.namespace])) == isCollapsed)
                #expect(try await scenario.read(6).global == (isCollapsed ? .miss(.stale(.namespace)) : .hit))
            }
        }
    }

    @Test func `dead rows behind an old snapshot are not read again at every claim`() async throws {
        try await Scenario.run { scenario in
            let old = try await scenario.connect()
            try await old.run(script: "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT FROM freshet.change")
            try await scenario.execute(
                """
                INSERT INTO freshet.change (subject, operation, row_count, detector_ids)
                SELECT 'detector', 'update', 1, ARRAY[number] FROM generate_series(1, 20000) AS number
                """
            )
            let worker = try await scenario.startWorker()
            try await worker.catchUp()
            #expect(try await scenario.journalDepth() == "0")
            try await worker.stop()

            let session = try await scenario.connect(user: Servers.Roles.worker)
            try await session.run(script: Journal.sessionSettings)
            let xmax = try await session.query("SELECT pg_snapshot_xmax(pg_current_snapshot())").requiredString(0, 0)
            // Without what others have in progress in other databases, each of which is looked for.
            let floor = try #require(SnapshotFloor(snapshot: "\(xmax):\(xmax):"))
            // Where there is nothing to be read and deleted, nothing is looked for.
            try await scenario.execute(
                "INSERT INTO freshet.change (subject, operation, row_count, detector_ids) VALUES ('detector', 'update', 1, '{1}')"
            )
            try await session.prepare("claim", Journal.claim(facts: [:]))
            let with = try await buffersOfClaim(on: session, floor: floor)
            let without = try await buffersOfClaim(on: session, floor: nil)
            // The dead rows fill some hundred pages, and are looked through three times.
            #expect(without > 600)
            #expect(with * 20 < without, "\(with) buffers with a floor, \(without) without")
            await session.close()
            await old.close()
        }
    }

    /// How many buffers a claim reads to find the rows of the journal, which it does three times.
    private func buffersOfClaim(on session: PostgresConnection, floor: SnapshotFloor?) async throws -> Int {
        let running = floor?.inProgress.joined(separator: ",") ?? ""
        try await session.run(script: "BEGIN")
        let text = try await session.query(
            """
            EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON)
            EXECUTE claim('\(floor?.xmax ?? "0")', '{\(running)}', 'mark', '100000')
            """
        ).requiredString(0, 0)
        try await session.run(script: "ROLLBACK")
        let explained = try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [[String: Any]]
        let plan = try #require(explained?.first?["Plan"] as? [String: Any])
        var buffers = 0
        for name in ["counted", "seen", "gone"] {
            let part = try #require(Self.subplan("CTE \(name)", in: plan))
            #expect(part["Actual Loops"] as? Int == 1, "\(name)")
            for kind in ["Hit", "Read"] { buffers += try #require(part["Shared \(kind) Blocks"] as? Int) }
        }
        return buffers
    }

    private static func subplan(_ name: String, in plan: [String: Any]) -> [String: Any]? {
        if plan["Subplan Name"] as? String == name { return plan }
        for child in plan["Plans"] as? [[String: Any]] ?? [] {
            if let found = subplan(name, in: child) { return found }
        }
        return nil
    }

    @Test func `rows with transaction ids of another server are found by the sweep`() async throws {
        try await Scenario.run { scenario in
            try await scenario.insert(detectors: [1], workflows: [(10, nil)])
            let foreign = """
                INSERT INTO freshet.change (xid, subject, operation, row_count, detector_ids)
                VALUES ('3', 'detector', 'update', 1, '{1}')
                """
            let patient = try await scenario.startWorker { $0.sweepInterval = .seconds(3600) }
            try await patient.catchUp()
            try await scenario.warm([1], [.global])
            try await scenario.execute(foreign)
            try await patient.catchUp()
            // What is above the floor is applied; the row is below it.
            #expect(try await scenario.journalDepth() == "1")
            #expect(try await scenario.read(1).global == .hit)
            try await patient.stop()

            let worker = try await scenario.startWorker { $0.sweepInterval = .milliseconds(200) }
            try await worker.catchUp()
            #expect(try await scenario.read(1).global == .miss(.absent))
            let applied = worker.events.count(of: .applied)
            try await scenario.execute(foreign)
            try await worker.events.wait(for: .applied, count: applied + 1)
            #expect(try await scenario.read(1).global == .miss(.absent))
        }
    }

    // MARK: Replication

    @Test func `a publication of all tables does not stand in the worker's way`() async throws {
        try await Scenario.run { scenario in
            try await scenario.execute("SET client_min_messages = error; CREATE PUBLICATION everything FOR ALL TABLES")
            try await scenario.insert(detectors: [1], workflows: [(10, nil)])
            let worker = try await scenario.startWorker()
            try await worker.catchUp()
            try await scenario.warm([1], [.global])
            try await scenario.execute("UPDATE workflow_engine_workflow SET enabled = false")
            try await worker.catchUp()
            #expect(try await scenario.read(1).ids == [])
            #expect(try await scenario.journalDepth() == "0")
            #expect(worker.events.count(of: .failingPostgres) == 0)
        }
    }

    @Test func `what a subscription writes is seen by row triggers, and distrusted without them`() async throws {
        try await Scenario.withOwnServers(postgresSettings: ["wal_level": "logical"]) { scenario in
            let postgres = scenario.servers.postgres
            try await ForeignKeys.none.createDatabase("publisher", on: postgres)
            let tables = "workflow_engine_detector, workflow_engine_workflow, workflow_engine_detectorworkflow"
            try await postgres.psql(
                """
                CREATE PUBLICATION application FOR TABLE \(tables);
                SELECT pg_create_logical_replication_slot('freshet_test', 'pgoutput');
                """,
                database: "publisher"
            )
            let worker = try await scenario.startWorker()
            try await scenario.execute(
                """
                CREATE SUBSCRIPTION application CONNECTION '\(postgres.connectionString(database: "publisher"))'
                PUBLICATION application WITH (create_slot = false, slot_name = 'freshet_test', copy_data = false)
                """
            )
            try await worker.events.wait(for: .distrusting, count: 1)
            #expect(worker.distrusts.first?.contains("which fires no statement triggers") == true)
            try await scenario.execute(
                Scenario.attach.replacing(
                    "'workflow_engine_detectorworkflow')",
                    with: "'workflow_engine_detectorworkflow', level => 'row')"
                )
            )
            try await worker.vouchesAgain()

            try await postgres.psql(
                """
                INSERT INTO workflow_engine_detector (id) VALUES (1), (2);
                INSERT INTO workflow_engine_workflow (id, environment_id) VALUES (10, NULL), (11, 5);
                INSERT INTO workflow_engine_detectorworkflow (detector_id, workflow_id) VALUES (1, 10), (1, 11), (2, 11);
                """,
                database: "publisher"
            )
            try await replayed(scenario)
            try await worker.catchUp()
            try await scenario.warm([1, 2], [.environment(5), .environment(6)])
            #expect(try await scenario.read(1, .environment(5)).ids == [10, 11])
            for sql in [
                "UPDATE workflow_engine_workflow SET environment_id = 6 WHERE id = 11",
                "DELETE FROM workflow_engine_detectorworkflow WHERE detector_id = 2",
                "TRUNCATE \(tables)",
            ] {
                try await postgres.psql(sql, database: "publisher")
                try await replayed(scenario)
                try await worker.catchUp()
                try await scenario.expectConsistent(detectors: [1, 2], environments: [5, 6])
            }
            #expect(try await scenario.read(1, .environment(6)).ids == [])
            #expect(worker.distrusts.count == 1)
            try await scenario.execute("DROP SUBSCRIPTION application")
        }
    }

    /// Waits until the subscriber has committed what the publisher has committed by now.
    private func replayed(_ scenario: Scenario) async throws {
        let position = try await scenario.column("SELECT pg_current_wal_insert_lsn()").first ?? nil
        _ = try await eventually("the subscriber to replay \(position ?? "nothing")") {
            let state = try await scenario.column(
                """
                SELECT replay_lsn >= '\(position ?? "0/0")' FROM pg_stat_replication WHERE application_name = 'application'
                """
            )
            return state == ["t"] ? true : nil
        }
    }

    // MARK: Privileges

    @Test func `the worker and the reader may do what they need, and nothing else`() async throws {
        try await Scenario.run { scenario in
            func grants(_ role: String) async throws -> [String?] {
                try await scenario.column(
                    """
                    SELECT line FROM (
                        SELECT format('%s %s', relation.oid::regclass,
                            string_agg(entry.privilege_type, ',' ORDER BY entry.privilege_type COLLATE "C"))
                        FROM pg_class AS relation, aclexplode(relation.relacl) AS entry
                        WHERE entry.grantee = '\(role)'::regrole GROUP BY relation.oid
                        UNION ALL
                        SELECT format('%s.%s %s', attribute.attrelid::regclass, attribute.attname, entry.privilege_type)
                        FROM pg_attribute AS attribute, aclexplode(attribute.attacl) AS entry
                        WHERE entry.grantee = '\(role)'::regrole
                        UNION ALL
                        SELECT format('%s %s', routine.oid::regprocedure, entry.privilege_type)
                        FROM pg_proc AS routine, aclexplode(routine.proacl) AS entry
                        WHERE entry.grantee = '\(role)'::regrole
                    ) AS grants (line) ORDER BY line COLLATE "C"
                    """
                )
            }
            #expect(
                try await grants("freshet_worker") == [
                    "freshet.attached SELECT",
                    "freshet.attachment SELECT",
                    "freshet.change DELETE,SELECT",
                    "freshet.fence SELECT,UPDATE",
                    "freshet.identity() EXECUTE",
                    "freshet.incarnation DELETE,INSERT,SELECT,UPDATE",
                    "freshet.invalidate_all() EXECUTE",
                    "freshet.invalidate_datasource(text,text) EXECUTE",
                    "freshet.invalidate_detector(bigint) EXECUTE",
                    "freshet.invalidate_detector(bigint,bigint) EXECUTE",
                    "freshet.migration SELECT",
                    "freshet.notify_enabled() EXECUTE",
                    "freshet.setting SELECT",
                    "freshet.token() EXECUTE",
                    "workflow_engine_detectorworkflow.detector_id SELECT",
                    "workflow_engine_detectorworkflow.workflow_id SELECT",
                    "workflow_engine_workflow.environment_id SELECT",
                    "workflow_engine_workflow.id SELECT",
                ]
            )
            #expect(try await grants("freshet_reader") == ["freshet.identity() EXECUTE", "freshet.token() EXECUTE"])
            #expect(
                try await grants("freshet_auditor") == [
                    "freshet.attachment SELECT", "freshet.change SELECT", "freshet.identity() EXECUTE",
                ]
            )

            let worker = try await scenario.connect(user: Servers.Roles.worker)
            for sql in [
                "SELECT id, environment_id FROM workflow_engine_workflow",
                "SELECT detector_id, workflow_id FROM workflow_engine_detectorworkflow",
                Journal.listen, Journal.identity, Journal.newIncarnation, Journal.notifies, Journal.attachedNames,
            ] {
                try await worker.run(script: sql)
            }
            for sql in [
                "SELECT name FROM workflow_engine_workflow", "SELECT id FROM workflow_engine_detector",
                "SELECT id FROM workflow_engine_detectorworkflow", "UPDATE workflow_engine_workflow SET id = id",
                "INSERT INTO freshet.change (subject, operation, row_count) VALUES ('namespace', 'invalidate', 0)",
                "UPDATE freshet.setting SET value = 'off'", "SELECT freshet.detach()",
                "DELETE FROM freshet.attachment",
            ] {
                let error = await #expect(throws: PostgresError.self, "\(sql)") { try await worker.run(script: sql) }
                #expect(error?.sqlState == .insufficientPrivilege, "\(sql)")
            }
            await worker.close()

            // And it is enough: that is the role which every worker of these tests has.
            let running = try await scenario.startWorker()
            try await running.catchUp()
            #expect(running.events.count(of: .failingPostgres) == 0)
        }
    }
}
