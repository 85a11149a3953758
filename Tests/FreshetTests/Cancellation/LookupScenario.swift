import Keyspace
import Testing

@testable import Freshet

/// One way that a lookup can take, and what comes of it when nobody interferes.
struct LookupScenario: Sendable, CustomTestStringConvertible {
    var testDescription: String
    /// What Redis has before the lookup.
    var redis = MemoryRedis.vouched
    /// What happens in Redis before its n-th read.
    var beforeRead: @Sendable (Int, inout MemoryRedis) -> Void = { _, _ in }
    var loadFails = false
    var options: @Sendable (inout CacheOptions) -> Void = { _ in }
    var detectors: [Int64] = [1]
    var token: ReadToken?
    var hasDeadline = false
    /// What other lookups of the process ask for, that begin before this one, and after it.
    var before: [[Int64]] = []
    var after: [[Int64]] = []
    /// How many loads there are where all is shared that can be: one may come when what it would have shared has just ended.
    var loadCount = 1...1
    /// Whether another process still claims something in the end.
    var leavesClaimOfOther = false
}

extension LookupScenario {
    /// A wait that is never over before what is waited for has come.
    private static let longWait = Duration.seconds(3_600)
    private static let shortWait = Duration.milliseconds(3)

    private static func changed(_ redis: MemoryRedis = .vouched, _ body: (inout MemoryRedis) -> Void) -> MemoryRedis {
        var redis = redis
        body(&redis)
        return redis
    }

    private static func payload(_ detector: Int64) -> [UInt8] {
        WorkflowCodec.encode(SteppedServers.workflows(of: detector))
    }

    static let all: [LookupScenario] = hits + misses + shared + waits

    private static let hits = [
        LookupScenario(
            testDescription: "a hit",
            redis: changed { $0.store(1, payload: payload(1)) },
            loadCount: 0...0
        ),
        LookupScenario(
            testDescription: "a hit within a deadline",
            redis: changed { $0.store(1, payload: payload(1)) },
            hasDeadline: true,
            loadCount: 0...0
        ),
    ]

    private static let misses = [
        LookupScenario(testDescription: "a miss of a namespace without a generation", redis: MemoryRedis()),
        LookupScenario(testDescription: "a miss"),
        LookupScenario(testDescription: "a miss within a deadline", hasDeadline: true),
        LookupScenario(
            testDescription: "a miss that waits for others to share its query",
            options: { $0.loads.window = .milliseconds(1) }
        ),
        LookupScenario(testDescription: "a miss whose load fails", loadFails: true),
        LookupScenario(
            testDescription: "a miss beside a hit",
            redis: changed { $0.store(2, payload: payload(2)) },
            detectors: [1, 2]
        ),
        LookupScenario(testDescription: "a Redis that does not answer", redis: changed { $0.isDown = true }),
        LookupScenario(testDescription: "a cache that is switched off", redis: changed { $0.head["switch"] = "off" }),
    ]

    private static let shared = [
        LookupScenario(testDescription: "a load that another lookup began", before: [[1]]),
        LookupScenario(testDescription: "a load that another lookup joins", after: [[1]]),
        LookupScenario(testDescription: "a load that another lookup joins, which fails", loadFails: true, after: [[1]]),
        LookupScenario(
            testDescription: "a load that another lookup began, within a deadline",
            hasDeadline: true,
            before: [[1]],
            after: [[1]]
        ),
        LookupScenario(
            testDescription: "one query at a time, and others in line",
            options: { $0.loads.maximumConcurrentLoads = 1 },
            detectors: [1, 2],
            before: [[3]],
            after: [[4]],
            loadCount: 2...3
        ),
        LookupScenario(
            testDescription:
                "a part of its own, a part that another lookup loads, and a part that another process loads",
            redis: changed { $0.claimForOther(3) },
            beforeRead: { number, redis in if number >= 4 { redis.store(3, payload: payload(3)) } },
            options: { $0.sharing.wait = longWait },
            detectors: [1, 2, 3],
            before: [[2]],
            after: [[1, 3]],
            loadCount: 1...3
        ),
    ]

    private static let waits = [
        LookupScenario(
            testDescription: "a claim of another process, which stores the value",
            redis: changed { $0.claimForOther(1) },
            beforeRead: { number, redis in if number >= 3 { redis.store(1, payload: payload(1)) } },
            options: { $0.sharing.wait = longWait },
            loadCount: 0...0
        ),
        LookupScenario(
            testDescription: "a claim of another process, which gives it up",
            redis: changed { $0.claimForOther(1) },
            beforeRead: { number, redis in if number == 3 { redis.releaseForOther(1) } },
            options: { $0.sharing.wait = longWait }
        ),
        LookupScenario(
            testDescription: "a claim of another process, which keeps it for too long",
            redis: changed { $0.claimForOther(1) },
            options: { $0.sharing.wait = shortWait },
            leavesClaimOfOther: true
        ),
        LookupScenario(
            testDescription: "a token that is applied after a while",
            redis: changed { $0.head["snapshot"] = "1:5:" },
            beforeRead: { number, redis in if number >= 3 { redis.head["snapshot"] = "9:9:" } },
            options: { $0.tokenWait = longWait },
            token: ReadToken(transaction: 7, postgres: MemoryRedis.identity)
        ),
        LookupScenario(
            testDescription: "a token that is applied after a while, within a deadline, for what is cached",
            redis: changed {
                $0.head["snapshot"] = "1:5:"
                $0.store(1, payload: payload(1))
            },
            beforeRead: { number, redis in if number >= 3 { redis.head["snapshot"] = "9:9:" } },
            options: { $0.tokenWait = longWait },
            token: ReadToken(transaction: 7, postgres: MemoryRedis.identity),
            hasDeadline: true,
            loadCount: 0...0
        ),
        LookupScenario(
            testDescription: "a token that is not applied in time",
            redis: changed { $0.head["snapshot"] = "1:5:" },
            options: { $0.tokenWait = shortWait },
            token: ReadToken(transaction: 7, postgres: MemoryRedis.identity)
        ),
    ]
}
