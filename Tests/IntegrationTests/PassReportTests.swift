import InvalidationWorker
import Keyspace
import LocalServices
import Postgres
import Testing

/// What a worker tells of the changes that it applied.
@Suite struct PassReportTests {
    /// A detector renamed by an application of its own; what the worker tells of it, and the clock of Postgres before and after.
    private func renamed(
        on servers: Servers? = nil,
        _ body: @Sendable (PassReport, PassReport.ChangeSummary, ClosedRange<Int64>) throws -> Void
    ) async throws {
        try await Scenario.run(on: servers) { scenario in
            try await scenario.insert(detectors: [1], workflows: [(10, nil)])
            let worker = try await scenario.startWorker()
            try await scenario.drain(worker)
            let begin = try await scenario.clock()
            let writer = try await scenario.connect(user: Servers.Roles.writer)
            try await writer.run(
                script: """
                    SET application_name = 'renamer';
                    UPDATE workflow_engine_detector SET name = 'new'
                    """
            )
            await writer.close()
            try await scenario.drain(worker)
            let report = try #require(worker.reports.last)
            try body(report, try #require(report.changes.first), begin...(try await scenario.clock()))
        }
    }

    @Test func `a change is told with its time, writer and scopes, and how long it took by one clock`() async throws {
        try await renamed { report, change, clock in
            #expect(report.changes.count == 1 && change.subject == "detector" && change.operation == "update")
            #expect(change.applicationName == "renamer" && change.userName == Servers.Roles.writer)
            #expect(change.scopes == ScopeSet([.entity(Entity(1))]))
            let changed = try #require(change.changedAtMicroseconds)
            let invalidated = try #require(report.invalidatedAtMicroseconds)
            #expect(clock.contains(changed) && changed < invalidated && clock.contains(invalidated))
            #expect(change.committedAtMicroseconds == nil)
        }
    }

    @Test func `where Postgres keeps the time of commits a change is told with it`() async throws {
        let servers = try await Servers.start(postgresSettings: ["track_commit_timestamp": "on"])
        do {
            try await renamed(on: servers) { report, change, clock in
                let committed = try #require(change.committedAtMicroseconds)
                #expect(try committed >= #require(change.changedAtMicroseconds))
                #expect(try committed < #require(report.invalidatedAtMicroseconds))
                #expect(clock.contains(committed))
            }
        } catch {
            await servers.destroy()
            throw error
        }
        await servers.destroy()
    }

    @Test func `a row that was restored with another server's transaction is told with its own commit`() async throws {
        let servers = try await Servers.start(postgresSettings: ["track_commit_timestamp": "on"])
        do {
            try await Scenario.run(on: servers) { scenario in
                let worker = try await scenario.startWorker()
                try await scenario.drain(worker)
                let begin = try await scenario.clock()
                // The transaction is one of this server, long ago; 4294967296 is none that Postgres can be asked about.
                try await scenario.execute(
                    """
                    INSERT INTO freshet.change (xid, subject, operation, row_count, detector_ids)
                    VALUES ('800', 'detector', 'update', 1, '{1}'), ('4294967296', 'detector', 'update', 1, '{2}');
                    INSERT INTO freshet.change (subject, operation, row_count, detector_ids)
                    VALUES ('detector', 'update', 1, '{3}')
                    """
                )
                // Its own passes look above the floor; a new session looks at everything.
                try await worker.stop()
                let next = try await scenario.startWorker()
                try await scenario.drain(next)
                let told = (worker.reports + next.reports).flatMap(\.changes).filter { $0.subject == "detector" }
                #expect(told.count >= 3)
                for change in told {
                    #expect(try #require(change.committedAtMicroseconds) >= begin, "\(change)")
                }
            }
        } catch {
            await servers.destroy()
            throw error
        }
        await servers.destroy()
    }
}

extension Scenario {
    /// The clock of Postgres, in microseconds since 1970.
    fileprivate func clock() async throws -> Int64 {
        let sql = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
        return try await admin.query(sql).requiredInt64(0, 0)
    }
}
