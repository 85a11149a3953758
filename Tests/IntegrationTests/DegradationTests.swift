import Freshet
import InvalidationWorker
import Keyspace
import LocalServices
import Redis
import Subprocess
import Synchronization
import Testing

/// What a reader does while nobody vouches for the cache, while Redis is away or slow, and when it is told to do without.
@Suite struct DegradationTests {
    private func scenario(
        _ body: @Sendable (Scenario, LocalRedis) async throws -> Void
    ) async throws {
        try await Scenario.withOwnRedis { scenario, redis in
            try await scenario.insert(detectors: [1, 2], workflows: [(10, nil), (11, 5)])
            try await body(scenario, redis)
        }
    }

    private func options(_ policy: DegradationPolicy) -> CacheOptions {
        var options = CacheOptions()
        options.degradation = policy
        return options
    }

    // MARK: Policies

    @Test func `a policy says what is answered while nobody vouches`() async throws {
        try await scenario { scenario, _ in
            _ = try await scenario.read(1)
            let serving = try scenario.reader(options: options(.serve(upTo: .seconds(60))))
            let bypassing = try scenario.reader(options: options(.bypass))
            let failing = try scenario.reader(options: options(.fail))
            #expect(try await serving.workflows(ofDetectors: [1]).detectors.first?.global == .hit)
            #expect(try await bypassing.workflows(ofDetectors: [1]).detectors.first?.global == .miss(.degraded))
            let error = await #expect(throws: CacheError.self) { try await failing.workflows(ofDetectors: [1]) }
            #expect(error?.code == .degraded)
            #expect(error?.description.contains(scenario.namespace.description) == true)

            // Once a worker vouches, all three answer the same.
            try await scenario.startWorker()
            for reader in [serving, bypassing, failing] {
                #expect(try await reader.workflows(ofDetectors: [2]).workflows.map(\.id) == [10])
                #expect(try await reader.workflows(ofDetectors: [2]).detectors.first?.global == .hit)
            }
        }
    }

    @Test func `a policy says what is answered while Redis is away`() async throws {
        try await scenario { scenario, redis in
            let serving = try scenario.reader(options: options(.serve(upTo: .seconds(60))))
            let failing = try scenario.reader(options: options(.fail))
            try await redis.kill()
            let answer = try await serving.workflows(ofDetectors: [1], in: .environment(5))
            #expect(answer.trust == .unreachable)
            #expect(answer.workflows.map(\.id) == [10, 11])
            let calls = scenario.loads.calls.count
            let error = await #expect(throws: CacheError.self) { try await failing.workflows(ofDetectors: [1]) }
            #expect(error?.code == .unreachable)
            #expect(scenario.loads.calls.count == calls)
        }
    }

    // MARK: A Redis that is dead or slow

    @Test func `a Redis that stands still costs a few lookups its time limit, and then none, until it is back`()
        async throws
    {
        try await scenario { scenario, redis in
            try await scenario.startWorker()
            var configuration = try RedisConfiguration(url: redis.url)
            configuration.commandTimeLimit = .milliseconds(400)
            let node = RedisNode(configuration, logger: testLogger)
            var options = CacheOptions()
            options.breaker.failures = 2
            options.breaker.pause = .seconds(2)
            options.breaker.longestPause = .seconds(2)
            let probe = RedisProbe(node)
            let reader = try scenario.reader(redis: probe, options: options)
            _ = try await eventually("Redis to answer") {
                try await reader.workflows(ofDetectors: [1]).trust == .healthy ? true : nil
            }
            try redis.suspend()
            let (asked, start) = (probe.sent.count, ContinuousClock.now)
            for _ in 0..<20 {
                let answer = try await reader.workflows(ofDetectors: [1])
                #expect(answer.trust == .unreachable)
                #expect(answer.workflows.map(\.id) == [10])
            }
            // Two that open it, and a probe for each pause that the twenty took.
            let pauses = Int(start.duration(to: .now) / options.breaker.pause)
            #expect((2...2 + pauses).contains(probe.sent.count - asked))
            try redis.resume()
            _ = try await eventually("Redis to be asked again") {
                try await reader.workflows(ofDetectors: [1]).trust == .healthy ? true : nil
            }
            await node.close()
        }
    }

    @Test func `without Redis no more loads reach the database at once than are allowed`() async throws {
        try await scenario { scenario, redis in
            try await redis.kill()
            let gauge = Gauge()
            var options = CacheOptions()
            options.loads.maximumConcurrentLoads = 3
            let reader = try scenario.reader(options: options) { keys in
                try await gauge.measure { try await scenario.loads.load(keys) }
            }
            try await withThrowingTaskGroup(of: [Int64].self) { group in
                for number in 0..<300 {
                    group.addTask {
                        try await reader.workflows(ofDetectors: [Int64(1 + number % 2)], in: .environment(5))
                            .workflows.map(\.id)
                    }
                }
                for try await ids in group { #expect(ids == [10, 11]) }
            }
            #expect(gauge.most <= 3)
            #expect(gauge.all < 100)
        }
    }

    // MARK: The caller's say

    @Test func `a deadline ends a lookup, whatever it waits for`() async throws {
        try await scenario { scenario, _ in
            try await scenario.startWorker()
            let hold = scenario.loads.holdNext()
            let error = await #expect(throws: CacheError.self) {
                try await scenario.lookup.workflows(ofDetectors: [1], deadline: .now + .milliseconds(100))
            }
            #expect(error?.code == .deadlineExceeded)
            hold.release()
            // The next lookup is not concerned.
            #expect(try await scenario.read(1).ids == [10])
            #expect(
                try await scenario.lookup.workflows(ofDetectors: [1], deadline: .now + .seconds(20)).trust == .healthy
            )
        }
    }

    @Test func `a namespace is used by one cache of a process, until that is gone`() async throws {
        try await scenario { scenario, _ in
            let registry = CacheRegistry()
            @Sendable func reader() throws -> WorkflowLookup {
                var options = CacheOptions()
                options.registry = registry
                return try WorkflowLookup(
                    redis: scenario.redis,
                    namespace: scenario.namespace,
                    options: options,
                    loader: scenario.loads.load,
                    logger: testLogger
                )
            }
            do {
                let first = try reader()
                let error = #expect(throws: CacheError.self) { try reader() }
                #expect(error?.code == .namespaceInUse)
                #expect(error?.description.contains("namespace \(scenario.namespace)") == true)
                _ = try await first.workflows(ofDetectors: [1])
            }
            // What a load leaves behind may hold it for a moment longer.
            _ = try await eventually("the namespace to be free") {
                do {
                    return try reader()
                } catch let error as CacheError where error.code == .namespaceInUse {
                    return nil
                }
            }
        }
    }

    @Test func `freshet cache off and on change what all readers do`() async throws {
        try await scenario { scenario, redis in
            try await scenario.startWorker()
            try await scenario.warm([1], [.environment(5)])
            let arguments = [
                "--redis", redis.url, "--prefix", scenario.namespace.prefix, "--namespace", scenario.namespace.name,
            ]
            let off = try await freshet(["cache", "off"] + arguments)
            #expect(off.status == .exited(0) && off.output.hasPrefix("\(scenario.namespace): off\n"))
            let further = scenario.namespace.sibling(named: "datasources").headKey(bucket: 0)
            #expect(try await scenario.field("switch", of: further) == Array("off".utf8))
            let found = try await scenario.read(1, .environment(5))
            #expect(found.trust == .disabled && found.ids == [10, 11])
            // The worker's passes leave the switch as it is.
            try await scenario.execute("UPDATE workflow_engine_workflow SET enabled = false WHERE id = 11")
            #expect(try await scenario.read(1, .environment(5)).trust == .disabled)
            let on = try await freshet(["cache", "on"] + arguments)
            #expect(on.status == .exited(0))
            try await scenario.reach(.healthy)
            _ = try await eventually("the change of meanwhile") {
                try await scenario.read(1, .environment(5)).ids == [10] ? true : nil
            }
        }
    }
}

/// Counts how many of something go on at once.
private final class Gauge: Sendable {
    private struct Counts {
        var now = 0
        var most = 0
        var all = 0
    }

    private let counts = Mutex(Counts())

    var most: Int { counts.withLock { $0.most } }
    var all: Int { counts.withLock { $0.all } }

    func measure<Result>(_ body: () async throws -> Result) async rethrows -> Result {
        counts.withLock { counts in
            counts.now += 1
            counts.all += 1
            counts.most = max(counts.most, counts.now)
        }
        defer { counts.withLock { $0.now -= 1 } }
        return try await body()
    }
}
