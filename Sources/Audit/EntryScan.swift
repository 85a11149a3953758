// Finds the entries that Redis holds.
//
// SCAN, never KEYS: each step looks at a bounded number of buckets of the server's table, and others are served in between. MATCH
// filters behind that, so a shared Redis is walked as a whole: the price is that of its size, not of the cache's. A step with its
// look at what the keys hold is followed by a pause of several times as long, so that a walk takes at most a tenth of the server's
// time, and less of a server that is slow already; and there are no more steps a second than entries may be audited, so that a slow
// audit does not walk a large Redis in vain.
//
// What SCAN promises (redis.io, SCAN): whatever is there from the beginning of a walk to its end is returned; it may be returned
// more than once; what comes or goes meanwhile may or may not be. A walk with the cursor 0 at both ends therefore audits every
// entry that stood all the time. Rejected: RANDOMKEY, which in a shared Redis mostly finds others' keys and prefers keys in sparse
// chains; and a random cursor, of which Redis says that its effect is undefined.

import Keyspace
import Redis

/// An entry of one of several caches.
struct CachedEntry: Hashable, Sendable {
    /// The name of the cache.
    var cache: String
    var name: EntryName
}

extension [CachedEntry] {
    /// The entries of one cache, each once.
    ///
    /// SCAN may return a key twice, and a loader that is asked twice for a key would answer with twice its rows.
    func names(of cache: String) -> [EntryName] {
        var seen: Set<EntryName> = []
        return filter { $0.cache == cache && seen.insert($0.name).inserted }.map(\.name)
    }
}

/// One walk through all entries of some caches.
struct EntryScan {
    private let redis: any RedisClient
    private let namespaces: [(cache: String, namespace: CacheNamespace)]
    private let pattern: String
    private let leastPause: Duration
    private var cursor = "0"
    private var isAtEnd = false

    /// How many buckets of the server's table a step looks at.
    private static let bucketsPerStep = 250
    /// How much longer than a step the pause behind it is.
    private static let pauseFactor = 9
    private static let longestPause = Duration.seconds(30)

    /// - Parameters:
    ///   - namespaces: All behind one prefix.
    ///   - stepsPerSecond: At the most.
    init(
        _ namespaces: [(cache: String, namespace: CacheNamespace)],
        redis: any RedisClient,
        stepsPerSecond: Double
    ) {
        self.redis = redis
        leastPause = .seconds(1 / max(stepsPerSecond, 0.001))
        self.namespaces = namespaces
        // No character of a prefix means anything in a pattern but itself.
        pattern = "\(namespaces.first?.namespace.prefix ?? ""):*"
    }

    /// The entries of the next step, possibly none; nil at the end of the walk.
    mutating func next() async throws -> [CachedEntry]? {
        guard !isAtEnd, !namespaces.isEmpty else { return nil }
        let start = ContinuousClock.now
        let entries = try await step()
        if !isAtEnd {
            let pause = min((ContinuousClock.now - start) * Self.pauseFactor, Self.longestPause)
            try await Task.sleep(for: max(pause, leastPause))
        }
        return entries
    }

    /// The entries of the next step, without the pause behind it.
    mutating func step() async throws -> [CachedEntry] {
        let scan = RedisCommand(
            "SCAN",
            .string(cursor),
            "MATCH",
            .string(pattern),
            "COUNT",
            .integer(Int64(Self.bucketsPerStep))
        )
        let reply = try await redis.send(scan, key: pattern).get()
        guard let parts = reply.array, parts.count == 2, let next = parts[0].string, let keys = parts[1].array else {
            throw AuditError.unexpectedReply("SCAN", reply)
        }
        cursor = next
        isAtEnd = next == "0"
        return try await entries(of: keys.compactMap { $0.bytes.flatMap { entity(ofKey: Array($0)) } })
    }

    private func entity(ofKey key: [UInt8]) -> (cache: String, entity: Entity, key: String)? {
        for (cache, namespace) in namespaces {
            guard case .entity(let entity)? = namespace.subject(ofKey: key) else { continue }
            // Who is loading is written under keys of their own, with a colon, which no entity has.
            return entity.text.utf8.contains(UInt8(ascii: ":"))
                ? nil : (cache, entity, String(decoding: key, as: UTF8.self))
        }
        return nil
    }

    /// Which entries lie under some keys.
    private func entries(of keys: [(cache: String, entity: Entity, key: String)]) async throws -> [CachedEntry] {
        guard !keys.isEmpty else { return [] }
        let batches = keys.map { RedisBatch(key: $0.key, commands: [RedisCommand("HKEYS", .string($0.key))]) }
        var entries: [CachedEntry] = []
        for (key, replies) in zip(keys, try await redis.send(batches)) {
            let reply = replies.first ?? .null
            // Something else lies under the key: nobody is served it.
            if reply.error?.code == .wrongType { continue }
            for field in try reply.get().array ?? [] {
                guard let text = field.string, text.hasPrefix("e:") else { continue }
                let variant = Variant(partOfField: String(text.dropFirst(2)))
                entries.append(CachedEntry(cache: key.cache, name: EntryName(entity: key.entity, variant: variant)))
            }
        }
        return entries
    }
}
