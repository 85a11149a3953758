import Keyspace
import Redis

/// Reads generations and entries, and decides what is valid.
struct CacheReader<Key: Hashable & Sendable, Value: Sendable>: Sendable {
    let definition: CacheDefinition<Key, Value>
    let redis: any RedisClient
    /// How old an entry may be that nobody vouches for.
    let degradedAge: Duration
    /// Where hits are kept in memory; nil keeps none.
    var near: NearCache<Key, Value>?

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
        case miss(Miss)
    }

    /// A key that is missing, and what is known of it.
    struct Miss: Sendable {
        var reason: MissReason
        var generations: Generations
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
        var entities: [(entity: Entity, places: [Int])] = []
    }

    /// The head of a bucket as one transaction returned it.
    private struct BucketReading {
        var head: Head
        var time: RedisTime?
        var trust: Trust

        init(_ replies: [RedisReply]) {
            guard replies.first != .null else {
                // It changed while it was read: nothing may be stored, so the time is worth nothing.
                head = .absent
                trust = .degraded
                return
            }
            if case .array(let fields)? = replies.first {
                head = Head(fields: fields.map(\.string))
            } else {
                head = .absent
            }
            time = replies.count > 1 ? replies[1].serverTimeInMicroseconds.map { RedisTime(microseconds: $0) } : nil
            trust = time.map { [head] in head.trust(at: $0) } ?? .unreachable
        }

        func hasApplied(_ token: ReadToken) -> Bool {
            trust == .healthy && token.isApplied(in: head)
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
        let sent = LocalTime.now
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
            replies = try await transact(batches)
        }

        var reading = Reading()
        var findings = [Finding?](repeating: nil, count: keys.count)
        for (chunk, replies) in zip(chunks, replies) {
            let bucket = BucketReading(replies)
            reading.trust = Self.worse(reading.trust, bucket.trust)
            if let token, !bucket.hasApplied(token) { reading.hasApplied = false }
            for (index, (_, places)) in chunk.entities.enumerated() {
                let reply = index + 2 < replies.count ? replies[index + 2] : .null
                for (position, place) in places.enumerated() {
                    findings[place] = finding(at: position, in: reply, bucket: bucket, number: chunk.bucket) {
                        nearRead?.keep($0.candidate(sentAt: sent, timeToLive: definition.limits.timeToLive), at: place)
                    }
                }
            }
        }
        reading.findings = findings.compactMap { $0 }
        return reading
    }

    // MARK: Asking

    private func chunks(of keys: [Key]) -> [Chunk] {
        let namespace = definition.namespace
        if keys.isEmpty { return namespace.buckets.map { Chunk(bucket: $0) } }
        var chunks: [Chunk] = []
        var open: [Int: Int] = [:]
        var places: [Entity: (chunk: Int, index: Int)] = [:]
        for (place, key) in keys.enumerated() {
            let entity = definition.entity(key)
            if let known = places[entity] {
                chunks[known.chunk].entities[known.index].places.append(place)
                continue
            }
            let bucket = namespace.bucket(of: entity)
            var chunk = open[bucket] ?? chunks.count
            if chunk == chunks.count || chunks[chunk].entities.count >= Self.entitiesPerTransaction {
                chunk = chunks.count
                open[bucket] = chunk
                chunks.append(Chunk(bucket: bucket))
            }
            places[entity] = (chunk, chunks[chunk].entities.count)
            chunks[chunk].entities.append((entity, [place]))
        }
        return chunks
    }

    private func batch(_ chunk: Chunk, of keys: [Key], withSnapshot: Bool) -> RedisBatch {
        let headKey = definition.namespace.headKey(bucket: chunk.bucket)
        var head = RedisCommand("HMGET", .string(headKey))
        for field in Head.readerFields { head.append(.string(field)) }
        if withSnapshot { head.append(.string(Head.snapshotField)) }
        var commands: [RedisBatch.Element] = [.command(head), .command(RedisCommand("TIME"))]
        commands.reserveCapacity(2 + chunk.entities.count)
        for (entity, places) in chunk.entities {
            var command = RedisCommand("HMGET", .string(definition.namespace.key(of: entity)), "g")
            for place in places {
                let variant = definition.variant(keys[place]).text
                command.append(.string("g:" + variant))
                command.append(.string("e:" + variant))
            }
            commands.append(.command(command))
        }
        return RedisBatch(key: headKey, commands: commands, isTransaction: true)
    }

    /// Sends transactions that only read, and reads what was refused once more without one: a full Redis queues nothing.
    ///
    /// What a transaction gives is that the head and the entries are of one dataset. Without it the head is read before the
    /// entries and behind them: a dataset that was exchanged in between, or a pass, shows in the time that is vouched for.
    private func transact(_ batches: [RedisBatch]) async throws(RedisError) -> [[RedisReply]] {
        var replies = try await redis.send(batches)
        let refused = replies.indices.filter { replies[$0].first?.error?.code == .outOfMemory }
        guard !refused.isEmpty else { return replies }
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
        over connection: TrackedConnection
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

    /// What Redis answered a key with.
    private struct Hit {
        var value: Value
        var byteCount: Int
        var bucket: Int
        var namespace: Generation
        var age: Duration

        func candidate(sentAt sent: LocalTime, timeToLive: Duration) -> NearCache<Key, Value>.Shard.Candidate {
            NearCache<Key, Value>.Shard.Candidate(
                value: value,
                byteCount: byteCount,
                bucket: bucket,
                namespace: namespace,
                expires: sent + (timeToLive - age)
            )
        }
    }

    /// - Parameter keep: Is handed a hit that somebody vouches for.
    private func finding(
        at position: Int,
        in reply: RedisReply,
        bucket: BucketReading,
        number: Int,
        keep: (Hit) -> Void
    ) -> Finding {
        var miss = Miss(
            reason: .absent,
            generations: Generations(namespace: bucket.head.generation, entity: nil, variant: nil),
            bucket: number,
            readAt: bucket.time,
            postgres: bucket.head.postgres,
            trust: bucket.trust
        )
        func missed(_ reason: MissReason) -> Finding {
            miss.reason = reason
            return .miss(miss)
        }
        guard case .array(let fields) = reply, fields.count > 2 * position + 2 else {
            // A key of another type, or a server that answers only in part.
            return missed(.damaged)
        }
        let variantText = fields[2 * position + 1].bytes
        miss.generations.entity = fields[0].bytes.flatMap { Generation(utf8: $0) }
        miss.generations.variant = variantText.flatMap { Generation(utf8: $0) }
        guard case .bulk(let bytes) = fields[2 * position + 2] else { return missed(.absent) }
        guard let time = bucket.time else {
            return missed(bucket.trust == .unreachable ? .unreachable : .degraded)
        }
        guard variantText == nil || miss.generations.variant != nil else { return missed(.damaged) }
        do {
            let entry = try EntryCodec.decode(bytes)
            let verdict = entry.stamp.verdict(
                current: miss.generations,
                trust: bucket.trust,
                at: time,
                degradedLimit: degradedAge,
                timeToLive: definition.limits.timeToLive
            )
            switch verdict {
            case .valid:
                let value = try definition.decode(entry.payload)
                if bucket.trust == .healthy {
                    keep(
                        Hit(
                            value: value,
                            byteCount: entry.payload.count,
                            bucket: number,
                            namespace: entry.stamp.namespace,
                            age: time.since(entry.stamp.readAt)
                        )
                    )
                }
                return .hit(value)
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
