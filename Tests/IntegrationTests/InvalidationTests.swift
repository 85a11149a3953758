import Freshet
import InvalidationWorker
import Keyspace
import LocalServices
import Testing

/// Every way in which application-side invalidation goes wrong, and what must happen instead: the next reader, once the worker
/// has caught up, sees what the database holds.
@Suite struct InvalidationTests {
    /// Detectors 1 to 3, workflow 10 global, 11 in environment 5, 12 in environment 6; all linked, all cached.
    private func scenario(
        _ foreignKeys: ForeignKeys = .cascading,
        _ body: @Sendable (Scenario, RunningWorker) async throws -> Void
    ) async throws {
        try await Scenario.run(foreignKeys) { scenario in
            try await scenario.insert(detectors: [1, 2, 3], workflows: [(10, nil), (11, 5), (12, 6)])
            let worker = try await scenario.startWorker()
            try await worker.catchUp()
            try await scenario.warm([1, 2, 3], [.environment(5), .environment(6)])
            #expect(try await scenario.read(1, .environment(5)).environment == .hit)
            try await body(scenario, worker)
        }
    }

    /// Runs the SQL, lets the worker catch up, and holds every answer against the database's own.
    private func expectFresh(_ scenario: Scenario, _ worker: RunningWorker, after sql: String) async throws {
        try await scenario.execute(sql)
        try await worker.catchUp()
        try await scenario.expectConsistent(detectors: Array(1...5), environments: [5, 6, 7])
    }

    @Test func `links that INSERT SELECT makes in bulk reach the next reader`() async throws {
        try await scenario { scenario, worker in
            try await scenario.execute("INSERT INTO workflow_engine_workflow (id, environment_id) VALUES (20, 5)")
            try await expectFresh(
                scenario,
                worker,
                after: """
                    INSERT INTO workflow_engine_detectorworkflow (detector_id, workflow_id)
                    SELECT id, 20 FROM workflow_engine_detector
                    """
            )
            #expect(try await scenario.read(3, .environment(5)).ids == [10, 11, 20])
        }
    }

    @Test func `links that COPY makes reach the next reader`() async throws {
        try await scenario { scenario, worker in
            try await scenario.execute("INSERT INTO workflow_engine_workflow (id, environment_id) VALUES (20, NULL)")
            _ = try await scenario.servers.postgres.psql(
                "COPY workflow_engine_detectorworkflow (detector_id, workflow_id) FROM stdin;\n1\t20\n2\t20\n\\.\n",
                database: scenario.database
            )
            try await worker.catchUp()
            #expect(try await scenario.read(2, .environment(5)).ids == [10, 11, 20])
            try await scenario.expectConsistent(detectors: [1, 2, 3], environments: [5, 6])
        }
    }

    @Test func `a bulk UPDATE reaches the next reader of every row it touched`() async throws {
        try await scenario { scenario, worker in
            try await expectFresh(scenario, worker, after: "UPDATE workflow_engine_workflow SET enabled = false")
            for detector in [1, 2, 3] as [Int64] {
                #expect(try await scenario.read(detector, .environment(5)).ids == [])
            }
            try await expectFresh(scenario, worker, after: "UPDATE workflow_engine_workflow SET enabled = id <> 11")
            #expect(try await scenario.read(1, .environment(5)).ids == [10])
        }
    }

    @Test func `an environment move is reread in the old and in the new environment`() async throws {
        try await scenario { scenario, worker in
            try await scenario.execute("UPDATE workflow_engine_workflow SET environment_id = 6 WHERE id = 11")
            try await worker.catchUp()
            let left = try await scenario.read(1, .environment(5))
            #expect(left.ids == [10])
            #expect(left.environment == .miss(.absent))
            #expect(left.global == .hit)
            #expect(try await scenario.read(1, .environment(6)).ids == [10, 11, 12])
            try await expectFresh(
                scenario,
                worker,
                after: "UPDATE workflow_engine_workflow SET environment_id = NULL WHERE id = 11"
            )
            #expect(try await scenario.read(1).ids == [10, 11])
        }
    }

    @Test(arguments: [
        "DELETE FROM workflow_engine_workflow WHERE id = 11",
        "DELETE FROM workflow_engine_detector WHERE id = 1",
    ])
    func `a delete that cascades reaches the next reader`(sql: String) async throws {
        try await scenario { scenario, worker in
            try await expectFresh(scenario, worker, after: sql)
            #expect(try await scenario.read(1, .environment(5)).ids == (sql.contains("detector ") ? [] : [10]))
        }
    }

    @Test(arguments: [ForeignKeys.none, .cascading])
    func `a delete in the application's order reaches the next reader`(keys: ForeignKeys) async throws {
        try await scenario(keys) { scenario, worker in
            try await expectFresh(
                scenario,
                worker,
                after: """
                    BEGIN;
                    DELETE FROM workflow_engine_detectorworkflow WHERE workflow_id = 11;
                    DELETE FROM workflow_engine_workflow WHERE id = 11;
                    COMMIT
                    """
            )
            try await expectFresh(
                scenario,
                worker,
                after: "DELETE FROM workflow_engine_detectorworkflow WHERE workflow_id = 12"
            )
            try await expectFresh(scenario, worker, after: "DELETE FROM workflow_engine_workflow WHERE id = 12")
            #expect(try await scenario.read(1, .environment(6)).ids == [10])
        }
    }

    @Test func `a workflow that is younger than its link reaches the next reader`() async throws {
        try await scenario(.none) { scenario, worker in
            try await expectFresh(
                scenario,
                worker,
                after: "INSERT INTO workflow_engine_detectorworkflow (detector_id, workflow_id) VALUES (1, 30)"
            )
            try await scenario.warm([1], [.environment(5)])
            try await expectFresh(
                scenario,
                worker,
                after: "INSERT INTO workflow_engine_workflow (id, environment_id) VALUES (30, 5)"
            )
            #expect(try await scenario.read(1, .environment(5)).ids == [10, 11, 30])
        }
    }

    @Test func `a workflow that is deleted before its links reaches the next reader`() async throws {
        try await scenario(.none) { scenario, worker in
            try await expectFresh(scenario, worker, after: "DELETE FROM workflow_engine_workflow WHERE id = 11")
            #expect(try await scenario.read(1, .environment(5)).ids == [10])
            try await expectFresh(
                scenario,
                worker,
                after: "DELETE FROM workflow_engine_detectorworkflow WHERE workflow_id = 11"
            )
        }
    }

    @Test func `a link that moves to another detector is reread on both`() async throws {
        try await scenario { scenario, worker in
            try await expectFresh(
                scenario,
                worker,
                after: """
                    INSERT INTO workflow_engine_detector (id) VALUES (4);
                    UPDATE workflow_engine_detectorworkflow SET detector_id = 4 WHERE detector_id = 1 AND workflow_id = 11
                    """
            )
            #expect(try await scenario.read(1, .environment(5)).ids == [10])
            #expect(try await scenario.read(4, .environment(5)).ids == [11])
        }
    }

    @Test func `a link that moves to another workflow is reread in both environments`() async throws {
        try await scenario { scenario, worker in
            try await expectFresh(
                scenario,
                worker,
                after: """
                    INSERT INTO workflow_engine_workflow (id, environment_id) VALUES (20, 6);
                    UPDATE workflow_engine_detectorworkflow SET workflow_id = 20 WHERE detector_id = 1 AND workflow_id = 11
                    """
            )
            #expect(try await scenario.read(1, .environment(5)).ids == [10])
            #expect(try await scenario.read(1, .environment(6)).ids == [10, 12, 20])
        }
    }

    @Test(arguments: [
        "TRUNCATE workflow_engine_detectorworkflow",
        "TRUNCATE workflow_engine_workflow CASCADE",
        "TRUNCATE workflow_engine_detector CASCADE",
    ])
    func `a TRUNCATE reaches the next reader`(sql: String) async throws {
        try await scenario { scenario, worker in
            try await expectFresh(scenario, worker, after: sql)
            #expect(try await scenario.read(1, .environment(5)).ids == [])
        }
    }

    @Test func `unlinking an environment's last workflow is reread there`() async throws {
        try await scenario { scenario, worker in
            try await expectFresh(
                scenario,
                worker,
                after: "DELETE FROM workflow_engine_detectorworkflow WHERE detector_id = 1 AND workflow_id = 11"
            )
            let found = try await scenario.read(1, .environment(5))
            #expect(found.ids == [10])
        }
    }

    @Test func `a change of keys is reread under the old and the new key`() async throws {
        try await scenario(.none) { scenario, worker in
            try await expectFresh(scenario, worker, after: "UPDATE workflow_engine_workflow SET id = 40 WHERE id = 11")
            #expect(try await scenario.read(1, .environment(5)).ids == [10])
            try await expectFresh(
                scenario,
                worker,
                after: "UPDATE workflow_engine_detectorworkflow SET workflow_id = 40 WHERE workflow_id = 11"
            )
            #expect(try await scenario.read(1, .environment(5)).ids == [10, 40])
        }
    }

    @Test func `upserts, MERGE, data-modifying WITH and replica role are all seen`() async throws {
        try await scenario { scenario, worker in
            for sql in [
                """
                INSERT INTO workflow_engine_workflow (id, environment_id) VALUES (11, 7)
                ON CONFLICT (id) DO UPDATE SET environment_id = excluded.environment_id
                """,
                """
                MERGE INTO workflow_engine_workflow AS w USING (VALUES (12)) AS v (id) ON w.id = v.id
                WHEN MATCHED THEN UPDATE SET environment_id = 5
                """,
                """
                WITH gone AS (DELETE FROM workflow_engine_detectorworkflow WHERE workflow_id = 12 RETURNING workflow_id)
                UPDATE workflow_engine_workflow SET environment_id = 6 WHERE id IN (SELECT workflow_id FROM gone)
                """,
                """
                BEGIN;
                SET LOCAL session_replication_role = replica;
                UPDATE workflow_engine_workflow SET environment_id = 5 WHERE id = 11;
                COMMIT
                """,
            ] {
                try await scenario.warm([1, 2, 3], [.environment(5), .environment(6), .environment(7)])
                try await expectFresh(scenario, worker, after: sql)
            }
        }
    }

    @Test func `the invalidate functions invalidate what they name, when their transaction commits`() async throws {
        try await scenario { scenario, worker in
            try await scenario.execute("SELECT freshet.invalidate_detector(1, 5)")
            try await worker.catchUp()
            var found = try await scenario.read(1, .environment(5))
            #expect(found.environment == .miss(.absent))
            #expect(found.global == .hit)
            try await scenario.execute("SELECT freshet.invalidate_detector(1, NULL)")
            try await worker.catchUp()
            found = try await scenario.read(1, .environment(5))
            #expect(found.environment == .hit)
            #expect(found.global == .miss(.absent))
            try await scenario.execute("SELECT freshet.invalidate_detector(1)")
            try await worker.catchUp()
            found = try await scenario.read(1, .environment(5))
            #expect(found.environment == .miss(.absent))
            #expect(found.global == .miss(.absent))
            #expect(try await scenario.read(2, .environment(5)).environment == .hit)
            try await scenario.execute("SELECT freshet.invalidate_all()")
            try await worker.catchUp()
            #expect(try await scenario.read(2, .environment(5)).environment == .miss(.stale(.namespace)))
        }
    }
}

/// What is not touched stays cached.
@Suite struct PrecisionTests {
    private func scenario(_ body: @Sendable (Scenario, RunningWorker) async throws -> Void) async throws {
        try await Scenario.run(.cascading) { scenario in
            try await scenario.insert(detectors: [1, 2], workflows: [(10, nil), (11, 5), (12, 6)])
            try await scenario.execute(
                "DELETE FROM workflow_engine_detectorworkflow WHERE detector_id = 2 AND workflow_id <> 12"
            )
            let worker = try await scenario.startWorker()
            try await worker.catchUp()
            try await scenario.warm([1, 2], [.environment(5), .environment(6)])
            try await body(scenario, worker)
        }
    }

    @Test func `one environment's workflow leaves the other environments and the global entry cached`() async throws {
        try await scenario { scenario, worker in
            try await scenario.execute("UPDATE workflow_engine_workflow SET name = 'new' WHERE id = 11")
            try await worker.catchUp()
            #expect(try await scenario.read(1, .environment(6)).environment == .hit)
            let found = try await scenario.read(1, .environment(5))
            #expect(found.global == .hit)
            #expect(found.environment == .miss(.absent))
        }
    }

    @Test func `a global workflow leaves the environments' entries cached`() async throws {
        try await scenario { scenario, worker in
            try await scenario.execute("UPDATE workflow_engine_workflow SET name = 'new' WHERE id = 10")
            try await worker.catchUp()
            let found = try await scenario.read(1, .environment(5))
            #expect(found.environment == .hit)
            #expect(found.global == .miss(.absent))
            #expect(try await scenario.read(1, .environment(6)).environment == .hit)
        }
    }

    @Test func `an unrelated detector stays a hit`() async throws {
        try await scenario { scenario, worker in
            try await scenario.execute(
                """
                UPDATE workflow_engine_workflow SET name = 'new' WHERE id IN (10, 11);
                UPDATE workflow_engine_detector SET name = 'new' WHERE id = 1
                """
            )
            try await worker.catchUp()
            let found = try await scenario.read(2, .environment(6))
            #expect(found.global == .hit)
            #expect(found.environment == .hit)
        }
    }

    @Test(arguments: [
        "UPDATE workflow_engine_workflow SET name = name",
        "UPDATE workflow_engine_detector SET enabled = enabled",
        "UPDATE workflow_engine_detectorworkflow SET workflow_id = workflow_id",
        "UPDATE workflow_engine_workflow SET name = 'new' WHERE false",
        "DELETE FROM workflow_engine_detectorworkflow WHERE false",
    ])
    func `a statement that changes nothing invalidates nothing`(sql: String) async throws {
        try await scenario { scenario, worker in
            let reports = worker.reports.count
            try await scenario.execute(sql)
            try await worker.catchUp()
            #expect(worker.reports.count == reports)
            for environment in [5, 6] as [Int64] {
                let found = try await scenario.read(1, .environment(environment))
                #expect(found.global == .hit)
                #expect(found.environment == .hit)
            }
        }
    }

    @Test func `an empty set is a cached answer`() async throws {
        try await scenario { scenario, _ in
            _ = try await scenario.read(1, .environment(99))
            let found = try await scenario.read(1, .environment(99))
            #expect(found.ids == [10])
            #expect(found.environment == .hit)
            _ = try await scenario.read(777)
            #expect(try await scenario.read(777).global == .hit)
        }
    }

    @Test func `more rows than the setting allows become one invalidation of everything`() async throws {
        try await scenario { scenario, worker in
            try await scenario.execute("UPDATE freshet.setting SET value = '2' WHERE name = 'escalation_rows'")
            try await scenario.execute("UPDATE workflow_engine_workflow SET name = 'new'")
            try await worker.catchUp()
            #expect(worker.reports.last?.changes.map(\.operation) == ["escalation"])
            #expect(try await scenario.read(2, .environment(6)).environment == .miss(.stale(.namespace)))
        }
    }
}
