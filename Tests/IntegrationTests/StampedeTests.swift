import Foundation
import Freshet
import FreshetPostgres
import InvalidationWorker
import Keyspace
import LocalServices
import Logging
import Postgres
import Redis
import Testing

/// Many who miss the same at once, in one process and in several.
@Suite struct StampedeTests {
    private static let detectors: ClosedRange<Int64> = 1...2_000

    @Test func `after a bump of the namespace four processes of fifty readers load each key about once`() async throws {
        // Who reads without a promise loads by itself what another loads for longer than that.
        try await Scenario.run(limits: KeyspaceLimits(lease: .seconds(60)), alone: true) { scenario in
            try await scenario.execute(
                """
                INSERT INTO workflow_engine_detector (id) SELECT generate_series(1, \(Self.detectors.upperBound));
                INSERT INTO workflow_engine_workflow (id) VALUES (10);
                INSERT INTO workflow_engine_detectorworkflow (detector_id, workflow_id)
                SELECT id, 10 FROM workflow_engine_detector
                """
            )
            let worker = try await scenario.startWorker()
            try await worker.catchUp()
            try await scenario.warm(Array(Self.detectors), [.global])
            try await scenario.execute("SELECT freshet.invalidate_all()")
            try await worker.catchUp()

            let prefix = scenario.namespace.prefix
            let places = [
                "FRESHET_TEST_PREFIX": prefix,
                "FRESHET_TEST_REDIS": scenario.servers.redis.url,
                "FRESHET_TEST_POSTGRES": scenario.servers.postgres.connectionString(
                    database: scenario.database,
                    user: Servers.Roles.reader
                ),
            ]
            try await withThrowingTaskGroup(of: Void.self) { group in
                for _ in 1...4 {
                    group.addTask { try await runThisProgram(filter: "StampedeTests.*one of the processes", places) }
                }
                _ = try await eventually("four processes to be ready", within: .seconds(120)) {
                    try await scenario.command("GET", .string("\(prefix) ready")).int64 == 4 ? true : nil
                }
                try await scenario.command("SET", .string("\(prefix) go"), "1")
                try await group.waitForAll()
            }
            let loaded = try #require(try await scenario.command("GET", .string("\(prefix) loaded")).int64)
            print("stampede: \(loaded) keys loaded for \(Self.detectors.count) that 200 readers asked for")
            #expect(loaded >= Self.detectors.count)
            #expect(Double(loaded) <= 1.2 * Double(Self.detectors.count))
        }
    }

    private static func place(_ name: String) -> String? { ProcessInfo.processInfo.environment[name] }

    /// Fifty readers, each of which reads everything, a hundred detectors at a time.
    ///
    /// Run by the test above, in processes of their own.
    @Test(.enabled(if: place("FRESHET_TEST_PREFIX") != nil))
    func `one of the processes`() async throws {
        let prefix = try #require(Self.place("FRESHET_TEST_PREFIX"))
        let redis = try #require(Self.place("FRESHET_TEST_REDIS"))
        let postgres = try #require(Self.place("FRESHET_TEST_POSTGRES"))
        let logger = Logger(label: "reader") { _ in SwiftLogNoOpLogHandler() }
        var configuration = try RedisConfiguration(url: redis)
        configuration.commandTimeLimit = .seconds(20)
        let node = RedisNode(configuration, logger: logger)
        let pool = PostgresPool(
            configuration: PostgresConfiguration(connectionString: postgres),
            maximumConnections: 4,
            logger: logger
        )
        let loader = PostgresWorkflowLoader(pool: pool)
        // What is held against a bound is the sharing, not the speed of a machine that builds something else meanwhile.
        var options = CacheOptions()
        options.sharing.wait = .seconds(20)
        options.sharing.claimAge = .seconds(20)
        options.breaker.slow = .seconds(20)
        let lookup = try WorkflowLookup(
            redis: node,
            namespace: CacheNamespace(prefix: prefix),
            options: options,
            loader: { keys in
                let count = RedisCommand("INCRBY", .string("\(prefix) loaded"), .integer(Int64(keys.count)))
                _ = try await node.send(count, key: prefix).get()
                return try await loader.load(keys)
            },
            logger: logger
        )
        _ = try await node.send(RedisCommand("INCR", .string("\(prefix) ready")), key: prefix).get()
        _ = try await eventually("the start") {
            try await node.send(RedisCommand("GET", .string("\(prefix) go")), key: prefix).isNull ? nil : true
        }
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 1...50 {
                group.addTask {
                    let shuffled = Array(Self.detectors).shuffled()
                    for start in stride(from: 0, to: shuffled.count, by: 100) {
                        let part = shuffled[start..<min(start + 100, shuffled.count)]
                        let answer = try await lookup.workflows(ofDetectors: part)
                        guard answer.workflows.map(\.id) == [10] else { throw WrongAnswer() }
                    }
                }
            }
            try await group.waitForAll()
        }
        await pool.close()
        await node.close()
    }

    private struct WrongAnswer: Error {}

    private func scenario(_ body: @Sendable (Scenario) async throws -> Void) async throws {
        try await Scenario.run { scenario in
            try await scenario.insert(detectors: Array(1...40), workflows: [(10, nil), (11, 5)])
            let worker = try await scenario.startWorker()
            try await worker.catchUp()
            try await body(scenario)
        }
    }

    @Test func `misses of different keys within a short window share one query`() async throws {
        try await scenario { scenario in
            var options = CacheOptions()
            options.loads.window = .seconds(4)
            let reader = try scenario.reader(options: options)
            let calls = scenario.loads.calls.count
            try await withThrowingTaskGroup(of: [Int64].self) { group in
                for detector in 1...40 as ClosedRange<Int64> {
                    group.addTask { try await reader.workflows(ofDetectors: [detector]).workflows.map(\.id) }
                }
                for try await ids in group { #expect(ids == [10]) }
            }
            #expect(scenario.loads.calls.count - calls == 1)
            #expect(scenario.loads.calls.last == 40)
        }
    }

    @Test func `of two processes that miss the same one loads, and the other waits for the value`() async throws {
        try await scenario { scenario in
            var options = CacheOptions()
            options.sharing.wait = .seconds(20)
            let other = try scenario.reader(options: options)
            let hold = scenario.loads.holdNext()
            async let first = scenario.read(1)
            try await hold.queried()
            let calls = scenario.loads.calls.count
            async let second = other.workflows(ofDetectors: [1])
            // It has seen the claim when it looks again.
            _ = try await eventually("the other to wait") {
                try await scenario.command("EXISTS", .string(scenario.namespace.claimKey(of: Entity(1), .global)))
                    == .integer(1) ? true : nil
            }
            hold.release()
            #expect(try await first.ids == [10])
            let answer = try await second
            #expect(answer.workflows.map(\.id) == [10])
            #expect(scenario.loads.calls.count == calls)
            #expect(
                try await scenario.command("EXISTS", .string(scenario.namespace.claimKey(of: Entity(1), .global)))
                    == .integer(0)
            )
        }
    }

    @Test func `an entry that came between the read and the claim is read, not loaded`() async throws {
        try await scenario { scenario in
            let relay = DelayingClient(scenario.redis)
            let late = try scenario.reader(redis: relay)
            async let answer = late.workflows(ofDetectors: [1])
            try await relay.hasRead()
            #expect(try await scenario.read(1).ids == [10])
            let calls = scenario.loads.calls.count
            relay.goOn()
            #expect(try await answer.workflows.map(\.id) == [10])
            #expect(scenario.loads.calls.count == calls)
        }
    }

    @Test func `who waits for another process loads after a bound`() async throws {
        try await scenario { scenario in
            var options = CacheOptions()
            options.sharing.wait = .milliseconds(50)
            let other = try scenario.reader(options: options)
            let hold = scenario.loads.holdNext()
            async let first = scenario.read(1)
            try await hold.queried()
            #expect(try await other.workflows(ofDetectors: [1]).workflows.map(\.id) == [10])
            hold.release()
            #expect(try await first.ids == [10])
        }
    }

    /// How old an entry may be counts from each lookup by itself.
    @Test func `what one lookup has found while nobody vouches is not shared with a later one`() async throws {
        try await Scenario.run { scenario in
            try await scenario.insert(detectors: [1, 2], workflows: [(10, nil)])
            var options = CacheOptions()
            options.degradation = .serve(upTo: .seconds(3_600))
            options.sharing.wait = .seconds(600)
            options.sharing.claimAge = .seconds(600)
            let client = CountingClient(scenario.redis)
            let (first, second) = (try scenario.reader(options: options), try scenario.reader(options: options))
            let waiting = try scenario.reader(redis: client, options: options)

            // Two processes load a detector each, and another waits for both.
            let firstHold = scenario.loads.holdNext()
            async let ofFirst = first.workflows(ofDetectors: [1])
            try await firstHold.queried()
            let secondHold = scenario.loads.holdNext()
            async let ofSecond = second.workflows(ofDetectors: [2])
            try await secondHold.queried()
            async let early = waiting.workflows(ofDetectors: [1, 2])
            try await client.answers.wait(for: .answered, count: 2)
            firstHold.release()
            #expect(try await ofFirst.workflows.map(\.id) == [10])
            // By the third answer from now a look has come back that began after this.
            try await client.answers.wait(for: .answered, count: client.answers.count(of: .answered) + 3)

            // What was found is what a later lookup must not be given: it is too old by then, which is told by its not being there.
            try await scenario.execute("DELETE FROM workflow_engine_detectorworkflow WHERE detector_id = 1")
            _ = try await scenario.command("HDEL", .string(scenario.key(1)), "e:-")
            let late = try await waiting.workflows(ofDetectors: [1], deadline: .now + .seconds(20))
            #expect(late.workflows.isEmpty)
            secondHold.release()
            _ = try await ofSecond
            #expect(try await early.detectors.map { $0.workflows.map(\.id) } == [[10], [10]])
        }
    }

    @Test func `a load that fails does not make other processes wait`() async throws {
        struct Broken: Error {}
        try await scenario { scenario in
            var options = CacheOptions()
            options.sharing.wait = .seconds(600)
            options.sharing.claimAge = .seconds(600)
            let broken = try scenario.reader(options: options) { _ in throw Broken() }
            let whole = try scenario.reader(options: options)
            await #expect(throws: Broken.self) { try await broken.workflows(ofDetectors: [1]) }
            #expect(try await whole.workflows(ofDetectors: [1]).workflows.map(\.id) == [10])
            #expect(try await whole.workflows(ofDetectors: [1]).detectors.first?.global == .hit)
        }
    }

    @Test func `a bump makes the claims from before it void`() async throws {
        try await Scenario.run { scenario in
            try await scenario.insert(detectors: [1], workflows: [(10, nil), (11, nil)])
            let worker = try await scenario.startWorker()
            try await worker.catchUp()
            var options = CacheOptions()
            options.sharing.wait = .seconds(600)
            let other = try scenario.reader(options: options)
            let hold = scenario.loads.holdNext()
            async let first = scenario.read(1)
            try await hold.queried()
            try await scenario.execute("UPDATE workflow_engine_workflow SET enabled = false WHERE id = 11")
            try await worker.catchUp()
            #expect(try await other.workflows(ofDetectors: [1]).workflows.map(\.id) == [10])
            hold.release()
            _ = try await first
            #expect(try await scenario.read(1).ids == [10])
        }
    }
}

/// A client that counts its answers.
private final class CountingClient: RedisClient {
    enum Place: Hashable, Sendable { case answered }

    let answers = Arrivals<Place>()
    private let client: any RedisClient

    init(_ client: any RedisClient) {
        self.client = client
    }

    func send(_ batches: [RedisBatch], timeLimit: Duration?) async throws(RedisError) -> [[RedisReply]] {
        let replies = try await client.send(batches, timeLimit: timeLimit)
        answers.arrive(at: .answered)
        return replies
    }
}

/// A client that holds its caller between the first answer and what the caller does with it.
private final class DelayingClient: RedisClient {
    private enum Place: Hashable, Sendable { case read, released }

    private let client: any RedisClient
    private let places = Arrivals<Place>()

    init(_ client: any RedisClient) {
        self.client = client
    }

    func hasRead() async throws { try await places.wait(for: .read, count: 1) }

    func goOn() { places.arrive(at: .released) }

    func send(_ batches: [RedisBatch], timeLimit: Duration?) async throws(RedisError) -> [[RedisReply]] {
        let replies = try await client.send(batches, timeLimit: timeLimit)
        if places.count(of: .read) == 0 {
            places.arrive(at: .read)
            do {
                try await places.wait(for: .released, count: 1)
            } catch {
                throw RedisError(.cancelled, "\(error)")
            }
        }
        return replies
    }
}
