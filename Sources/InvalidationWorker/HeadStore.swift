import Keyspace
import Redis
import Surroundings

/// The worker's side of Redis: observing the heads, and applying a pass.
struct HeadStore: Sendable {
    let redis: any RedisClient
    let limits: KeyspaceLimits
    var surroundings = Surroundings.system

    /// Why a pass did not apply.
    enum Failure: Error {
        /// A head was no longer as observed.
        case fenced
        /// A server said no, for example because it is a replica.
        case refused(RedisServerError)
    }

    private static let apply = RedisScript(
        name: KeyspaceScript.apply.name,
        source: KeyspaceScript.apply.source
    )

    private static let hint = RedisScript(
        name: KeyspaceScript.hint.name,
        source: KeyspaceScript.hint.source
    )

    /// The heads of all buckets of some namespaces, and the time of the server that each is on, in one round trip.
    ///
    /// Not in a transaction: a full Redis queues nothing for one. The time comes first, which is all that a promise needs,
    /// and the script compares the head again before it changes anything.
    func observe(_ namespaces: [CacheNamespace]) async throws -> [CacheNamespace: [ObservedHead]] {
        let buckets = namespaces.flatMap { namespace in namespace.buckets.map { (namespace, $0) } }
        let replies = try await redis.send(
            buckets.map { namespace, bucket in
                let key = namespace.headKey(bucket: bucket)
                return RedisBatch(
                    key: key,
                    commands: [RedisCommand("TIME"), RedisCommand("HMGET", .string(key), "mark", "pg")]
                )
            }
        )
        var heads: [CacheNamespace: [ObservedHead]] = [:]
        for ((namespace, _), replies) in zip(buckets, replies) {
            heads[namespace, default: []].append(try Self.head(replies))
        }
        return heads
    }

    private static func head(_ replies: [RedisReply]) throws -> ObservedHead {
        guard replies.count == 2, let microseconds = replies[0].serverTimeInMicroseconds else {
            if case .error(let error)? = replies.first { throw Failure.refused(error) }
            throw WorkerError.unexpectedReply("\(replies)")
        }
        let time = RedisTime(microseconds: microseconds)
        switch replies[1] {
        case .array(let fields) where fields.count == 2:
            let fence = BucketPass.Fence(mark: Self.signature(fields[0]), postgres: Self.signature(fields[1]))
            return ObservedHead(fence: fence, time: time)
        case .error(let error) where error.code == "WRONGTYPE":
            // Something else lies where the head should be. The script removes it, and finds no mark.
            return ObservedHead(fence: BucketPass.Fence(mark: "", postgres: ""), time: time)
        case .error(let error):
            throw Failure.refused(error)
        default:
            throw WorkerError.unexpectedReply("\(replies[1])")
        }
    }

    /// A mark or an identity; empty, as the script has it, for what no worker can have written.
    private static func signature(_ reply: RedisReply) -> String {
        guard let bytes = reply.bytes, bytes.allSatisfy({ (0x20...0x7E).contains($0) }) else { return "" }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// Runs the scripts of some plans, in order: as one pipeline where they are few, else in several.
    ///
    /// - Returns: What became of each plan.
    /// - Throws: ``Failure``, or `RedisError` where it is not known what was applied. A part may have been applied then; the
    ///   next pass sees that by the mark.
    func apply(_ plans: [PassPlan]) async throws -> [PassOutcome] {
        let runs = plans.enumerated().flatMap { place, plan in
            plan.passes.map { Run(plan: place, namespace: plan.namespace, bucket: $0.bucket, pass: $0.pass) }
        }
        var outcomes = Array(repeating: PassOutcome(), count: plans.count)
        func send(_ batches: [RedisBatch], of runs: ArraySlice<Run>) async throws {
            for (run, replies) in zip(runs, try await redis.send(batches)) {
                for reply in replies { try outcomes[run.plan].add(reply) }
            }
        }
        guard !runs.isEmpty else { return outcomes }
        var part = runs.prefix(Self.scriptsOfTheFirstPipeline)
        var batches = batches(of: part)
        while part.endIndex < runs.endIndex {
            let following = runs[part.endIndex...].prefix(Self.scriptsPerPipeline)
            // Written down while the server runs those before.
            async let next = self.batches(of: following)
            try await send(batches, of: part)
            (part, batches) = (following, await next)
        }
        try await send(batches, of: part)
        return outcomes
    }

    /// How many scripts wait for each other in one pipeline.
    ///
    /// A script of 100 entities takes about 1 ms, so that even a large batch stays far below the time limit of a call.
    private static let scriptsPerPipeline = 64
    /// Few, so that the server has something to do while the rest is written down.
    private static let scriptsOfTheFirstPipeline = 16

    /// One run of the script.
    private struct Run: Sendable {
        var plan: Int
        var namespace: CacheNamespace
        var bucket: Int
        var pass: BucketPass
    }

    private func batches(of runs: ArraySlice<Run>) -> [RedisBatch] {
        runs.map { run in
            var batch = RedisBatch(key: run.namespace.headKey(bucket: run.bucket))
            batch.append(
                Self.apply,
                keys: run.pass.keys(bucket: run.bucket, in: run.namespace),
                arguments: run.pass.arguments(nonce: surroundings.next(), limits: limits).map { RedisArgument($0) }
            )
            return batch
        }
    }
}

extension HeadStore {
    /// What became of some bumps ahead of a pass.
    struct HintOutcome {
        /// Where each has left the chain of its bucket, in order.
        var marks: [HintMark] = []
        /// What they bumped.
        var outcome = PassOutcome()
    }

    /// Bumps in some buckets, in order, ahead of the pass that claims what was changed.
    ///
    /// - Throws: As ``apply(_:)``; then it is not known what was bumped.
    func hint(_ bumps: [(bucket: Int, bump: HintedBump)], in namespace: CacheNamespace) async throws -> HintOutcome {
        var outcome = HintOutcome()
        for start in stride(from: 0, to: bumps.count, by: Self.scriptsPerPipeline) {
            let part = bumps[start..<min(start + Self.scriptsPerPipeline, bumps.count)]
            let batches = part.map { bucket, bump in
                var batch = RedisBatch(key: namespace.headKey(bucket: bucket))
                batch.append(
                    Self.hint,
                    keys: bump.keys(bucket: bucket, in: namespace),
                    arguments: bump.arguments(nonce: surroundings.next(), limits: limits).map { RedisArgument($0) }
                )
                return batch
            }
            for ((_, bump), replies) in zip(part, try await redis.send(batches)) {
                for reply in replies { outcome.marks.append(try outcome.outcome.add(reply, of: bump)) }
            }
        }
        return outcome
    }
}

extension PassOutcome {
    /// Adds what one bump ahead of a pass answered, and returns where it has left the chain.
    fileprivate mutating func add(_ reply: RedisReply, of bump: HintedBump) throws -> HintMark {
        switch reply {
        case .array(let fields) where fields.count == 5:
            let text = fields[0].string
            guard let mark = [bump.next, bump.beginning].first(where: { $0.description == text }) else {
                throw WorkerError.unexpectedReply("\(reply)")
            }
            try addCounts(fields[1...], of: reply)
            return mark
        case .error(let error):
            throw HeadStore.Failure.refused(error)
        default:
            throw WorkerError.unexpectedReply("\(reply)")
        }
    }

    /// Adds how many entities and variants were bumped, and how many were absent or damaged.
    private mutating func addCounts(_ fields: some Sequence<RedisReply>, of reply: RedisReply) throws {
        // No run bumps more than it has arguments; sums of more could trap.
        let counts = fields.compactMap(\.int64).filter { (0...Int64(Int32.max)).contains($0) }
        guard counts.count == 4 else { throw WorkerError.unexpectedReply("\(reply)") }
        bumpedEntities += counts[0]
        bumpedVariants += counts[1]
        absentEntities += counts[2]
        damagedKeys += counts[3]
    }

    /// Adds what one run of the script answered.
    fileprivate mutating func add(_ reply: RedisReply) throws {
        switch reply {
        case .array(let fields) where fields.first?.string == "applied" && fields.count == 6:
            try addCounts(fields[2...], of: reply)
            if generation == nil { generation = fields[1].string }
        case .array(let fields) where fields.first?.string == "fenced":
            throw HeadStore.Failure.fenced
        case .error(let error):
            throw HeadStore.Failure.refused(error)
        default:
            throw WorkerError.unexpectedReply("\(reply)")
        }
    }
}
