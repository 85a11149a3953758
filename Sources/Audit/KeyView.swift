// One key of the cache of workflows, as Redis holds it, and for each of its entries whether a reader would be served it, by the very rules
// that readers go by.

import Freshet
package import Keyspace
package import Redis

/// Everything that lies in Redis of one detector.
package struct KeyView: Sendable {
    /// What a reader makes of what lies in an entry's field.
    package enum State: Hashable, Sendable {
        /// It is served.
        case valid
        /// Nothing is there.
        case absent
        /// What is there is no entry.
        case damaged(EntryDamage?)
        /// A generation that guards it has risen, or is gone.
        case stale(EntryStamp.Level)
        /// It is older than any may be.
        case expired
        /// Nobody vouches now, and it is too old to be served without.
        case tooOld
        /// It would be valid, but the cache is switched off.
        case switchedOff
    }

    /// One entry.
    package struct Entry: Sendable {
        package var name: EntryName
        package var state: State
        /// The variant's generation.
        package var generation: Generation?
        /// How many bytes lie in the field.
        package var size: Int?
        /// What it was valid for; nil where nothing can be read.
        package var stamp: EntryStamp?
        /// How old it is, by the clock of Redis.
        package var age: Duration?
        /// Its rows; nil where nothing can be read.
        package var rows: [AuditedRow]?
    }

    package var key: String
    package var head: Head
    package var trust: Trust
    /// The time of Redis at which all was read.
    package var time: RedisTime
    /// The entity's generation.
    package var generation: Generation?
    /// Whether the key holds something else than what Freshet writes.
    package var isForeign: Bool
    /// For how long the key stays; nil where there is none, or it stays.
    package var timeToLive: Duration?
    package var entries: [Entry]

    /// Reads what lies under a detector's key.
    ///
    /// - Parameters:
    ///   - variants: Which of its entries; nil for the global one and all that are there.
    ///   - degradedLimit: How old an entry may be that nobody vouches for.
    /// - Throws: `RedisError`, `RedisServerError`, ``AuditError``.
    package static func read(
        _ entity: Entity,
        _ variants: [Variant]?,
        in namespace: CacheNamespace,
        of redis: any RedisClient,
        limits: KeyspaceLimits,
        degradedLimit: Duration
    ) async throws -> KeyView {
        let key = namespace.key(of: entity)
        let commands = [RedisCommand("HKEYS", .string(key)), RedisCommand("PTTL", .string(key))]
        guard let replies = try await redis.send([RedisBatch(key: key, commands: commands)]).first, replies.count == 2
        else { throw AuditError.unexpectedReply("HKEYS", "nothing") }
        let isForeign = replies[0].error?.code == .wrongType
        let fields = isForeign ? [] : (try replies[0].get().array ?? []).compactMap(\.string)
        let there = fields.filter { $0.hasPrefix("e:") || $0.hasPrefix("g:") }.map { String($0.dropFirst(2)) }
        let all = Set(there + [Variant.global.text]).sorted { ($0.count, $0) < ($1.count, $1) }
        let names = (variants ?? all.map { Variant(partOfField: $0) }).map { EntryName(entity: entity, variant: $0) }
        let readings = try await EntryReader(redis: redis, namespace: namespace).read(names)
        guard let first = readings.first, let time = first.time else {
            throw AuditError.unexpectedReply("TIME", "nothing")
        }
        let trust = first.head.trust(at: time)
        return KeyView(
            key: key,
            head: first.head,
            trust: trust,
            time: time,
            generation: first.generations.entity,
            isForeign: isForeign,
            timeToLive: (try replies[1].get().int64).flatMap { $0 >= 0 ? .milliseconds($0) : nil },
            entries: zip(names, readings).map { name, reading in
                entry(name, reading, trust, at: time, limits: limits, degradedLimit: degradedLimit)
            }
        )
    }

    private static func entry(
        _ name: EntryName,
        _ reading: EntryReading,
        _ trust: Trust,
        at time: RedisTime,
        limits: KeyspaceLimits,
        degradedLimit: Duration
    ) -> Entry {
        var entry = Entry(name: name, state: .absent, generation: reading.generations.variant, size: reading.size)
        switch reading.content {
        case .absent: break
        case .damaged: entry.state = .damaged(reading.damage)
        case .entry(let found):
            entry.stamp = found.stamp
            entry.age = time.since(found.stamp.readAt)
            entry.rows = try? WorkflowAudit().rows(in: found.payload)
            let verdict = found.stamp.verdict(
                current: reading.generations,
                trust: trust == .disabled ? .healthy : trust,
                at: time,
                degradedLimit: degradedLimit,
                timeToLive: limits.timeToLive
            )
            entry.state =
                switch verdict {
                case .stale(let level): .stale(level)
                case .expired: .expired
                case .tooOld: .tooOld
                case .valid where entry.rows == nil: .damaged(.malformed)
                case .valid: trust == .disabled ? .switchedOff : .valid
                }
        }
        return entry
    }
}
