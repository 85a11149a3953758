import Freshet
import NIOConcurrencyHelpers
import Redis
import TestSupport

/// The Redis and the database of a cache, on a stage; only the cache retains them.
final class SteppedServers: RedisClient {
    /// What becomes of a command whose caller is cancelled.
    enum Fate: Sendable, CaseIterable {
        /// It was executed before, and its reply was on the way.
        case executed
        /// It is executed afterwards: it was on the way itself.
        case underway
        /// It is never sent.
        case unsent
    }

    /// What is in Redis, and what was asked of the database: for the test, which outlives the cache.
    final class Contents: Sendable {
        let redis: NIOLockedValueBox<MemoryRedis>
        let loads = NIOLockedValueBox((begun: 0, running: 0))

        init(_ redis: MemoryRedis) {
            self.redis = NIOLockedValueBox(redis)
        }
    }

    struct LoadFailed: Error {}

    private let stage: SteppedStage
    private let contents: Contents
    private let fate: Fate
    private let loadFails: Bool
    private let beforeRead: @Sendable (_ number: Int, inout MemoryRedis) -> Void

    /// - Parameter beforeRead: Changes what is in Redis before its n-th read, counted from 1.
    init(
        on stage: SteppedStage,
        _ contents: Contents,
        fate: Fate,
        loadFails: Bool,
        beforeRead: @escaping @Sendable (_ number: Int, inout MemoryRedis) -> Void
    ) {
        self.stage = stage
        self.contents = contents
        self.fate = fate
        self.loadFails = loadFails
        self.beforeRead = beforeRead
    }

    deinit { stage.forget() }

    func send(_ batches: [RedisBatch], timeLimit: Duration?) async throws(RedisError) -> [[RedisReply]] {
        guard !Task.isCancelled else { throw RedisError(.cancelled, "cancelled before it was sent") }
        let answer = NIOLockedValueBox<Result<[[RedisReply]], RedisError>?>(nil)
        let execute: @Sendable () -> Void = { [contents, beforeRead] in
            let result = contents.redis.withLockedValue { redis in
                Result { () throws(RedisError) in
                    let number = redis.readCount + 1
                    if MemoryRedis.purpose(of: batches) == .read { beforeRead(number, &redis) }
                    return try redis.execute(batches)
                }
            }
            answer.withLockedValue { $0 = result }
        }
        if fate == .executed { execute() }
        let isAnswered = await stage.hold(MemoryRedis.purpose(of: batches).rawValue) { [fate] isCancelled in
            if isCancelled ? fate == .underway : fate != .executed { execute() }
        }
        guard isAnswered, let answer = answer.withLockedValue({ $0 }) else {
            throw RedisError(.cancelled, "cancelled while it waited for the reply")
        }
        return try answer.get()
    }

    func load(_ keys: [DetectorWorkflowsKey]) async throws -> LoadedValues<DetectorWorkflowsKey, [Workflow]> {
        contents.loads.withLockedValue { $0 = ($0.begun + 1, $0.running + 1) }
        defer { contents.loads.withLockedValue { $0.running -= 1 } }
        guard await stage.hold("load", isForCallers: true) else { throw CancellationError() }
        if loadFails { throw LoadFailed() }
        return LoadedValues(
            values: Dictionary(keys.map { ($0, Self.workflows(of: $0.detectorID)) }) { first, _ in first },
            postgres: MemoryRedis.identity
        )
    }

    /// What the database has.
    static func workflows(of detector: Int64) -> [Workflow] {
        [
            Workflow(
                id: detector * 10,
                name: "of \(detector)",
                isEnabled: true,
                status: 0,
                config: "{}",
                organizationID: 1,
                environmentID: nil,
                whenConditionGroupID: nil,
                ownerUserID: nil,
                ownerTeamID: nil,
                createdByID: nil,
                dateAdded: .init(microsecondsSince1970: 0),
                dateUpdated: .init(microsecondsSince1970: 0)
            )
        ]
    }
}
