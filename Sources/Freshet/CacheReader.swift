import Keyspace
import Redis
import Surroundings

/// Reads generations and entries, and decides what is valid.
struct CacheReader<Key: Hashable & Sendable, Value: Sendable>: Sendable {
    private let definition: CacheDefinition<Key, Value>
    private let redis: any RedisClient
    /// How old an entry may be that nobody vouches for.
    private let degradedAge: Duration
    /// Where hits are kept in memory; nil keeps none.
    private let near: NearCache<Key, Value>?
    private let surroundings: Surroundings
    /// One for each bucket.
    private let parts: [BucketCommands]

    init(
        definition: CacheDefinition<Key, Value>,
        redis: any RedisClient,
        degradedAge: Duration,
        near: NearCache<Key, Value>?,
        surroundings: Surroundings
    ) {
        self.definition = definition
        self.redis = redis
        self.degradedAge = degradedAge
        self.near = near
        self.surroundings = surroundings
        parts = definition.namespace.buckets.map { BucketCommands(bucket: $0, of: definition.namespace) }
    }

    /// What every read of a bucket says, put together once.
    private struct BucketCommands: Sendable {
        let headKey: String
        let head: RedisCommand
        let headWithSnapshot: RedisCommand
        let entityKeyPrefix: String

        init(bucket: Int, of namespace: CacheNamespace) {
            headKey = namespace.headKey(bucket: bucket)
            let fields = Head.readerFields.map { RedisArgument.string($0) }
            head = RedisCommand("HMGET", arguments: [.string(headKey)] + fields)
            var head = head
            head.append(.string(Head.snapshotField))
            headWithSnapshot = head
            entityKeyPrefix = namespace.entityKeyPrefix(bucket: bucket)
        }
    }

    /// The most entities that are read in one transaction: others wait meanwhile, about 2 µs for each.
    private static var entitiesPerTransaction: Int { 500 }

    /// What one read found.
    struct Reading: Sendable {
        /// The worst among the buckets that were read.
        var trust = Trust.healthy
        /// Whether every bucket vouches for a snapshot in which the token's transaction is visible.
        var hasApplied = true
        /// One for each key that was asked for, in the same order.
        var findings: [Finding] = []
    }

    enum Finding: Sendable {
        case hit(Value)
        /// Indirect because it is large and rare: findings are small, and cheap to move, without it.
        indirect case miss(Miss)
    }

    /// A key that is missing, and what is known of it.
    struct Miss: Sendable {
        var reason: MissReason
        var generations = Generations(namespace: nil, entity: nil, variant: nil)
        var bucket: Int
        /// Nil where nothing may be stored under this read.
        var readAt: RedisTime?
        /// The Postgres of the head.
        var postgres: String?
        var trust: Trust
    }

    /// Entities of one bucket, and where the keys of each stand among those that were asked for.
    private struct Chunk {
        var bucket: Int
        var entities: [(entity: Entity, places: Range<Int>)] = []
    }

    /// The head of a bucket as one transaction returned it.
    private struct BucketReading {
        var number: Int
        var head: Head
        /// The Postgres of the head, as it came: it is read by those only who have to know it.
        private var postgresReply = RedisReply.null
        var time: RedisTime?
        var trust: Trust

        init(_ number: Int, _ replies: [RedisReply]) {
            self.number = number
            guard replies.first != .null else {
                // It changed while it was read: nothing may be stored, so the time is worth nothing.
                head = .absent
                trust = .degraded
                return
            }
            if case .array(let fields)? = replies.first {
                head = Head(fields)
                if fields.count > 3 { postgresReply = fields[3] }
            } else {
                head = .absent
            }
            time = replies.count > 1 ? replies[1].serverTimeInMicroseconds.map { RedisTime(microseconds: $0) } : nil
            trust = time.map { [head] in head.trust(at: $0) } ?? .unreachable
        }

        func hasApplied(_ token: ReadToken) -> Bool {
            var head = head
            head.postgres = postgresReply.string
            return trust == .healthy && token.isApplied(in: head)
        }

        func miss(_ reason: MissReason, entity: Generation? = nil, variant: Generation? = nil) -> Miss {
            Miss(
                reason: reason,
                generations: Generations(namespace: head.generation, entity: entity, variant: variant),
                bucket: number,
                readAt: time,
                postgres: postgresReply.string,
                trust: trust
            )
        }
    }

    /// Reads some keys, each once; none reads all heads.
    ///
    /// - Parameter token: A transaction to look for among what has been applied.
    func read(_ keys: [Key], token: ReadToken? = nil) async throws(RedisError) -> Reading {
        let chunks = chunks(of: keys)
        let batches = chunks.map { batch($0, of: keys, withSnapshot: token != nil) }
        // Before anything is sent: from here on an invalidation is about this read as well.
        var nearRead = NearRead(of: keys, for: near, entity: definition.entity)
        let sent = nearRead == nil ? nil : LocalTime.now(surroundings)
        let tracked: [[RedisReply]]?
        if let session = nearRead?.session {
            tracked = try await transact(batches, of: chunks, over: session.connection)
        } else {
            tracked = nil
        }
        let replies: [[RedisReply]]
        if let tracked {
            replies = tracked
        } else {
            nearRead = nil
            let answered = try await redis.send(batches, timeLimit: nil)
            let refused = Self.refused(answered)
            replies = refused.isEmpty ? answered : try await sendPlain(batches, instead: refused, of: answered)
        }

        let isKept = nearRead != nil
        var reading = Reading()
        reading.findings.reserveCapacity(keys.count)
        for (chunk, replies) in zip(chunks, replies) {
            let bucket = BucketReading(chunk.bucket, replies)
            reading.trust = Self.worse(reading.trust, bucket.trust)
            if let token, !bucket.hasApplied(token) { reading.hasApplied = false }
            for index in chunk.entities.indices {
                let places = chunk.entities[index].places
                let entity = EntityReading(index + 2 < replies.count ? replies[index + 2] : .null)
                for place in places {
                    switch entry(at: place - places.lowerBound, of: entity, in: bucket, isKept: isKept) {
                    case .valid(let value, let stamp, let byteCount):
                        reading.findings.append(.hit(value))
                        guard isKept, let sent, bucket.trust == .healthy, let time = bucket.time else { continue }
                        let candidate = NearCache<Key, Value>.Shard.Candidate(
                            value: value,
                            byteCount: byteCount,
                            bucket: bucket.number,
                            namespace: stamp.namespace,
                            expires: sent + (definition.limits.timeToLive - time.since(stamp.readAt))
                        )
                        nearRead?.keep(candidate, at: place)
                    case .missing(let miss): reading.findings.append(.miss(miss))
                    }
                }
            }
        }
        if chunks.count > 1 {
            // They stand in the order in which they were read.
            let places = chunks.flatMap { $0.entities.flatMap { $0.places } }
            let findings = reading.findings
            for (place, finding) in zip(places, findings) { reading.findings[place] = finding }
        }
        return reading
    }

    // MARK: Asking

    /// Divides keys into transactions.
    ///
    /// Neighbours of the same entity are read together; elsewhere, once more.
    private func chunks(of keys: [Key]) -> [Chunk] {
        let namespace = definition.namespace
        if keys.isEmpty { return namespace.buckets.map { Chunk(bucket: $0) } }
        var chunks: [Chunk] = []
        var start = 0
        while start < keys.count {
            let entity = definition.entity(keys[start])
            var end = start + 1
            while end < keys.count, definition.entity(keys[end]) == entity { end += 1 }
            let bucket = namespace.bucket(of: entity)
            // The last one of a bucket takes in more. There are few: buckets, and hundreds of entities.
            if let open = chunks.lastIndex(where: { $0.bucket == bucket }),
                chunks[open].entities.count < Self.entitiesPerTransaction
            {
                chunks[open].entities.append((entity, start..<end))
            } else {
                chunks.append(Chunk(bucket: bucket, entities: [(entity, start..<end)]))
            }
            start = end
        }
        return chunks
    }

    private func batch(_ chunk: Chunk, of keys: [Key], withSnapshot: Bool) -> RedisBatch {
        let part = parts[chunk.bucket]
        var commands: [RedisBatch.Element] = []
        commands.reserveCapacity(2 + chunk.entities.count)
        commands.append(.command(withSnapshot ? part.headWithSnapshot : part.head))
        commands.append(.command(.time))
        // Most entities are asked for the same variants, so their fields are put together once.
        var variants: [Variant] = []
        var fields = RedisArguments()
        for (entity, places) in chunk.entities {
            var isSame = variants.count == places.count
            for (variant, place) in zip(variants, places) where isSame {
                isSame = variant == definition.variant(keys[place])
            }
            if !isSame {
                variants = places.map { definition.variant(keys[$0]) }
                fields = Self.fields(of: variants)
            }
            commands.append(.command(RedisCommand(.hmget, key: part.entityKeyPrefix, entity.text, fields)))
        }
        return RedisBatch(key: part.headKey, commands: commands, isTransaction: true)
    }

    /// The fields of an entity that are asked for: its generation, then of each variant the generation and the entry.
    private static func fields(of variants: [Variant]) -> RedisArguments {
        var fields = RedisArguments()
        fields.reserve(2 * variants.reduce(8) { $0 + $1.text.utf8.count + 16 })
        fields.append(.string("g"))
        for variant in variants {
            fields.append("g:", followedBy: variant.text)
            fields.append("e:", followedBy: variant.text)
        }
        return fields
    }

    /// Which transactions were refused because the server is full: it queues nothing then.
    private static func refused(_ replies: [[RedisReply]]) -> [Int] {
        replies.indices.filter { replies[$0].first?.error?.code == .outOfMemory }
    }

    /// Reads what was refused once more without a transaction.
    ///
    /// What a transaction gives is that the head and the entries are of one dataset. Without it the head is read before the
    /// entries and behind them: a dataset that was exchanged in between, or a pass, shows in the time that is vouched for.
    private func sendPlain(
        _ batches: [RedisBatch],
        instead refused: [Int],
        of replies: [[RedisReply]]
    ) async throws(RedisError) -> [[RedisReply]] {
        var replies = replies
        let plain = refused.map { index in
            let commands = batches[index].commands
            return RedisBatch(key: batches[index].key, commands: commands + commands.prefix(1))
        }
        for (index, again) in zip(refused, try await redis.send(plain)) {
            replies[index] = again.dropLast()
            // Two heads: neither counts. Everything is loaded, this once, and nothing stored.
            if again.first != again.last { replies[index][0] = .null }
        }
        return replies
    }

    /// Sends the same over a connection that tracks; nil where it is lost, or does not track all of it.
    private func transact(
        _ batches: [RedisBatch],
        of chunks: [Chunk],
        over connection: any TrackingSession
    ) async throws(RedisError) -> [[RedisReply]]? {
        let tracking = zip(batches, chunks).map { batch, chunk in
            TrackedRead.tracking(batch, bumpKey: definition.namespace.bumpKey(bucket: chunk.bucket))
        }
        do {
            let replies = try await connection.send(tracking).map { TrackedRead.replies($0) }
            return replies.contains { $0 == nil } ? nil : replies.compactMap { $0 }
        } catch {
            switch error.code {
            // It was lost just now. The other connection may be well, and has the whole time limit.
            case .connectionLost, .cannotConnect, .closed, .protocolViolation: return nil
            default: throw error
            }
        }
    }

    // MARK: Deciding

    /// What an entity's key was answered with.
    private struct EntityReading {
        /// Empty where the key has another type, or the server answers only in part.
        var fields: RedisReplies
        var generation: Generation?

        init(_ reply: RedisReply) {
            if case .array(let fields) = reply { self.fields = fields } else { fields = [] }
            if case .bulk(let text)? = fields.first { generation = Generation(utf8: text) }
        }
    }

    private enum Verdict {
        case valid(Value, EntryStamp, byteCount: Int)
        indirect case missing(Miss)
    }

    /// The entry of a key and its value, or why there is none that is valid.
    ///
    /// - Parameter isKept: Whether the value may be kept for long: then it has bytes of its own, and not a part of the reply.
    private func entry(
        at position: Int,
        of entity: EntityReading,
        in bucket: BucketReading,
        isKept: Bool
    ) -> Verdict {
        guard entity.fields.count > 2 * position + 2 else { return .missing(bucket.miss(.damaged)) }
        var variant: Generation?
        var isUnreadable = false
        if case .bulk(let text) = entity.fields[2 * position + 1] {
            variant = Generation(utf8: text)
            isUnreadable = variant == nil
        }
        func missed(_ reason: MissReason) -> Verdict {
            .missing(bucket.miss(reason, entity: entity.generation, variant: variant))
        }
        guard case .bulk(let bytes) = entity.fields[2 * position + 2] else { return missed(.absent) }
        guard let time = bucket.time else {
            return missed(bucket.trust == .unreachable ? .unreachable : .degraded)
        }
        guard !isUnreadable else { return missed(.damaged) }
        do {
            let entry = try EntryCodec.decode(bytes)
            let verdict = entry.stamp.verdict(
                current: Generations(namespace: bucket.head.generation, entity: entity.generation, variant: variant),
                trust: bucket.trust,
                at: time,
                degradedLimit: degradedAge,
                timeToLive: definition.limits.timeToLive
            )
            switch verdict {
            case .valid:
                let payload = isKept ? Array(entry.payload)[...] : entry.payload
                return .valid(try definition.decode(payload), entry.stamp, byteCount: payload.count)
            case .stale(let level): return missed(.stale(level))
            case .expired: return missed(.expired)
            case .tooOld: return missed(.degraded)
            }
        } catch {
            return missed(.damaged)
        }
    }

    static func worse(_ left: Trust, _ right: Trust) -> Trust {
        func rank(_ trust: Trust) -> Int {
            switch trust {
            case .healthy: 0
            case .degraded: 1
            case .disabled: 2
            case .unreachable: 3
            }
        }
        return rank(left) < rank(right) ? right : left
    }
}

extension RedisArguments {
    /// What the reading of every entity begins with.
    fileprivate static let hmget = RedisArguments("HMGET")
}

extension Head {
    /// The head out of the reply to `readerFields`, with or without `snapshotField` behind them, and without its Postgres.
    fileprivate init(_ fields: RedisReplies) {
        func field(_ index: Int) -> RedisReply { index < fields.count ? fields[index] : .null }
        self.init(
            generation: field(0).bytes.flatMap { Generation(utf8: $0) },
            vouched: field(1).int64,
            lease: field(2).int64,
            postgres: nil,
            isSwitchedOff: field(4).string == "off",
            snapshot: field(5).string.flatMap { TransactionSnapshot($0) }
        )
    }
}
