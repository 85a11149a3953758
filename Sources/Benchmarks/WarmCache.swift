import Freshet
import Keyspace
import Redis

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// Detectors with two entries each, of the global workflows and of one environment's, filled and vouched for.
struct WarmCache {
    static let environment: Int64 = 7
    static let workflowsPerEntry = 3

    let namespace = CacheNamespace.workflows
    let detectors: [Int64]

    /// Workflows as an installation has them: a name of a few words, a small configuration, some columns absent.
    static func workflows(of detector: Int64, in environment: Int64?) -> [Workflow] {
        (0..<Int64(workflowsPerEntry)).map { index in
            let id = detector * 100 + index + (environment == nil ? 0 : 10)
            return Workflow(
                id: id,
                name: "Notify the team on call of \(id)",
                isEnabled: true,
                status: 0,
                config: #"{"frequency": 30, "targets": ["email", "chat"], "quiet": false}"#,
                organizationID: 1,
                environmentID: environment,
                whenConditionGroupID: id + 1,
                ownerUserID: nil,
                ownerTeamID: index == 0 ? 4 : nil,
                createdByID: 12,
                dateAdded: Date(microsecondsSince1970: 1_700_000_000_123_456),
                dateUpdated: Date(microsecondsSince1970: 1_730_000_000_654_321)
            )
        }
    }

    /// Detectors that somebody else has filled.
    init(filled detectors: [Int64]) {
        self.detectors = detectors
    }

    /// Fills an empty Redis.
    init(detectorCount: Int64, on redis: BareRedis) throws {
        detectors = Array(1...detectorCount)
        _ = try redis.text("FLUSHALL")
        let head = namespace.headKey(bucket: 0)
        let generation = Generation.seed()
        // Vouched for a day, which is as good as a worker that vouches every second.
        let time = try redis.time()
        let vouch = ["vouched", "\(time)", "lease", "86400000", "pg", "1/1/a"]
        try redis.roundTrip(BareRedis.Commands([["HSET", head, "gen", "\(generation)"] + vouch]))
        for detector in detectors {
            let key = namespace.key(of: Entity(detector))
            let own = Generation.seed()
            try redis.roundTrip(BareRedis.Commands([["HSET", key, "g", "\(own)"]]))
            for environment in [nil, Self.environment] {
                let variant = environment.map { Variant($0) } ?? .global
                let stamp = EntryStamp(
                    namespace: generation,
                    entity: own,
                    variant: nil,
                    readAt: RedisTime(microseconds: time)
                )
                let payload = WorkflowCodec.encode(Self.workflows(of: detector, in: environment))
                let entry = EntryCodec.encode(Entry(stamp: stamp, payload: payload[...]))
                try redis.roundTrip(
                    BareRedis.Commands(words: [["HSET", key, "e:\(variant)"].map { Array($0.utf8) } + [entry]])
                )
            }
        }
    }

    /// The commands of a lookup of some detectors, as the contract has them.
    func commands(for detectors: some Sequence<Int64>) -> [[String]] {
        let head = ["HMGET", namespace.headKey(bucket: 0)] + Head.readerFields
        return [["MULTI"], head, ["TIME"]] + detectors.map(command) + [["EXEC"]]
    }

    /// The same as a batch of the client's.
    func batch(for detectors: some Sequence<Int64>) -> RedisBatch {
        let commands = commands(for: detectors).dropFirst().dropLast().map { words in
            RedisCommand(words[0], arguments: words.dropFirst().map { RedisArgument.string($0) })
        }
        return RedisBatch(key: namespace.headKey(bucket: 0), commands: commands, isTransaction: true)
    }

    /// The command that reads one detector.
    func command(for detector: Int64) -> [String] {
        let fields = ["g", "g:-", "e:-", "g:\(Self.environment)", "e:\(Self.environment)"]
        return ["HMGET", namespace.key(of: Entity(detector))] + fields
    }
}

/// A loader was called, or a lookup answered something else than what is cached.
struct NotWarm: Error, CustomStringConvertible {
    var description: String
}
