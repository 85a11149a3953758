import Freshet
import InvalidationWorker
import Postgres
import Testing

/// A change counts when its transaction commits, however long that takes, and not at all when it does not.
@Suite struct TransactionTests {
    /// Detectors 1 and 2, workflow 10 global, 11 in environment 5, 12 in environment 6; all linked, all cached.
    ///
    /// The connection is for the transaction that the test is about.
    private func scenario(
        _ body: @Sendable (Scenario, RunningWorker, PostgresConnection) async throws -> Void
    ) async throws {
        try await Scenario.run(.cascading) { scenario in
            try await scenario.insert(detectors: [1, 2], workflows: [(10, nil), (11, 5), (12, 6)])
            let worker = try await scenario.startWorker()
            try await scenario.drain(worker)
            try await scenario.warm([1, 2], [.environment(5), .environment(6), .environment(7)])
            try await expectCached(scenario, environments: [5, 6, 7])
            let connection = try await scenario.connect()
            do {
                try await body(scenario, worker, connection)
            } catch {
                await connection.close()
                throw error
            }
            await connection.close()
        }
    }

    private func expectCached(
        _ scenario: Scenario,
        environments: [Int64],
        sourceLocation: SourceLocation = #_sourceLocation
    ) async throws {
        for environment in environments {
            let answer = try await scenario.lookup.workflows(ofDetectors: [1, 2], in: .environment(environment))
            for found in answer.detectors {
                #expect(found.global == .hit, "detector \(found.id)", sourceLocation: sourceLocation)
                #expect(
                    found.environment == .hit,
                    "detector \(found.id), environment \(environment)",
                    sourceLocation: sourceLocation
                )
            }
        }
    }

    private func expectFresh(
        _ scenario: Scenario,
        sourceLocation: SourceLocation = #_sourceLocation
    ) async throws {
        try await scenario.expectConsistent(
            detectors: [1, 2, 3],
            environments: [5, 6, 7],
            sourceLocation: sourceLocation
        )
    }

    private static let everyKindOfChange = """
        UPDATE workflow_engine_workflow SET environment_id = 7 WHERE id = 11;
        UPDATE workflow_engine_detector SET enabled = false;
        DELETE FROM workflow_engine_detectorworkflow WHERE workflow_id = 12;
        INSERT INTO workflow_engine_workflow (id, environment_id) VALUES (20, 5);
        INSERT INTO workflow_engine_detectorworkflow (detector_id, workflow_id) VALUES (1, 20);
        DELETE FROM workflow_engine_workflow WHERE id = 10;
        SELECT freshet.invalidate_all()
        """

    @Test func `a transaction that is rolled back invalidates nothing`() async throws {
        try await scenario { scenario, worker, connection in
            let reports = worker.reports.count
            try await connection.run(script: "BEGIN")
            try await connection.run(script: Self.everyKindOfChange)
            try await scenario.drain(worker)
            // Last, because it locks the worker out until the end of the transaction.
            try await connection.run(script: "TRUNCATE workflow_engine_detectorworkflow")
            try await connection.run(script: "ROLLBACK")
            try await scenario.drain(worker)
            #expect(worker.reports.count == reports)
            try await expectCached(scenario, environments: [5, 6, 7])
            try await expectFresh(scenario)
        }
    }

    @Test func `a transaction that fails invalidates nothing`() async throws {
        try await scenario { scenario, worker, _ in
            let reports = worker.reports.count
            await #expect(throws: PostgresError.self) {
                try await scenario.execute("BEGIN; \(Self.everyKindOfChange); SELECT 1 / 0; COMMIT")
            }
            try await scenario.execute("ROLLBACK")
            try await scenario.drain(worker)
            #expect(worker.reports.count == reports)
            try await expectCached(scenario, environments: [5, 6, 7])
        }
    }

    @Test func `a transaction whose session is lost invalidates nothing`() async throws {
        try await scenario { scenario, worker, connection in
            let reports = worker.reports.count
            try await connection.run(script: "BEGIN")
            try await connection.run(script: Self.everyKindOfChange)
            try await scenario.execute("SELECT pg_terminate_backend(\(connection.backendPID), 10000)")
            try await scenario.drain(worker)
            #expect(worker.reports.count == reports)
            try await expectCached(scenario, environments: [5, 6, 7])
        }
    }

    @Test func `a savepoint that is rolled back invalidates nothing, and the rest of its transaction does`()
        async throws
    {
        try await scenario { scenario, worker, connection in
            for sql in [
                "BEGIN",
                "UPDATE workflow_engine_workflow SET name = 'kept' WHERE id = 11",
                "SAVEPOINT one",
                Self.everyKindOfChange,
                "ROLLBACK TO SAVEPOINT one",
                "SAVEPOINT two",
                "UPDATE workflow_engine_workflow SET environment_id = 7 WHERE id = 12",
                "SAVEPOINT three",
                "UPDATE workflow_engine_workflow SET name = 'gone' WHERE id = 10",
                "ROLLBACK TO SAVEPOINT three",
                "RELEASE SAVEPOINT two",
                "COMMIT",
            ] {
                try await connection.run(script: sql)
            }
            try await scenario.drain(worker)
            #expect(worker.reports.last?.changes.map(\.subject) == ["workflow", "workflow"])
            for environment in [5, 6, 7] as [Int64] {
                let found = try await scenario.read(1, .environment(environment))
                #expect(found.environment == .miss(.absent))
                #expect(found.global == .hit)
            }
            try await expectFresh(scenario)
        }
    }

    @Test func `savepoints that are all rolled back invalidate nothing though their transaction commits`() async throws
    {
        try await scenario { scenario, worker, connection in
            let reports = worker.reports.count
            for sql in [
                "BEGIN", "SAVEPOINT one", Self.everyKindOfChange, "ROLLBACK TO SAVEPOINT one",
                // What a handler catches is rolled back as a savepoint is.
                """
                DO $$
                BEGIN
                    UPDATE workflow_engine_workflow SET environment_id = 7;
                    PERFORM 1 / 0;
                EXCEPTION WHEN division_by_zero THEN NULL;
                END $$
                """,
                "COMMIT",
            ] {
                try await connection.run(script: sql)
            }
            try await scenario.drain(worker)
            #expect(worker.reports.count == reports)
            try await expectCached(scenario, environments: [5, 6, 7])
        }
    }

    /// How a transaction comes to have its place among the others.
    enum Opening: String, Sendable, CaseIterable {
        case writesAtOnce = "SELECT 1"
        case isNumberedFirst = "SELECT pg_current_xact_id()"
        case writesInSavepoint = "SAVEPOINT inner_transaction"

        /// Whether the change is made before the others commit, else just before the transaction's own commit.
        var isEarly: Bool { self != .isNumberedFirst }
    }

    @Test(arguments: Opening.allCases, SteppedTransaction.Isolation.allCases)
    func `a transaction open for long invalidates when it commits, though later ones have been applied`(
        opening: Opening,
        isolation: SteppedTransaction.Isolation
    ) async throws {
        try await scenario { scenario, worker, connection in
            let change = "UPDATE workflow_engine_workflow SET environment_id = 7 WHERE id = 11"
            try await connection.run(script: "BEGIN ISOLATION LEVEL \(isolation.rawValue)")
            try await connection.run(script: opening.rawValue)
            if opening.isEarly { try await connection.run(script: change) }

            for number in 1...5 {
                try await scenario.execute("UPDATE workflow_engine_workflow SET name = 'later \(number)' WHERE id = 12")
                // Two passes with rows, or without: the floor is above the open transaction now, and names it.
                try await scenario.drain(worker)
                #expect(try await scenario.read(1, .environment(6)).environment == .miss(.absent))
                try await scenario.warm([1, 2], [.environment(6)])
                let found = try await scenario.read(1, .environment(5))
                #expect(found.environment == .hit)
                #expect(found.ids == [10, 11])
            }
            if !opening.isEarly { try await connection.run(script: change) }
            try await scenario.drain(worker)
            try await expectCached(scenario, environments: [5, 6, 7])
            let reports = worker.reports.count

            try await connection.run(script: "COMMIT")
            try await scenario.drain(worker)
            #expect(worker.reports.count == reports + 1)
            #expect(worker.reports.last?.rowCount == 1)
            #expect(try await scenario.read(1, .environment(5)).ids == [10])
            #expect(try await scenario.read(1, .environment(7)).ids == [10, 11])
            try await expectFresh(scenario)
        }
    }

    @Test func `a transaction open for long that is rolled back in the end never invalidates`() async throws {
        try await scenario { scenario, worker, connection in
            try await connection.run(
                script: "BEGIN; UPDATE workflow_engine_workflow SET environment_id = 7 WHERE id = 11"
            )
            try await scenario.execute("UPDATE workflow_engine_workflow SET name = 'later' WHERE id = 12")
            try await scenario.drain(worker)
            try await connection.run(script: "ROLLBACK")
            let reports = worker.reports.count
            try await scenario.drain(worker)
            #expect(worker.reports.count == reports)
            try await scenario.warm([1, 2], [.environment(6)])
            try await expectCached(scenario, environments: [5, 6, 7])
        }
    }

    @Test func `several transactions open for long are each applied when they commit, in whichever order`() async throws
    {
        try await scenario { scenario, worker, first in
            let second = try await scenario.connect()
            let third = try await scenario.connect()
            let changes = [
                (first, "UPDATE workflow_engine_workflow SET environment_id = 7 WHERE id = 11"),
                (second, "UPDATE workflow_engine_workflow SET environment_id = 7 WHERE id = 12"),
                (third, "INSERT INTO workflow_engine_workflow (id, environment_id) VALUES (30, 5)"),
            ]
            for (connection, sql) in changes {
                try await connection.run(script: "BEGIN; \(sql)")
                // Each of them is in progress in a floor of its own.
                try await scenario.execute("UPDATE workflow_engine_detector SET name = name || '.' WHERE id = 2")
                try await scenario.drain(worker)
            }
            for connection in [second, third, first] {
                try await scenario.warm([1, 2], [.environment(5), .environment(6), .environment(7)])
                try await connection.run(script: "COMMIT")
                try await scenario.drain(worker)
                try await expectFresh(scenario)
            }
            await second.close()
            await third.close()
        }
    }

    @Test func `rows left dead behind a long snapshot do not hide a transaction open for long`() async throws {
        try await scenario { scenario, worker, connection in
            let observer = try await scenario.connect()
            try await observer.run(script: "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM freshet.change")
            try await connection.run(
                script: "BEGIN; UPDATE workflow_engine_workflow SET environment_id = 7 WHERE id = 11"
            )

            // Each statement is a row of the journal, which nobody can vacuum away while the observer looks on.
            for _ in 1...5 {
                try await scenario.execute(
                    """
                    DO $$
                    BEGIN
                        FOR number IN 1..400 LOOP
                            UPDATE workflow_engine_detector SET name = name || '.' WHERE id = 2 AND length(name) < 150;
                            UPDATE workflow_engine_detector SET name = 'detector' WHERE id = 2 AND length(name) >= 150;
                        END LOOP;
                    END $$
                    """
                )
                try await scenario.drain(worker)
            }
            try await scenario.execute("VACUUM freshet.change")
            let dead = try await scenario.admin.query("SELECT pg_relation_size('freshet.change') / 8192").int64(0, 0)
            #expect((dead ?? 0) > 10, "pages of dead rows")
            #expect(try await scenario.journalDepth() == 0)
            #expect(try await scenario.read(1, .environment(5)).environment == .hit)

            try await connection.run(script: "COMMIT")
            try await scenario.drain(worker)
            #expect(try await scenario.read(1, .environment(5)).ids == [10])
            try await expectFresh(scenario)
            await observer.close()
        }
    }
}
