import Freshet
import InvalidationWorker
import Keyspace
import LocalServices
import Postgres
import Testing

/// Another Postgres than the one that was vouched for: after a crash that lost commits, and after a promotion.
@Suite struct FailoverTests {
    private static let asynchronous = ["synchronous_commit": "off", "wal_writer_delay": "10s"]

    @Test(arguments: [true, false])
    func `what was read of a commit that a crash lost is never served afterwards`(isApplied: Bool) async throws {
        try await Scenario.withOwnServers(postgresSettings: Self.asynchronous) { scenario in
            try await scenario.insert(detectors: [1], workflows: [(10, nil), (11, 5)])
            let key = DetectorWorkflowsKey(detectorID: 1, environment: .environment(5))

            // Now and then the log happens to be written just before the crash, and nothing is lost: then once more.
            var isLost = false
            for _ in 1...10 where !isLost {
                let worker = try await scenario.startWorker(hears: false)
                let writer = try await scenario.connect()
                try await writer.run(script: "SELECT freshet.invalidate_all()")
                try await worker.catchUp()
                try await writer.run(script: "CHECKPOINT")
                // If the change is lost before the worker has seen it, not even the worker's mark tells of it.
                if !isApplied {
                    worker.gate.hold(.claiming)
                    try await worker.gate.stopped(at: .claiming)
                }
                try await writer.run(script: "UPDATE workflow_engine_workflow SET enabled = NOT enabled WHERE id = 11")
                if isApplied { try await worker.catchUp() }
                let seen = try await scenario.read(1, .environment(5)).ids
                #expect(try await scenario.read(1, .environment(5)).environment == .hit)
                let generation = try await scenario.generation()

                try await scenario.servers.postgres.crash(backend: writer.backendPID)
                await writer.close()
                worker.gate.open(.claiming)
                try await worker.events.wait(for: .leading, count: 2)
                try await worker.vouchesAgain()

                let truth = try await [10] + (scenario.truth([key])[key] ?? [])
                isLost = truth != seen
                #expect(try await scenario.read(1, .environment(5)).ids == truth)
                #expect(try await scenario.generation() != generation)
                await worker.kill()
            }
            #expect(isLost, "no crash lost a commit, so nothing was shown")
        }
    }

    @Test func `a pass waits for no standby`() async throws {
        let settings = ["synchronous_standby_names": "absent", "synchronous_commit": "local"]
        try await Scenario.withOwnServers(postgresSettings: settings) { scenario in
            try await scenario.execute("ALTER ROLE \(Servers.Roles.worker) SET synchronous_commit = on")
            try await scenario.insert(detectors: [1], workflows: [(10, nil)])
            let worker = try await scenario.startWorker()
            try await worker.catchUp()
            #expect(try await scenario.read(1).ids == [10])
            try await scenario.execute("DELETE FROM workflow_engine_detectorworkflow")
            try await worker.catchUp()
            #expect(try await scenario.read(1).ids == [])
        }
    }

    /// The change was on the disk, what the worker made of it was not.
    @Test func `a pass that a crash has lost is made again`() async throws {
        try await Scenario.withOwnServers(postgresSettings: ["wal_writer_delay": "10s"]) { scenario in
            try await scenario.insert(detectors: [1], workflows: [(10, nil), (11, 5)])
            let key = DetectorWorkflowsKey(detectorID: 1, environment: .environment(5))

            // Each time on a session of its own: a crash ends all there are.
            @Sendable func journalDepth() async throws -> Int64? {
                let connection = try await scenario.connect()
                let result = try await connection.query("SELECT count(*) FROM freshet.change")
                await connection.close()
                return try result.int64(0, 0)
            }

            // Now and then the log happens to be written just before the crash, and nothing is lost: then once more.
            var isLost = false
            for _ in 1...10 where !isLost {
                let worker = try await scenario.startWorker()
                let writer = try await scenario.connect()
                try await worker.catchUp()
                try await writer.run(script: "CHECKPOINT")
                try await writer.run(script: "UPDATE workflow_engine_workflow SET enabled = NOT enabled WHERE id = 11")
                try await worker.catchUp()
                #expect(try await journalDepth() == 0)
                await worker.kill()
                try await scenario.servers.postgres.crash(backend: writer.backendPID)
                await writer.close()
                let depth = try await eventually("Postgres to be back") { try? await journalDepth() }
                isLost = depth == 1

                let generation = try await scenario.generation()
                let next = try await scenario.startWorker()
                try await next.catchUp()
                #expect(try await journalDepth() == 0)
                #expect(try await scenario.generation() != generation)
                #expect(
                    try await scenario.read(1, .environment(5)).ids == [10] + (scenario.truth([key])[key] ?? [])
                )
                await next.kill()
            }
            #expect(isLost, "no crash lost a pass, so nothing was shown")
        }
    }

    @Test func `between a crash and the worker's return nothing is stored`() async throws {
        try await Scenario.withOwnServers { scenario in
            try await scenario.insert(detectors: [1, 2], workflows: [(10, nil)])
            let worker = try await scenario.startWorker()
            try await worker.catchUp()
            _ = try await scenario.read(1)
            #expect(try await scenario.read(1).global == .hit)
            await worker.kill()

            let victim = try await scenario.connect()
            try await scenario.servers.postgres.crash(backend: victim.backendPID)
            await victim.close()
            for _ in 1...2 {
                #expect(try await scenario.read(2).global == .miss(.absent))
            }

            let successor = try await scenario.startWorker()
            try await successor.catchUp()
            #expect(try await scenario.read(1).global == .miss(.stale(.namespace)))
            _ = try await scenario.read(2)
            #expect(try await scenario.read(2).global == .hit)
        }
    }

    @Test func `after a promotion the old primary promises nothing, and its readers store nothing`() async throws {
        try await Scenario.withOwnServers { scenario in
            let old = scenario.servers.postgres
            try await scenario.insert(detectors: [1, 2, 3], workflows: [(10, nil)])
            let deposed = try await scenario.startWorker()
            try await deposed.catchUp()
            try await scenario.warm([1], [.global])
            #expect(try await scenario.read(1).global == .hit)
            let generation = try await scenario.generation()

            let new = try await old.createStandby()
            do {
                // It stands by at the old primary, and must find the new one when that is gone.
                let follower = try await scenario.startWorker(
                    waitUntilVouched: false,
                    connectionString: """
                        host=\(old.socketDirectory),\(new.socketDirectory) port=\(old.port),\(new.port) \
                        dbname=\(scenario.database) user=\(Servers.Roles.worker)
                        """
                )
                try await follower.events.wait(for: .standingBy, count: 1)

                // What a standby answers is never stored: it may lack what was bumped already.
                try await new.catchUp(with: old)
                try await scenario.withReader(of: new) { reader in
                    for _ in 1...2 {
                        let answer = try await reader.workflows(ofDetectors: [3])
                        #expect(answer.detectors.first?.global == .miss(.absent))
                        #expect(answer.workflows.map(\.id) == [10])
                    }
                }

                // The old primary is not told. From now on the two have different histories.
                try await new.promote()
                let leader = try await scenario.startWorker(
                    connectionString: new.connectionString(database: scenario.database, user: Servers.Roles.worker)
                )
                #expect(leader.resets == 1)
                #expect(try await scenario.generation() != generation)
                try await deposed.events.wait(for: .distrusting, count: 1)
                #expect(deposed.distrusts.first?.contains("on timeline 2 was promoted") == true)
                let promises = deposed.events.count(of: .vouched)

                // The readers of the old primary: they find nothing from before, and leave nothing behind.
                for _ in 1...2 {
                    #expect(try await scenario.read(1).global == .miss(.stale(.namespace)))
                    #expect(try await scenario.read(2).global == .miss(.absent))
                }
                try await new.psql(
                    "UPDATE workflow_engine_workflow SET enabled = false WHERE id = 10",
                    database: scenario.database
                )
                try await leader.vouchesAgain()
                try await scenario.withReader(of: new) { reader in
                    let first = try await reader.workflows(ofDetectors: [1])
                    #expect(first.workflows.isEmpty)
                    #expect(first.trust == .healthy)
                    let second = try await reader.workflows(ofDetectors: [1])
                    #expect(second.detectors.first?.global == .hit)
                }

                // However often the deposed worker looks again.
                let looks = deposed.events.count(of: .leading)
                try await deposed.events.wait(for: .leading, count: looks + 1)
                try await deposed.gate.steps.wait(
                    for: .connecting,
                    count: deposed.gate.steps.count(of: .connecting) + 1
                )
                #expect(deposed.events.count(of: .vouched) == promises)

                try await old.stop(.immediate)
                await leader.kill()
                try await follower.events.wait(for: .vouched, count: 1)
                try await scenario.withReader(of: new) { reader in
                    let answer = try await reader.workflows(ofDetectors: [1])
                    #expect(answer.workflows.isEmpty)
                }
            } catch {
                await new.destroy()
                throw error
            }
            await new.destroy()
        }
    }
}
