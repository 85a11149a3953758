import Freshet
import InvalidationWorker
import Keyspace
import Postgres
import Redis
import Testing

/// The second cache, detectors by data source, served by the worker that serves the first.
@Suite struct DataSourceCacheTests {
    // MARK: Changes

    /// Two data sources, `1` and `2`, both linked with the detectors 11 and 12; all cached.
    private func stage(
        _ keys: ForeignKeys = .none,
        bucketCount: Int = 1,
        _ body: @Sendable (DataSourceStage, RunningWorker) async throws -> Void
    ) async throws {
        try await DataSourceStage.run(keys, bucketCount: bucketCount) { stage in
            try await stage.insert(sources: [1, 2], detectors: [11, 12])
            let worker = try await stage.scenario.startWorker()
            try await stage.scenario.drain(worker)
            try await warm(stage, ["1", "2", "3"])
            try await body(stage, worker)
        }
    }

    private func warm(_ stage: DataSourceStage, _ sourceIDs: [String]) async throws {
        _ = try await stage.compare(sourceIDs)
        let second = try await stage.compare(sourceIDs)
        #expect(second.hits == sourceIDs.count)
        #expect(second.mistakes == [])
    }

    @Test func `a backlog of one cache collapses beside that of another, which is resolved`() async throws {
        try await DataSourceStage.run { stage in
            let scenario = stage.scenario
            try await stage.insert(sources: [1, 2], detectors: [11, 12])
            try await scenario.insert(detectors: [], workflows: [(10, nil)])
            let before = try await scenario.startWorker()
            try await scenario.drain(before)
            try await before.stop()
            for number in 1...6 {
                try await scenario.execute("UPDATE workflow_engine_workflow SET name = '\(number)' WHERE id = 10")
            }
            for type in ["a", "b"] {
                try await scenario.execute("UPDATE workflow_engine_datasource SET type = '\(type)' WHERE id = 1")
            }
            let worker = try await scenario.startWorker { $0.collapseThreshold = 5 }
            try await scenario.drain(worker)
            #expect(try await scenario.journalDepth() == 0)
            let collapsed = worker.reports.filter { $0.namespace == scenario.namespace }
            #expect(collapsed.map(\.rowCount) == [6] && collapsed.map(\.scopes) == [ScopeSet([.namespace])])
            let resolved = worker.reports.filter { $0.namespace != scenario.namespace }
            #expect(resolved.map(\.rowCount) == [2] && resolved.map(\.changes.count) == [2])
            #expect(resolved.allSatisfy { !$0.scopes.coversNamespace && !$0.scopes.isEmpty })
        }
    }

    /// A statement, and for which of the source ids 1, 2 and 3 it must be read again.
    struct Change: CustomTestStringConvertible, Sendable {
        var testDescription: String
        var sql: String
        var stale: Set<String>
        var keys = ForeignKeys.allCases
    }

    private static let changes = [
        Change(
            testDescription: "links by INSERT … SELECT",
            sql: """
                INSERT INTO workflow_engine_detector (id) SELECT generate_series(100, 199);
                INSERT INTO workflow_engine_datasourcedetector (data_source_id, detector_id)
                    SELECT 1, id FROM workflow_engine_detector WHERE id >= 100
                """,
            stale: ["1"]
        ),
        Change(
            testDescription: "a data source renamed",
            sql: "UPDATE workflow_engine_datasource SET source_id = '3' WHERE id = 1",
            stale: ["1", "3"]
        ),
        Change(
            testDescription: "a data source retyped",
            sql: "UPDATE workflow_engine_datasource SET type = 'other' WHERE id = 1",
            stale: ["1"]
        ),
        Change(
            testDescription: "two data sources that exchange their names",
            sql: """
                BEGIN;
                UPDATE workflow_engine_datasource SET source_id = 'x' WHERE id = 1;
                UPDATE workflow_engine_datasource SET source_id = '1' WHERE id = 2;
                UPDATE workflow_engine_datasource SET source_id = '2' WHERE id = 1;
                COMMIT
                """,
            stale: ["1", "2"]
        ),
        Change(
            testDescription: "a data source inserted",
            sql: "INSERT INTO workflow_engine_datasource (id, source_id, type) VALUES (3, '3', 'error')",
            stale: ["3"]
        ),
        Change(
            testDescription: "a detector updated",
            sql: """
                DELETE FROM workflow_engine_datasourcedetector WHERE data_source_id = 2 AND detector_id = 12;
                UPDATE workflow_engine_detector SET name = 'new' WHERE id = 12
                """,
            stale: ["1", "2"]
        ),
        Change(
            testDescription: "a detector deleted by cascade",
            sql: "DELETE FROM workflow_engine_detector WHERE id = 11",
            stale: ["1", "2"],
            keys: [.cascading]
        ),
        Change(
            testDescription: "a data source deleted by cascade",
            sql: "DELETE FROM workflow_engine_datasource WHERE id = 1",
            stale: ["1"],
            keys: [.cascading]
        ),
        Change(
            testDescription: "a detector deleted that leaves its links behind",
            sql: "DELETE FROM workflow_engine_detector WHERE id = 11",
            stale: ["1", "2"],
            keys: [.none]
        ),
        Change(
            testDescription: "a detector inserted after its link",
            sql: """
                INSERT INTO workflow_engine_datasourcedetector (data_source_id, detector_id) VALUES (1, 50);
                INSERT INTO workflow_engine_detector (id) VALUES (50)
                """,
            stale: ["1"],
            keys: [.none]
        ),
        Change(
            testDescription: "a link moved",
            sql: """
                DELETE FROM workflow_engine_datasourcedetector WHERE data_source_id = 2 AND detector_id = 11;
                UPDATE workflow_engine_datasourcedetector SET data_source_id = 2 WHERE data_source_id = 1 AND detector_id = 11
                """,
            stale: ["1", "2"]
        ),
        Change(
            testDescription: "links deleted",
            sql: "DELETE FROM workflow_engine_datasourcedetector WHERE data_source_id = 2",
            stale: ["2"]
        ),
        Change(
            testDescription: "links truncated",
            sql: "TRUNCATE workflow_engine_datasourcedetector",
            stale: ["1", "2", "3"]
        ),
        Change(
            testDescription: "data sources truncated",
            sql: "TRUNCATE workflow_engine_datasource CASCADE",
            stale: ["1", "2", "3"]
        ),
        Change(
            testDescription: "a pair named by a person",
            sql: "SELECT freshet.invalidate_datasource('error', '2')",
            stale: ["2"]
        ),
        Change(
            testDescription: "everything, by a person",
            sql: "SELECT freshet.invalidate_all()",
            stale: ["1", "2", "3"]
        ),
        Change(
            testDescription: "an UPDATE that changes nothing",
            sql: "UPDATE workflow_engine_datasource SET source_id = source_id, type = type",
            stale: []
        ),
    ]

    @Test(arguments: changes)
    func `a change is read again where it shows, and nowhere else`(change: Change) async throws {
        for keys in change.keys {
            try await stage(keys) { stage, worker in
                try await stage.scenario.execute(change.sql)
                try await stage.scenario.drain(worker)
                for sourceID in ["1", "2", "3"] {
                    let found = try await stage.read(sourceID)
                    #expect((found.source != .hit) == change.stale.contains(sourceID), "\(sourceID): \(found.source)")
                }
                #expect(try await stage.compare(["1", "2", "3"]).mistakes == [])
            }
        }
    }

    @Test func `a link of a data source that does not exist invalidates all, and the data source itself its pair`()
        async throws
    {
        try await stage { stage, worker in
            try await stage.scenario.execute(
                "INSERT INTO workflow_engine_datasourcedetector (data_source_id, detector_id) VALUES (3, 11)"
            )
            try await stage.scenario.drain(worker)
            #expect(worker.reports.last?.scopes == ScopeSet([.namespace]))
            try await warm(stage, ["1", "2", "3"])
            try await stage.scenario.execute(
                "INSERT INTO workflow_engine_datasource (id, source_id, type) VALUES (3, '3', 'error')"
            )
            try await stage.scenario.drain(worker)
            #expect(try await stage.read("3").detectors.map(\.id) == [11])
            #expect(try await stage.read("1").source == .hit)
            // An orphan does not make each change of its detector one of everything.
            try await stage.scenario.execute("DELETE FROM workflow_engine_datasource WHERE id = 2")
            try await stage.scenario.drain(worker)
            try await warm(stage, ["1", "2", "3"])
            try await stage.scenario.execute("UPDATE workflow_engine_detector SET name = 'new' WHERE id = 12")
            try await stage.scenario.drain(worker)
            #expect(try await stage.read("3").source == .hit)
            #expect(try await stage.read("1").source == .miss(.absent))
        }
    }

    @Test func `names of any characters are told apart, and so are buckets`() async throws {
        try await stage(bucketCount: 3) { stage, worker in
            let names = ["a:b", "{0}", " ", "%20", "é", "e\u{301}", "\"q\\,", "NULL", ""]
            for (number, name) in names.enumerated() {
                try await stage.scenario.execute(
                    """
                    INSERT INTO workflow_engine_datasource (id, source_id, type)
                        VALUES (\(100 + number), '\(name)', 'odd');
                    INSERT INTO workflow_engine_detector (id) VALUES (\(200 + number));
                    INSERT INTO workflow_engine_datasourcedetector (data_source_id, detector_id)
                        VALUES (\(100 + number), \(200 + number))
                    """
                )
            }
            try await stage.scenario.drain(worker)
            let keys = names.map { DataSourceKey(type: "odd", sourceID: $0) }
            for _ in 1...2 {
                let found = try await stage.lookup.detectors(of: keys).answers
                #expect(keys.map { found[$0]?.value.map(\.id) } == names.indices.map { [Int64(200 + $0)] })
            }
            for (number, name) in names.enumerated() {
                try await stage.scenario.execute(
                    "UPDATE workflow_engine_detector SET name = 'new' WHERE id = \(200 + number)"
                )
                try await stage.scenario.drain(worker)
                for other in names {
                    let found = try await stage.read(other, type: "odd")
                    #expect((found.source == .hit) == !other.utf8.elementsEqual(name.utf8), "\(name), \(other)")
                }
            }
        }
    }

    @Test func `every column of a detector comes back, from the database and from the cache`() async throws {
        try await stage { stage, worker in
            try await stage.scenario.execute(
                """
                UPDATE workflow_engine_detector SET name = 'Name', type = 'metric', enabled = false, status = 3,
                    config = '{"a": 1}', description = 'Text', owner_user_id = 1, owner_team_id = 2, created_by_id = 3,
                    workflow_condition_group_id = 4, project_id = 5, date_added = '2024-01-02 03:04:05.678901+00'
                WHERE id = 11
                """
            )
            try await stage.scenario.drain(worker)
            let loaded = try await stage.read("1")
            let cached = try await stage.read("1")
            #expect(cached.source == .hit)
            #expect(cached.detectors == loaded.detectors)
            let detector = try #require(cached.detectors.first)
            #expect(detector.id == 11 && detector.name == "Name" && detector.type == "metric" && !detector.isEnabled)
            #expect(detector.status == 3 && detector.config == #"{"a": 1}"# && detector.description == "Text")
            #expect([detector.ownerUserID, detector.ownerTeamID, detector.createdByID] == [1, 2, 3])
            #expect(detector.workflowConditionGroupID == 4 && detector.projectID == 5)
            #expect(detector.dateAdded.microsecondsSince1970 == 1_704_164_645_678_901)
        }
    }

    // MARK: Two transactions

    @Test(arguments: SteppedTransaction.Isolation.allCases, ForeignKeys.allCases)
    func `a link and a rename that do not see each other leave no stale entry`(
        isolation: SteppedTransaction.Isolation,
        keys: ForeignKeys
    ) async throws {
        let changesOfLink = [
            "INSERT INTO workflow_engine_datasourcedetector (data_source_id, detector_id) VALUES ($, 12)",
            "DELETE FROM workflow_engine_datasourcedetector WHERE data_source_id = $ AND detector_id = 11",
            "UPDATE workflow_engine_detector SET name = 'new' WHERE id = 11",
        ]
        try await DataSourceStage.run(keys) { stage in
            let scenario = stage.scenario
            let worker = try await scenario.startWorker()
            let link = try await SteppedTransaction(scenario)
            let rename = try await SteppedTransaction(scenario)
            try await scenario.execute("INSERT INTO workflow_engine_detector (id) VALUES (11), (12)")
            var id: Int64 = 0
            for meeting in Meeting.allCases {
                for changeOfLink in changesOfLink {
                    for linkIsFirst in [true, false] {
                        id += 1
                        let names = ["\(id)a", "\(id)b"]
                        try await scenario.execute(
                            """
                            UPDATE workflow_engine_detector SET name = 'old';
                            INSERT INTO workflow_engine_datasource (id, source_id, type) VALUES (\(id), '\(names[0])', 'error');
                            INSERT INTO workflow_engine_datasourcedetector (data_source_id, detector_id) VALUES (\(id), 11)
                            """
                        )
                        try await scenario.drain(worker)
                        let fill: () async throws -> Void = { _ = try await stage.compare(names) }
                        try await fill()
                        try await link.begin(isolation)
                        try await rename.begin(isolation)
                        // Who commits first writes last.
                        let changes = [
                            (link, changeOfLink.replacing("$", with: "\(id)")),
                            (
                                rename,
                                "UPDATE workflow_engine_datasource SET source_id = '\(names[1])' WHERE id = \(id)"
                            ),
                        ]
                        let (earlier, later) = linkIsFirst ? (changes[0], changes[1]) : (changes[1], changes[0])
                        _ = try await later.0.perform(later.1)
                        let isFree = try await earlier.0.perform(earlier.1)
                        try await meeting.commit(
                            isFree ? earlier.0 : later.0,
                            isFree ? later.0 : earlier.0,
                            before: worker,
                            fill: fill
                        )
                        try await scenario.drain(worker)
                        #expect(
                            try await stage.compare(names).mistakes == [],
                            "\(meeting), \(changeOfLink), link first: \(linkIsFirst)"
                        )
                    }
                }
            }
            await link.close()
            await rename.close()
        }
    }

    /// How the two commits meet the worker.
    private enum Meeting: CaseIterable {
        case oneBatch, twoBatches, betweenClaimAndBump

        func commit(
            _ earlier: SteppedTransaction,
            _ later: SteppedTransaction,
            before worker: RunningWorker,
            fill: () async throws -> Void
        ) async throws {
            let gate = worker.gate
            if self != .twoBatches {
                gate.hold(.observing)
                try await gate.stopped(at: .observing)
            }
            _ = try await earlier.commit()
            switch self {
            case .oneBatch: break
            case .twoBatches: try await worker.catchUp()
            case .betweenClaimAndBump:
                gate.hold(.applying)
                gate.open(.observing)
                try await gate.stopped(at: .applying)
            }
            try await fill()
            _ = try await later.commit()
            try await fill()
            gate.open(.observing)
            gate.open(.applying)
        }
    }

    // MARK: Two caches

    @Test func `each cache stays a hit while only the tables of the other change`() async throws {
        try await stage { stage, worker in
            let scenario = stage.scenario
            try await scenario.insert(detectors: [], workflows: [(10, 5)])
            try await scenario.execute(
                "INSERT INTO workflow_engine_detectorworkflow (detector_id, workflow_id) VALUES (11, 10)"
            )
            try await scenario.drain(worker)
            try await scenario.warm([11], [.environment(5)])

            let ownOnes = [
                "UPDATE workflow_engine_datasource SET source_id = '1x' WHERE id = 1",
                "TRUNCATE workflow_engine_datasourcedetector",
                "SELECT freshet.detach_datasources()",
            ]
            for sql in ownOnes {
                try await scenario.execute(sql)
                try await scenario.drain(worker)
                let found = try await scenario.read(11, .environment(5))
                #expect(found.global == .hit && found.environment == .hit && found.trust == .healthy, "\(sql)")
            }
            #expect(worker.reports.last?.namespace == stage.namespace)
            #expect(worker.distrusts == [])

            try await scenario.execute(DataSourceStage.attach)
            try await scenario.drain(worker)
            try await warm(stage, ["1", "2", "3"])
            for sql in [
                "UPDATE workflow_engine_workflow SET environment_id = 6",
                "TRUNCATE workflow_engine_detectorworkflow",
                "SELECT freshet.invalidate_detector(11)",
            ] {
                try await scenario.execute(sql)
                try await scenario.drain(worker)
                #expect(try await stage.compare(["1", "2", "3"]).hits == 3, "\(sql)")
            }
            #expect(try await stage.trust() == .healthy)
        }
    }

    @Test func `a cache that is not attached does not exist`() async throws {
        try await DataSourceStage.run(isAttached: false) { stage in
            let scenario = stage.scenario
            try await stage.insert(sources: [1], detectors: [11])
            let worker = try await scenario.startWorker()
            try await scenario.drain(worker)
            #expect(try await scenario.trust() == .healthy)
            let head = stage.namespace.headKey(bucket: 0)
            let heads = try await scenario.command("EXISTS", .string(head)).int64
            #expect(heads == 0)
            try await scenario.execute("UPDATE workflow_engine_datasource SET source_id = '2'")
            #expect(try await scenario.journalDepth() == "0")
            // A reader is told that nobody vouches.
            #expect(try await stage.trust() == .degraded)

            // Attached under the same worker, it is served from the next pass on.
            try await scenario.execute(DataSourceStage.attach)
            try await scenario.drain(worker)
            #expect(try await stage.trust() == .healthy)
            try await warm(stage, ["2"])
            try await scenario.execute("UPDATE workflow_engine_detector SET name = 'new'")
            try await scenario.drain(worker)
            #expect(try await stage.read("2").detectors.map(\.name) == ["new"])
            #expect(worker.distrusts == [])
            #expect(try await scenario.trust() == .healthy)
        }
    }

    @Test func `a Redis that lost one cache's head resets that cache alone`() async throws {
        try await stage { stage, worker in
            let scenario = stage.scenario
            try await scenario.warm([11], [.global])
            try await scenario.command("DEL", .string(stage.namespace.headKey(bucket: 0)))
            try await scenario.drain(worker)
            #expect(worker.reports.last?.namespace == stage.namespace)
            #expect(worker.reports.last?.resetBuckets == [0])
            #expect(try await stage.trust() == .healthy)
            #expect(try await stage.read("1").source == .miss(.stale(.namespace)))
            #expect(try await scenario.read(11).global == .hit)
        }
    }

    /// Something that goes wrong with the tables of the second cache.
    struct Drift: CustomTestStringConvertible, Sendable {
        var testDescription: String
        var breaking: String
        var reason: String
        var mending = DataSourceStage.attach
    }

    @Test(arguments: [
        Drift(
            testDescription: "a trigger disabled",
            breaking: "ALTER TABLE workflow_engine_datasource DISABLE TRIGGER freshet_datasource_update",
            reason: "triggers not enabled ALWAYS on public.workflow_engine_datasource: freshet_datasource_update"
        ),
        Drift(
            testDescription: "a column renamed",
            breaking: "ALTER TABLE workflow_engine_datasource RENAME source_id TO place",
            reason: "columns of public.workflow_engine_datasource renamed or no longer text: source_id",
            mending: "ALTER TABLE workflow_engine_datasource RENAME place TO source_id"
        ),
        Drift(
            testDescription: "a column retyped",
            breaking: "ALTER TABLE workflow_engine_datasource ALTER source_id TYPE bigint USING source_id::bigint",
            reason: "columns of public.workflow_engine_datasource renamed or no longer text: source_id",
            mending: "ALTER TABLE workflow_engine_datasource ALTER source_id TYPE varchar(128)"
        ),
        Drift(
            testDescription: "a table renamed",
            breaking: "ALTER TABLE workflow_engine_datasourcedetector RENAME TO feeds",
            reason: "table public.workflow_engine_datasourcedetector does not exist",
            mending: "ALTER TABLE feeds RENAME TO workflow_engine_datasourcedetector"
        ),
        Drift(
            testDescription: "the worker's privilege revoked",
            breaking: "REVOKE SELECT (type) ON workflow_engine_datasource FROM freshet_worker",
            reason: "permission denied for table workflow_engine_datasource"
        ),
    ])
    func `what is wrong with the second cache's tables withholds the promise of that cache alone`(
        drift: Drift
    ) async throws {
        try await DataSourceStage.run(limits: KeyspaceLimits(lease: .seconds(1))) { stage in
            let scenario = stage.scenario
            try await stage.insert(sources: [1, 2], detectors: [11])
            try await scenario.insert(detectors: [], workflows: [(10, 5)])
            try await scenario.execute(
                "INSERT INTO workflow_engine_detectorworkflow (detector_id, workflow_id) VALUES (11, 10)"
            )
            let worker = try await scenario.startWorker()
            try await scenario.drain(worker)
            try await warm(stage, ["1", "2"])

            try await scenario.execute(drift.breaking)
            try await worker.events.wait(for: .distrusting, count: 1)
            #expect(worker.distrusts.first?.contains(drift.reason) == true, "\(worker.distrusts)")
            _ = try await eventually("readers of the second cache to see degraded") {
                try await stage.trust() == .degraded ? true : nil
            }
            // Writers go on, and the first cache is promised and precise.
            try await scenario.execute("UPDATE workflow_engine_datasource SET date_updated = now()")
            try await scenario.execute("UPDATE workflow_engine_workflow SET environment_id = 6")
            try await scenario.drain(worker)
            try await scenario.reach(.healthy)
            #expect(try await scenario.read(11, .environment(6)).ids == [10])
            try await scenario.warm([11], [.environment(6), .environment(7)])
            try await scenario.execute("UPDATE workflow_engine_workflow SET environment_id = 7")
            try await scenario.drain(worker)
            #expect(try await scenario.read(11, .environment(7)).ids == [10])
            #expect(try await scenario.read(11, .environment(7)).global == .hit)

            try await scenario.execute(drift.mending)
            _ = try await eventually("readers of the second cache to see healthy") {
                try await stage.trust() == .healthy ? true : nil
            }
            let found = try await stage.compare(["1", "2"])
            #expect(found.hits == 0)
            #expect(found.mistakes == [])
        }
    }

    // MARK: Attaching

    @Test func `the two caches are attached, mended and detached without touching each other`() async throws {
        try await DataSourceStage.run { (stage) async throws in
            let scenario = stage.scenario
            #expect(try await scenario.column(DataSourceStage.attach) == ["f"])
            #expect(try await scenario.column(Scenario.attach) == ["f"])
            let triggers = """
                SELECT count(*) FROM pg_trigger WHERE tgrelid = 'workflow_engine_detector'::regclass AND NOT tgisinternal
                """
            #expect(try await scenario.column(triggers) == ["7"])
            let row = "'workflow_engine_detector')"
            #expect(
                try await scenario.column(
                    DataSourceStage.attach.replacing(row, with: "'workflow_engine_detector', level => 'row')")
                ) == ["t"]
            )
            #expect(try await scenario.column("SELECT bool_and(ok) FROM freshet.attached") == ["t"])
            #expect(try await scenario.column(triggers) == ["5"])
            #expect(try await scenario.column("SELECT freshet.detach()") == ["t"])
            #expect(try await scenario.column(triggers) == ["2"])
            #expect(
                try await scenario.column("SELECT DISTINCT cache FROM freshet.attached WHERE ok") == ["datasources"]
            )
            let mayRead = """
                SELECT has_column_privilege('freshet_worker', 'workflow_engine_datasource', 'type', 'SELECT')
                """
            #expect(try await scenario.column(mayRead) == ["t"])
            #expect(try await scenario.column("SELECT freshet.detach_datasources()") == ["t"])
            #expect(try await scenario.column(mayRead) == ["f"])
            #expect(try await scenario.column("SELECT freshet.detach_datasources()") == ["f"])
            #expect(try await scenario.column(triggers) == ["0"])
        }
    }

    @Test(arguments: [
        ("char(8)", "has type character, not text or varchar"), ("bigint", "has type bigint"),
        (#"text COLLATE "loose""#, "with a deterministic collation"),
    ])
    func `a column whose texts can be equal in two ways is refused`(type: String, message: String) async throws {
        try await DataSourceStage.run(isAttached: false) { stage in
            try await stage.scenario.execute(
                """
                CREATE COLLATION loose (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
                ALTER TABLE workflow_engine_datasource ALTER source_id TYPE \(type) USING NULL
                """
            )
            let error = await #expect(throws: PostgresError.self) {
                try await stage.scenario.execute(DataSourceStage.attach)
            }
            #expect(error?.message.contains(message) == true, "\(String(describing: error))")
            #expect(error?.hint?.isEmpty == false)
        }
    }

    @Test func `rows that a logical replication would apply are journaled one by one`() async throws {
        try await DataSourceStage.run(isAttached: false) { stage in
            let scenario = stage.scenario
            try await scenario.execute(
                DataSourceStage.attach.replacing(
                    "'workflow_engine_detector')",
                    with: "'workflow_engine_detector', level => 'row')"
                )
            )
            try await stage.insert(sources: [1, 2], detectors: [11, 12])
            let worker = try await scenario.startWorker()
            try await scenario.drain(worker)
            for sql in [
                "UPDATE workflow_engine_datasource SET source_id = '3' WHERE id = 1",
                "UPDATE workflow_engine_datasource SET id = 7 WHERE id = 2",
                "UPDATE workflow_engine_datasourcedetector SET data_source_id = 7 WHERE data_source_id = 2",
                "UPDATE workflow_engine_detector SET name = 'new' WHERE id = 12",
                "DELETE FROM workflow_engine_datasourcedetector WHERE detector_id = 11",
                "DELETE FROM workflow_engine_datasource WHERE id = 1",
                "TRUNCATE workflow_engine_detector CASCADE",
            ] {
                try await warm(stage, ["1", "2", "3"])
                try await scenario.execute(sql)
                try await scenario.drain(worker)
                #expect(try await stage.compare(["1", "2", "3"]).mistakes == [], "\(sql)")
            }
        }
    }
}
