// A lookup, step by step:
//
//  1. one pipeline reads, of every bucket, the head and the time, and of every entity its generations and entries;
//  2. what is valid is decoded; everything else is missing, for a reason;
//  3. entities without a generation, and a namespace without one, are seeded;
//  4. one load answers for all that is missing, in a snapshot that began after the generations were read;
//  5. each loaded value is stored if its generations are still the ones that were read.
//
// Why a stale value cannot survive: a load whose snapshot misses a commit took that snapshot before the commit became
// visible, hence before it was bumped, and read its generations earlier still. After the bump the generations differ: the
// fill is refused, or the entry is not valid. Sharing a load inside the process keeps to the same rule: only callers that
// read the same generations share.
//
// What fails while a value is read or stored never fails a lookup: the value is loaded instead, or not stored, and counted.
// What the loader throws reaches the callers, and is not cached.

public import Keyspace
public import Logging
import NIOConcurrencyHelpers
public import Redis

/// A cache in Redis, in front of a loader, that never serves what was loaded before a change after the change's bump.
public final class ReadThroughCache<Key: Hashable & Sendable, Value: Sendable>: Sendable {
    private let definition: CacheDefinition<Key, Value>
    private let redis: any RedisClient
    private let limits: KeyspaceLimits
    private let logger: Logger
    private let telemetry: ReadTelemetry
    private let flights = SingleFlight<FlightKey, Value>()
    private let lastTrust = NIOLockedValueBox<Trust?>(nil)

    /// The most entities that are read in one transaction: others wait meanwhile, about 2 µs for each.
    private static var entitiesPerTransaction: Int { 500 }

    /// What a load is shared by: a key under the generations it was missing for.
    private struct FlightKey: Hashable, Sendable {
        var key: Key
        var stamp: EntryStamp
        /// The Postgres of the head, which the loaded value must come from to be stored.
        var postgres: String?
        /// While nobody vouches, which stretch of time the read belongs to; nil while healthy.
        ///
        /// Equal generations prove nothing then, so a load is shared only by reads that are no further apart than an entry
        /// may be old.
        var stretch: Int64?

        // The time of the read is no other part of it: whoever read the same generations may share.
        static func == (left: FlightKey, right: FlightKey) -> Bool {
            left.key == right.key && left.stamp.namespace == right.stamp.namespace
                && left.stamp.entity == right.stamp.entity && left.stamp.variant == right.stamp.variant
                && left.postgres == right.postgres && left.stretch == right.stretch
        }

        func hash(into hasher: inout Hasher) {
            hasher.combine(key)
            hasher.combine(stamp.entity)
        }
    }

    /// A cache of one definition on one Redis, which it does not close.
    public init(
        _ definition: CacheDefinition<Key, Value>,
        redis: any RedisClient,
        limits: KeyspaceLimits = KeyspaceLimits(),
        logger: Logger
    ) {
        self.definition = definition
        self.redis = redis
        self.limits = limits
        self.logger = logger
        telemetry = ReadTelemetry(namespace: definition.namespace)
    }

    /// The values of some keys: in one round trip where all are cached, with one load where some are not.
    ///
    /// - Throws: What the loader throws; `CancellationError` where the caller is cancelled. Failures of Redis are not
    ///   thrown: then everything is loaded.
    public func values(for keys: some Sequence<Key>) async throws -> CacheAnswers<Key, Value> {
        let keys = Set(keys)
        guard !keys.isEmpty else { return CacheAnswers(trust: try await trust(), answers: [:]) }
        let reading: Reading
        do {
            reading = try await read(keys)
        } catch {
            if error.code == .cancelled { throw CancellationError() }
            return try await loadAll(keys, because: .unreachable, trust: .unreachable)
        }
        note(reading.trust)
        if reading.trust == .disabled {
            return try await loadAll(keys, because: .disabled, trust: .disabled)
        }
        var answers = reading.hits.mapValues { CacheAnswer(value: $0, source: .hit) }
        if !reading.misses.isEmpty {
            for (key, value) in try await load(reading) {
                guard let reason = reading.misses[key]?.reason else { continue }
                answers[key] = CacheAnswer(value: value, source: .miss(reason))
            }
        }
        telemetry.lookedUp(reading.trust, hits: reading.hits.count, misses: reading.misses.values.map(\.reason))
        return CacheAnswers(trust: reading.trust, answers: answers)
    }

    /// How far Redis can be relied on now.
    ///
    /// - Throws: `CancellationError` where the caller is cancelled.
    public func trust() async throws -> Trust {
        do {
            let replies = try await transact(definition.namespace.buckets.map { batch(bucket: $0, entities: []) })
            let trust = replies.map { BucketReading($0).trust }.reduce(.healthy, Self.worse)
            note(trust)
            return trust
        } catch {
            if error.code == .cancelled { throw CancellationError() }
            note(.unreachable)
            return .unreachable
        }
    }

    // MARK: Reading

    /// A key that is missing, and what is known of it.
    private struct Miss {
        var reason: MissReason
        var generations: Generations
        var bucket: Int
        var readAt: RedisTime?
        var postgres: String?
        var trust: Trust
    }

    private struct Reading {
        var trust = Trust.healthy
        var hits: [Key: Value] = [:]
        var misses: [Key: Miss] = [:]
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
    }

    private func batch(bucket: Int, entities: [(entity: Entity, keys: [Key])]) -> RedisBatch {
        let headKey = definition.namespace.headKey(bucket: bucket)
        var commands: [RedisBatch.Element] = [
            .command(RedisCommand("HMGET", arguments: ([headKey] + Head.readerFields).map { RedisArgument($0) })),
            .command(RedisCommand("TIME")),
        ]
        for (entity, keys) in entities {
            let fields = keys.flatMap { key in
                let variant = definition.variant(key).text
                return ["g:" + variant, "e:" + variant]
            }
            let arguments = [definition.namespace.key(of: entity), "g"] + fields
            commands.append(.command(RedisCommand("HMGET", arguments: arguments.map { RedisArgument($0) })))
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

    private func read(_ keys: Set<Key>) async throws(RedisError) -> Reading {
        let namespace = definition.namespace
        var chunks: [(bucket: Int, entities: [(entity: Entity, keys: [Key])])] = []
        let byEntity = Dictionary(grouping: keys, by: definition.entity)
        for (bucket, entities) in Dictionary(grouping: byEntity, by: { namespace.bucket(of: $0.key) }) {
            let entities = entities.map { (entity: $0.key, keys: $0.value) }
            for start in stride(from: 0, to: entities.count, by: Self.entitiesPerTransaction) {
                let end = min(start + Self.entitiesPerTransaction, entities.count)
                chunks.append((bucket, Array(entities[start..<end])))
            }
        }
        let replies = try await transact(chunks.map { batch(bucket: $0.bucket, entities: $0.entities) })

        var reading = Reading()
        for (chunk, replies) in zip(chunks, replies) {
            let bucket = BucketReading(replies)
            reading.trust = Self.worse(reading.trust, bucket.trust)
            for (index, (_, keys)) in chunk.entities.enumerated() {
                let reply = index + 2 < replies.count ? replies[index + 2] : .null
                for (position, key) in keys.enumerated() {
                    decide(key, at: position, in: reply, bucket: bucket, number: chunk.bucket, into: &reading)
                }
            }
        }
        return reading
    }

    /// Files one key under the hits or under the misses.
    private func decide(
        _ key: Key,
        at position: Int,
        in reply: RedisReply,
        bucket: BucketReading,
        number: Int,
        into reading: inout Reading
    ) {
        var miss = Miss(
            reason: .absent,
            generations: Generations(namespace: bucket.head.generation, entity: nil, variant: nil),
            bucket: number,
            readAt: bucket.time,
            postgres: bucket.head.postgres,
            trust: bucket.trust
        )
        defer { reading.misses[key] = reading.hits[key] == nil ? miss : nil }
        guard case .array(let fields) = reply, fields.count > 2 * position + 2 else {
            // A key of another type, or a server that answers only in part.
            miss.reason = .damaged
            return
        }
        let variantText = fields[2 * position + 1].string
        miss.generations.entity = fields[0].string.flatMap { Generation($0) }
        miss.generations.variant = variantText.flatMap { Generation($0) }
        guard case .bulk(let bytes) = fields[2 * position + 2] else { return }
        guard let time = bucket.time else {
            miss.reason = bucket.trust == .unreachable ? .unreachable : .degraded
            return
        }
        guard variantText == nil || miss.generations.variant != nil else {
            miss.reason = .damaged
            return
        }
        do {
            let entry = try EntryCodec.decode(bytes)
            let verdict = entry.stamp.verdict(
                current: miss.generations,
                trust: bucket.trust,
                at: time,
                degradedLimit: limits.degradedAge
            )
            switch verdict {
            case .valid: reading.hits[key] = try definition.decode(entry.payload)
            case .stale(let level): miss.reason = .stale(level)
            case .tooOld: miss.reason = .degraded
            }
        } catch {
            logger.debug("An entry cannot be read", metadata: ["key": "\(key)", "error": "\(error)"])
            miss.reason = .damaged
        }
    }

    private static func worse(_ left: Trust, _ right: Trust) -> Trust {
        let order: [Trust] = [.healthy, .degraded, .disabled, .unreachable]
        return (order.firstIndex(of: left) ?? 0) < (order.firstIndex(of: right) ?? 0) ? right : left
    }

    private func note(_ trust: Trust) {
        let changed = lastTrust.withLockedValue { last in
            defer { last = trust }
            return last != trust
        }
        guard changed else { return }
        logger.log(
            level: trust == .healthy ? .info : .warning,
            "Trust in the cache has changed",
            metadata: ["trust": "\(trust.rawValue)"]
        )
    }

    // MARK: Loading

    private func loadAll(
        _ keys: Set<Key>,
        because reason: MissReason,
        trust: Trust
    ) async throws -> CacheAnswers<Key, Value> {
        note(trust)
        let loaded = try await callLoader(Array(keys))
        telemetry.lookedUp(trust, hits: 0, misses: keys.map { _ in reason })
        return CacheAnswers(
            trust: trust,
            answers: loaded.values.mapValues { CacheAnswer(value: $0, source: .miss(reason)) }
        )
    }

    private func load(_ reading: Reading) async throws -> [Key: Value] {
        let misses = try await seed(reading.misses)
        var flightKeys: [FlightKey] = []
        var unstamped: [Key] = []
        for (key, miss) in misses {
            if let readAt = miss.readAt, let stamp = miss.generations.stamp(readAt: readAt) {
                let stretch = miss.trust == .healthy ? nil : self.stretch(of: readAt)
                flightKeys.append(FlightKey(key: key, stamp: stamp, postgres: miss.postgres, stretch: stretch))
            } else {
                unstamped.append(key)
            }
        }
        var values: [Key: Value] = [:]
        if !flightKeys.isEmpty {
            let loaded = try await flights.values(of: flightKeys) { [telemetry] count in
                telemetry.shared(count: count)
            } load: { [self] flightKeys in
                try await loadAndFill(flightKeys)
            }
            for flightKey in flightKeys { values[flightKey.key] = loaded[flightKey] }
        }
        if !unstamped.isEmpty {
            values.merge(try await callLoader(unstamped).values) { first, _ in first }
        }
        return values
    }

    private func stretch(of time: RedisTime) -> Int64 {
        time.microseconds / max(1, limits.degradedAge.wholeMicroseconds)
    }

    private func loadAndFill(_ flightKeys: [FlightKey]) async throws -> [FlightKey: Value] {
        let loaded = try await callLoader(flightKeys.map(\.key))
        var values: [FlightKey: Value] = [:]
        for flightKey in flightKeys { values[flightKey] = loaded.values[flightKey.key] }
        try await fill(values, from: loaded.postgres)
        return values
    }

    private func callLoader(_ keys: [Key]) async throws -> LoadedValues<Key, Value> {
        do {
            let loaded = try await definition.load(keys)
            telemetry.loaded()
            let missing = keys.filter { loaded.values[$0] == nil }
            if let first = missing.first { throw IncompleteLoad(key: "\(first)", count: missing.count) }
            return loaded
        } catch {
            telemetry.loadFailed()
            throw error
        }
    }

    /// Gives a generation to every entity, and to the namespace, where there is none, and returns the misses with them.
    ///
    /// What cannot be seeded keeps no stamp, and is loaded without being stored.
    private func seed(_ misses: [Key: Miss]) async throws -> [Key: Miss] {
        var misses = misses
        let seedable = misses.filter { $0.value.readAt != nil }
        let buckets = Set(seedable.values.filter { $0.generations.namespace == nil }.map(\.bucket)).sorted()
        let entities = Set(seedable.filter { $0.value.generations.entity == nil }.keys.map(definition.entity))
            .sorted { $0.text < $1.text }
        guard !buckets.isEmpty || !entities.isEmpty else { return misses }

        let heads = buckets.map { bucket in
            RedisBatch(
                script: .seedNamespace,
                keys: [definition.namespace.headKey(bucket: bucket)],
                arguments: [RedisArgument(Generation.seed().description)]
            )
        }
        let seeds = entities.map { entity in
            RedisBatch(
                script: .seed,
                keys: [definition.namespace.key(of: entity)],
                arguments: KeyspaceScript.seedArguments(.seed(), limits: limits).map { RedisArgument($0) }
            )
        }
        let replies: [[RedisReply]]
        do {
            replies = try await redis.send(heads + seeds)
        } catch {
            if error.code == .cancelled { throw CancellationError() }
            logger.debug("Cannot seed", metadata: ["error": "\(error)"])
            return misses
        }
        let generations = replies.map { replies in replies.first?.string.flatMap { Generation($0) } }
        let namespaces = Dictionary(uniqueKeysWithValues: zip(buckets, generations))
        let seeded = Dictionary(uniqueKeysWithValues: zip(entities, generations.dropFirst(buckets.count)))
        for (key, miss) in seedable {
            if miss.generations.namespace == nil, let generation = namespaces[miss.bucket] {
                misses[key]?.generations.namespace = generation
            }
            if miss.generations.entity == nil, let generation = seeded[definition.entity(key)] {
                misses[key]?.generations.entity = generation
                // A variant's generation is worth nothing without the entity's that it was kept beside.
                misses[key]?.generations.variant = nil
            }
        }
        return misses
    }

    // MARK: Filling

    private func fill(_ values: [FlightKey: Value], from postgres: String?) async throws {
        let own = values.filter { flightKey, _ in
            // A head without an identity has no worker yet; the degraded limit bounds what is stored until it has one.
            postgres != nil && postgres != "replica" && flightKey.postgres ?? postgres == postgres
        }
        if own.count < values.count { telemetry.fillWasForeign(count: values.count - own.count) }
        guard !own.isEmpty else { return }
        let flightKeys = Array(own.keys)
        let batches = flightKeys.compactMap { flightKey -> RedisBatch? in
            guard let value = own[flightKey] else { return nil }
            let entity = definition.entity(flightKey.key)
            let variant = definition.variant(flightKey.key)
            let entry = Entry(stamp: flightKey.stamp, payload: definition.encode(value)[...])
            let around = KeyspaceScript.fillArguments(stamp: flightKey.stamp, variant: variant, limits: limits)
            let namespace = definition.namespace
            return RedisBatch(
                script: .fill,
                keys: [namespace.headKey(bucket: namespace.bucket(of: entity)), namespace.key(of: entity)],
                arguments: around.beforeEntry.map { RedisArgument($0) } + [RedisArgument(EntryCodec.encode(entry))]
                    + around.afterEntry.map { RedisArgument($0) }
            )
        }
        do {
            for (flightKey, replies) in zip(flightKeys, try await redis.send(batches)) {
                if let outcome = replies.first?.string.flatMap(FillOutcome.init(rawValue:)) {
                    telemetry.filled(outcome)
                    if outcome == .stored { continue }
                    logger.debug(
                        "A fill was refused",
                        metadata: ["key": "\(flightKey.key)", "outcome": "\(outcome.rawValue)"]
                    )
                } else {
                    telemetry.fillFailed(count: 1)
                    logger.debug(
                        "A fill failed",
                        metadata: ["key": "\(flightKey.key)", "error": "\(replies.first ?? .null)"]
                    )
                }
            }
        } catch {
            telemetry.fillFailed(count: own.count)
            logger.debug("Fills failed", metadata: ["error": "\(error)"])
        }
    }
}

/// A loader answered for fewer keys than it was asked for.
public struct IncompleteLoad: Error, CustomStringConvertible {
    /// One of the keys without an answer.
    public let key: String
    /// How many keys have none.
    public let count: Int

    /// One line.
    public var description: String {
        "the loader returned no value for \(count) of the keys, for example \(key); an empty set is a value"
    }
}

extension RedisBatch {
    /// One run of a script of the contract.
    fileprivate init(script: KeyspaceScript, keys: [String], arguments: [RedisArgument]) {
        self.init(key: keys[0])
        append(RedisScript(name: script.name, source: script.source), keys: keys, arguments: arguments)
    }
}
