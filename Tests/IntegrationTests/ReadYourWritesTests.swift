import Freshet
import InvalidationWorker
import Keyspace
import Postgres
import Redis
import Testing

/// A read that is given a committed transaction never answers from before it.
@Suite struct ReadYourWritesTests {
    private static let change = "UPDATE workflow_engine_workflow SET enabled = false WHERE id = 11"

    private func scenario(
        tokenWait: Duration = .milliseconds(100),
        _ body: @Sendable (Scenario, RunningWorker) async throws -> Void
    ) async throws {
        var options = CacheOptions()
        options.tokenWait = tokenWait
        try await Scenario.run(limits: KeyspaceLimits(lease: .seconds(60)), options: options) { scenario in
            try await scenario.insert(detectors: [1], workflows: [(10, nil), (11, 5)])
            let worker = try await scenario.startWorker(hears: false)
            try await worker.catchUp()
            try await scenario.warm([1], [.environment(5)])
            #expect(try await scenario.read(1, .environment(5)).environment == .hit)
            try await body(scenario, worker)
        }
    }

    private func read(_ scenario: Scenario, _ token: ReadToken) async throws -> DetectorWorkflows {
        let answer = try await scenario.lookup.workflows(ofDetectors: [1], in: .environment(5), after: token)
        return try #require(answer.detectors.first)
    }

    /// How a writer comes by its token.
    enum Source: CaseIterable, Sendable {
        case inside, afterwards, transactionID

        func commit(_ sql: String, in scenario: Scenario) async throws -> ReadToken {
            let writer = try await scenario.connect()
            defer { Task { await writer.close() } }
            try await writer.run(script: "BEGIN; \(sql)")
            let question = self == .transactionID ? "pg_current_xact_id()" : "freshet.token()"
            if self == .afterwards { try await writer.run(script: "COMMIT") }
            let text = try await writer.query("SELECT \(question)").requiredString(0, 0)
            if self != .afterwards { try await writer.run(script: "COMMIT") }
            let token = self == .transactionID ? UInt64(text).map { ReadToken(transaction: $0) } : ReadToken(text)
            return try #require(token)
        }
    }

    @Test(arguments: Source.allCases)
    func `a reader with a token loads while the worker has not applied the commit`(source: Source) async throws {
        try await scenario(tokenWait: .milliseconds(50)) { scenario, worker in
            worker.gate.hold(.claiming)
            try await worker.gate.stopped(at: .claiming)
            let token = try await source.commit(Self.change, in: scenario)
            // Who has no token reads from before; the entry is still valid.
            #expect(try await scenario.read(1, .environment(5)).ids == [10, 11])
            let found = try await read(scenario, token)
            #expect(found.workflows.map(\.id) == [10])
            #expect(found.environment == .miss(.behind))
            #expect(try await scenario.read(1, .environment(5)).ids == [10, 11])

            worker.gate.open(.claiming)
            try await worker.catchUp()
            _ = try await read(scenario, token)
            let again = try await read(scenario, token)
            #expect(again.workflows.map(\.id) == [10])
            #expect(again.environment == .hit)
        }
    }

    @Test func `a reader with a token waits for the worker, and answers from the cache`() async throws {
        try await scenario(tokenWait: .seconds(20)) { scenario, worker in
            worker.gate.hold(.claiming)
            try await worker.gate.stopped(at: .claiming)
            let token = try await Source.afterwards.commit(
                "UPDATE workflow_engine_detector SET name = 'other' WHERE id = 999",
                in: scenario
            )
            async let waiting = read(scenario, token)
            _ = try await scenario.read(1)
            worker.gate.open(.claiming)
            let found = try await waiting
            #expect(found.workflows.map(\.id) == [10, 11])
            #expect(found.environment == .hit)
        }
    }

    @Test func `a transaction open for long holds no reader up that waits for another`() async throws {
        try await scenario(tokenWait: .seconds(20)) { scenario, worker in
            let open = try await scenario.connect()
            try await open.run(script: "BEGIN; UPDATE workflow_engine_detector SET name = 'open' WHERE id = 1")
            let token = try await Source.afterwards.commit(Self.change, in: scenario)
            let found = try await read(scenario, token)
            #expect(found.workflows.map(\.id) == [10])
            #expect(found.environment != .miss(.behind))
            try await open.run(script: "ROLLBACK")
            await open.close()
        }
    }

    @Test func `without a worker that vouches a reader with a token loads at once`() async throws {
        try await scenario(tokenWait: .seconds(600)) { scenario, worker in
            try await worker.stop()
            try await scenario.command("HDEL", .string(scenario.headKey), "vouched")
            let token = try await Source.inside.commit(Self.change, in: scenario)
            let found = try await read(scenario, token)
            #expect(found.workflows.map(\.id) == [10])
            #expect(found.environment == .miss(.behind))
        }
    }

    @Test func `a token of another Postgres is never taken for applied`() async throws {
        try await scenario { scenario, worker in
            let found = try await read(scenario, ReadToken(transaction: 3, postgres: "1/1/another"))
            #expect(found.environment == .miss(.behind))
            #expect(try await read(scenario, ReadToken(transaction: 3)).environment == .hit)
        }
    }

    @Test func `what another Postgres has applied goes when the head changes hands`() async throws {
        try await scenario { scenario, worker in
            try await worker.stop()
            try await scenario.command(
                "HSET",
                .string(scenario.headKey),
                "pg",
                "1/1/before",
                "snapshot",
                "1000000:1000000:"
            )
            // A pass that does not vouch publishes no snapshot of its own.
            try await scenario.execute("ALTER TABLE workflow_engine_workflow DISABLE TRIGGER USER")
            let next = try await scenario.startWorker(waitUntilVouched: false)
            _ = try await eventually("the head to be of this Postgres") {
                try await scenario.field("pg", of: scenario.headKey) == Array("1/1/before".utf8) ? nil : true
            }
            #expect(try await scenario.field("snapshot", of: scenario.headKey) == nil)
            try await next.stop()
        }
    }
}
