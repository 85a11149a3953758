// Who loads what, among the processes that miss the same.
//
// Before it loads, a reader claims: the first to come is told to load, the others that somebody does already, for the
// generations they have all read. Those wait for the value, looking for it again and again, for longer each time, up to a
// bound; then they load by themselves. A claim is taken back by the fill, stored or not, by a load that failed, and where its
// caller was cancelled before it loaded; it expires by itself after a reader that died, and a bump makes it void. It only saves
// work: nothing relies on it.
//
// So a claim, once it is sent, is waited for whoever is cancelled meanwhile: what it was set to is known from its answer alone.
//
// Inside one process claims are shared, so that a load under way may be joined whoever began it.
//
// Rejected: waiting for a message on a channel (a second connection for every reader, and lost messages need the polling
// anyway), and a blocking command (it holds up the connection that all callers share).

import Keyspace
import Logging
import Redis
import Surroundings

/// Claims loads among the processes that share a cache.
struct FillClaims<Key: Hashable & Sendable, Value: Sendable>: Sendable {
    typealias Miss = CacheReader<Key, Value>.Miss

    let definition: CacheDefinition<Key, Value>
    let redis: any RedisClient
    let sharing: FillSharing
    let logger: Logger
    private let surroundings: Surroundings
    /// This process, as others see it.
    private let claimant: String

    init(
        definition: CacheDefinition<Key, Value>,
        redis: any RedisClient,
        sharing: FillSharing,
        logger: Logger,
        surroundings: Surroundings
    ) {
        self.definition = definition
        self.redis = redis
        self.sharing = sharing
        self.logger = logger
        self.surroundings = surroundings
        claimant = Generation.nonceText(surroundings.next())
    }

    /// A key that is missing, and what its load would be stored under.
    struct Claimed: Sendable {
        var key: Key
        var miss: Miss
        /// Nil where what is loaded cannot be stored.
        var stamp: EntryStamp?
        /// What the claim was set to; nil where there is none.
        var claim: String?
        /// Whether another process is loading it.
        var isHeld = false
    }

    /// Claims the loads of some misses, and gives a generation to every entity, and to the namespace, where there is none.
    ///
    /// What Redis does not answer is loaded all the same, without being stored.
    ///
    /// - Parameter orphaned: Is handed what was claimed for a caller that was cancelled before Redis answered: the command may
    ///   have been executed, and only its answer tells what there is to take back.
    /// - Throws: `CancellationError` where the caller is cancelled, at once.
    func claim(
        _ misses: [(key: Key, miss: Miss)],
        orphaned: @escaping @Sendable ([Claimed]) -> Void
    ) async throws -> [Claimed] {
        var claimed = misses.map { Claimed(key: $0.key, miss: $0.miss, stamp: nil) }
        try await seedNamespaces(&claimed)
        let stampable = claimed.indices.filter {
            claimed[$0].miss.readAt != nil && claimed[$0].miss.generations.namespace != nil
        }
        guard !stampable.isEmpty else { return claimed }
        let entities = Dictionary(grouping: stampable) { definition.entity(claimed[$0].key) }
            .sorted { $0.key.text < $1.key.text }
        let batches = entities.compactMap { entity, places -> RedisBatch? in
            guard let namespace = claimed[places[0]].miss.generations.namespace else { return nil }
            let variants = places.map { definition.variant(claimed[$0].key) }
            let arguments = KeyspaceScript.claimArguments(
                seed: seed(),
                namespace: namespace,
                claimant: claimant,
                age: sharing.claimAge,
                limits: definition.limits
            )
            return RedisBatch(
                script: .claim,
                keys: [definition.namespace.key(of: entity)]
                    + variants.map { definition.namespace.claimKey(of: entity, $0) },
                arguments: arguments.map { RedisArgument($0) }
                    + zip(places, variants).flatMap { place, variant in
                        [RedisArgument(variant.text), isWorthReading(claimed[place].miss) ? "1" : ""]
                    }
            )
        }
        let asked = claimed
        return try await carryThrough(
            in: surroundings,
            { Self.claimed(asked, entities.map { $0.value }, try await send(batches, "Cannot claim"), by: claimant) },
            orphaned: orphaned
        )
    }

    /// Adds to each of some claims what the script answered.
    ///
    /// - Parameter places: For each reply, where the keys that it is about stand among the claims.
    static func claimed(
        _ asked: [Claimed],
        _ places: [[Int]],
        _ replies: [[RedisReply]],
        by claimant: String
    ) -> [Claimed] {
        var claimed = asked
        for (places, reply) in zip(places, replies) {
            guard case .array(let answer)? = reply.first, answer.count == 2 * places.count + 1,
                let entity = answer[0].string.flatMap({ Generation($0) })
            else { continue }
            for (index, place) in places.enumerated() {
                guard let variant = answer[2 * index + 1].string, let readAt = claimed[place].miss.readAt else {
                    continue
                }
                claimed[place].miss.generations.entity = entity
                claimed[place].miss.generations.variant = Generation(variant)
                // One that cannot be read cannot be compared either.
                guard variant.isEmpty || claimed[place].miss.generations.variant != nil else { continue }
                claimed[place].stamp = claimed[place].miss.generations.stamp(readAt: readAt)
                claimed[place].claim = claimed[place].stamp.map { KeyspaceScript.claim(under: $0, by: claimant) }
                claimed[place].isHeld = answer[2 * index + 2].string == "held"
            }
        }
        return claimed
    }

    /// Whether an entry that has come since the read would be a hit.
    ///
    /// While nobody vouches it may be too old though its generations are right, and a damaged one is not worth waiting for.
    private func isWorthReading(_ miss: Miss) -> Bool {
        miss.trust == .healthy && miss.reason != .damaged && miss.reason != .expired
    }

    /// Gives the namespace its first generation in every bucket that has none.
    ///
    /// Somebody else may have done so since the read, and a worker may have come: what is loaded has to come from its Postgres,
    /// then. So both are read behind the seed, in one command.
    private func seedNamespaces(_ claimed: inout [Claimed]) async throws {
        let buckets = Set(
            claimed.filter { $0.miss.readAt != nil && $0.miss.generations.namespace == nil }.map { $0.miss.bucket }
        ).sorted()
        guard !buckets.isEmpty else { return }
        let seeds = buckets.map { _ in seed() }
        let batches = zip(buckets, seeds).map { bucket, seed in
            let key = definition.namespace.headKey(bucket: bucket)
            var batch = RedisBatch(
                script: .seedNamespace,
                keys: [key],
                arguments: [RedisArgument(seed.description)]
            )
            batch.append(RedisCommand("HMGET", .string(key), "gen", "pg"))
            return batch
        }
        let replies = try await send(batches, "Cannot seed")
        for ((bucket, seed), replies) in zip(zip(buckets, seeds), replies) {
            guard replies.count == 2, case .array(let fields) = replies[1], fields.count == 2 else { continue }
            var generation = fields[0].string.flatMap { Generation($0) }
            // A script that the server did not know runs behind the others. It has told whether anybody else came before.
            if generation == nil, replies[0].string == seed.description { generation = seed }
            for place in claimed.indices
            where claimed[place].miss.bucket == bucket && claimed[place].miss.generations.namespace == nil {
                claimed[place].miss.generations.namespace = generation
                claimed[place].miss.postgres = fields[1].string
            }
        }
    }

    private func seed() -> Generation {
        var surroundings = surroundings
        return .seed(using: &surroundings)
    }

    private func send(_ batches: [RedisBatch], _ failure: Logger.Message) async throws -> [[RedisReply]] {
        do {
            return try await redis.send(batches)
        } catch {
            if error.code == .cancelled { throw CancellationError() }
            logger.debug(failure, metadata: ["error": "\(error)"])
            return []
        }
    }

    /// Takes the claims of a load back that has failed.
    ///
    /// In a task of its own, because the caller may have been cancelled; it ends with the time limit of Redis.
    func release(_ claims: [(key: Key, claim: String)]) {
        guard !claims.isEmpty else { return }
        let batches = claims.map { key, claim in
            let entity = definition.entity(key)
            return RedisBatch(
                script: .release,
                keys: [definition.namespace.claimKey(of: entity, definition.variant(key))],
                arguments: [RedisArgument(claim)]
            )
        }
        surroundings.begin { [redis, logger] in
            do {
                _ = try await redis.send(batches)
            } catch {
                logger.debug("Cannot take claims back; they expire", metadata: ["error": "\(error)"])
            }
        }
    }
}

extension RedisBatch {
    /// One run of a script.
    init(script: RedisScript, keys: [String], arguments: [RedisArgument]) {
        self.init(key: keys[0])
        append(script, keys: keys, arguments: arguments)
    }
}

/// The scripts of the contract that readers run.
extension RedisScript {
    static let seedNamespace = RedisScript(KeyspaceScript.seedNamespace)
    static let claim = RedisScript(KeyspaceScript.claim)
    static let release = RedisScript(KeyspaceScript.release)
    static let fill = RedisScript(KeyspaceScript.fill)

    private init(_ script: KeyspaceScript) { self.init(name: script.name, source: script.source) }
}
