import Freshet
import InvalidationWorker
import Keyspace
import LocalServices
import Testing

/// Postgres goes away under load, in part or as a whole, and nothing is lost.
@Suite struct PostgresFaultTests {
    @Test func `a worker's session that is cut under load loses nothing`() async throws {
        try await Scenario.run { scenario in
            let load = try await Load.start(on: scenario)
            let worker = try await scenario.startWorker()
            for cut in 1...3 {
                try await load.commits(30)
                let ended = try await scenario.column(
                    """
                    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                    WHERE datname = current_database() AND usename = '\(Servers.Roles.worker)'
                    """
                )
                #expect(!ended.isEmpty)
                try await worker.events.wait(for: .leading, count: cut + 1)
                try await worker.vouchesAgain()
            }
            #expect(worker.events.count(of: .failingPostgres) >= 3)
            try await load.commits(30)
            try await load.stop()
            try await worker.catchUp()
            #expect(try await scenario.journalDepth() == "0")
            try await load.expectConsistent()
        }
    }

    @Test func `a change made while the session is cut is applied though its notification was lost`() async throws {
        try await Scenario.run { scenario in
            try await scenario.insert(detectors: [1], workflows: [(10, nil)])
            let worker = try await scenario.startWorker()
            try await worker.catchUp()
            try await scenario.warm([1], [.global])
            worker.gate.hold(.connecting)
            _ = try await scenario.column(
                """
                SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                WHERE datname = current_database() AND usename = '\(Servers.Roles.worker)'
                """
            )
            try await worker.gate.stopped(at: .connecting)
            try await scenario.execute("UPDATE workflow_engine_workflow SET enabled = false WHERE id = 10")
            #expect(try await scenario.read(1).ids == [10])
            worker.gate.open(.connecting)
            try await worker.events.wait(for: .leading, count: 2)
            try await worker.vouchesAgain()
            #expect(try await scenario.read(1).ids == [])
        }
    }

    @Test func `Postgres that is stopped at once under load loses nothing, and readers see degraded meanwhile`()
        async throws
    {
        var limits = KeyspaceLimits()
        limits.lease = .seconds(1)
        try await Scenario.withOwnServers(limits: limits) { scenario in
            let load = try await Load.start(on: scenario, survivesRestarts: true)
            let worker = try await scenario.startWorker()
            try await load.commits(30)
            try await scenario.waitUntil(.healthy)
            let generation = try await scenario.generation()

            try await scenario.servers.postgres.stop(.immediate)
            try await scenario.waitUntil(.degraded)
            let vouched = worker.events.count(of: .vouched)
            try await scenario.servers.postgres.startAgain()

            try await worker.events.wait(for: .leading, count: 2)
            try await worker.events.wait(for: .vouched, count: vouched + 1)
            try await scenario.waitUntil(.healthy)
            // Recovery from a crash may have lost commits that were seen, so nothing from before is trusted.
            #expect(worker.resets == 2)
            #expect(try await scenario.generation() != generation)
            try await load.commits(30)
            try await load.stop()
            try await worker.catchUp()
            try await load.expectConsistent()
        }
    }

    @Test func `Postgres that is restarted in order keeps its incarnation, and the cache`() async throws {
        try await Scenario.withOwnServers { scenario in
            try await scenario.insert(detectors: [1], workflows: [(10, nil)])
            let worker = try await scenario.startWorker()
            try await worker.catchUp()
            try await scenario.warm([1], [.global])
            try await scenario.servers.postgres.restart(.fast)
            try await worker.events.wait(for: .leading, count: 2)
            try await worker.vouchesAgain()
            #expect(worker.resets == 1)
            #expect(try await scenario.read(1).global == .hit)
        }
    }
}
