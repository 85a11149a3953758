// A lookup, step by step:
//
//  1. one pipeline reads, of every bucket, the head and the time, and of every entity its generations and entries;
//  2. what is valid is decoded; everything else is missing, for a reason;
//  3. misses are claimed, and entities without a generation, and a namespace without one, are seeded;
//  4. one load answers for all that is missing, in a snapshot that began after the generations were read;
//  5. each loaded value is stored if its generations are still the ones that were read.
//
// Why a stale value cannot survive: a load whose snapshot misses a commit took that snapshot before the commit became
// visible, hence before it was bumped, and read its generations earlier still. After the bump the generations differ: the
// fill is refused, or the entry is not valid. Sharing a load inside the process keeps to the same rule: only callers that
// read the same generations share. Waiting for another process's load ends in reading its entry like any other.
//
// What fails while a value is read or stored never fails a lookup: the value is loaded instead, or not stored, and counted.
// What the loader throws reaches the callers, and is not cached. Only the policy `fail` makes a lookup throw for Redis' sake.

public import Keyspace
public import Logging
import NIOConcurrencyHelpers
public import Redis
public import ServiceLifecycle
import Surroundings

/// A cache in Redis, in front of a loader, that never serves what was loaded before a change after the change's bump.
///
/// One for each namespace in a process. It can be run as a `Service`, which is not needed for lookups.
public final class ReadThroughCache<Key: Hashable & Sendable, Value: Sendable>: Service {
    private typealias Reader = CacheReader<Key, Value>

    private let definition: CacheDefinition<Key, Value>
    private let options: CacheOptions
    private let logger: Logger
    private let telemetry: ReadTelemetry
    private let reader: CacheReader<Key, Value>
    private let claims: FillClaims<Key, Value>
    private let filler: CacheFiller<Key, Value>
    private let queue: LoadQueue<Key, Value>
    private let flights: SingleFlight<FlightKey, Value>
    private let surroundings: Surroundings
    private let breaker: NIOLockedValueBox<CircuitBreaker>
    private let lastTrust = NIOLockedValueBox<Trust?>(nil)
    private let registration: CacheRegistry.Registration
    private let near: NearCache<Key, Value>?

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
        /// What the claim was set to.
        var claim: String?

        // Neither the time of the read nor the claim is part of it: whoever read the same generations may share.
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
    ///
    /// - Throws: ``CacheError/Code/namespaceInUse`` where another cache of this process has the namespace.
    public init(
        _ definition: CacheDefinition<Key, Value>,
        redis: any RedisClient,
        options: CacheOptions = CacheOptions(),
        logger: Logger
    ) throws(CacheError) {
        registration = try options.registry.register(definition.namespace)
        self.definition = definition
        self.options = options
        self.logger = logger
        let telemetry = ReadTelemetry(namespace: definition.namespace)
        self.telemetry = telemetry
        near = options.nearCache.map {
            NearCache(namespace: definition.namespace, limits: $0.limits, spread: definition.spread)
        }
        reader = CacheReader(
            definition: definition,
            redis: redis,
            degradedAge: options.degradation.greatestAge,
            near: near,
            surroundings: options.surroundings
        )
        surroundings = options.surroundings
        flights = SingleFlight(surroundings: options.surroundings)
        claims = FillClaims(
            definition: definition,
            redis: redis,
            sharing: options.sharing,
            logger: logger,
            surroundings: options.surroundings
        )
        filler = CacheFiller(definition: definition, redis: redis, logger: logger, telemetry: telemetry)
        queue = LoadQueue(limits: options.loads, surroundings: options.surroundings) { keys in
            try await telemetry.load(keys.count) {
                let loaded = try await definition.load(keys)
                let missing = keys.filter { loaded.values[$0] == nil }
                if let first = missing.first { throw IncompleteLoad(key: "\(first)", count: missing.count) }
                return loaded
            }
        }
        breaker = NIOLockedValueBox(CircuitBreaker(limits: options.breaker))
    }

    /// Keeps the near cache right, where there is one, until a graceful shutdown.
    ///
    /// Without it lookups work as well, and nothing is answered from memory.
    public func run() async throws {
        guard let feed else { return try await gracefulShutdown() }
        await cancelWhenGracefulShutdown { await feed.run() }
    }

    /// How many values are kept in memory.
    package var nearCount: Int { near?.size.count ?? 0 }

    /// Keeps the near cache right until the task is cancelled.
    package func follow() async {
        await feed?.run()
    }

    private var feed: NearCacheFeed<Key, Value>? {
        guard let near, let options = options.nearCache else { return nil }
        let redis = options.redis
        return NearCacheFeed(
            near: near,
            open: options.open ?? { try await TrackedConnection.open(redis, report: $0) },
            namespace: definition.namespace,
            logger: logger,
            pollInterval: options.pollInterval,
            surroundings: surroundings
        )
    }

    /// The values of some keys: in one round trip where all are cached, with one load where some are not.
    ///
    /// - Parameters:
    ///   - token: A committed transaction that the answers must not be from before.
    ///   - deadline: When to give up, whatever is being waited for.
    /// - Throws: What the loader throws; `CancellationError` where the caller is cancelled; ``CacheError`` where the deadline
    ///   has passed, or where the policy is to fail.
    public func values(
        for keys: some Sequence<Key>,
        after token: ReadToken? = nil,
        deadline: ContinuousClock.Instant? = nil
    ) async throws -> CacheAnswers<Key, Value> {
        let keys = definition.arranged(Set(keys))
        let (trust, answers) = try await self.answers(for: keys, after: token, deadline: deadline)
        return CacheAnswers(trust: trust, answers: Dictionary(uniqueKeysWithValues: zip(keys, answers)))
    }

    /// How far Redis can be relied on now.
    ///
    /// - Throws: `CancellationError` where the caller is cancelled.
    public func trust() async throws -> Trust {
        let trust = try await read([], token: nil, since: surroundings.now)?.trust ?? .unreachable
        note(trust)
        return trust
    }

    /// One answer for each key, in the same order; no key stands twice.
    func answers(
        for keys: [Key],
        after token: ReadToken?,
        deadline: ContinuousClock.Instant?
    ) async throws -> (Trust, [CacheAnswer<Value>]) {
        guard !keys.isEmpty else { return (try await trust(), []) }
        guard let near, token == nil else {
            return try await answersOfRedis(for: keys, after: token, deadline: deadline)
        }
        let now = LocalTime.now(surroundings)
        let values = keys.map { near.value(for: $0, at: now) }
        let rest = zip(keys, values).compactMap { key, value in value == nil ? key : nil }
        if rest.count < keys.count { telemetry.foundNear(keys.count - rest.count) }
        guard !rest.isEmpty else {
            telemetry.lookedUpNear()
            return (.healthy, values.compactMap { $0.map { CacheAnswer(value: $0, source: .near) } })
        }
        let (trust, answers) = try await answersOfRedis(for: rest, after: nil, deadline: deadline)
        var others = answers.makeIterator()
        return (trust, values.compactMap { $0.map { CacheAnswer(value: $0, source: .near) } ?? others.next() })
    }

    private func answersOfRedis(
        for keys: [Key],
        after token: ReadToken?,
        deadline: ContinuousClock.Instant?
    ) async throws -> (Trust, [CacheAnswer<Value>]) {
        try await telemetry.lookUp(keys.count, surroundings) { start in
            // Without a deadline at once: each function on the way is one more for the task to come back through.
            guard let deadline else { return try await self.lookUp(keys, after: token, since: start) }
            return try await before(deadline, surroundings) {
                try await self.lookUp(keys, after: token, since: start)
            }
        }
    }

    /// The values of one key, or of two, where they are in memory and may be answered now: nothing is allocated.
    @inline(__always)
    func nearValues(of key: Key, and other: Key?) -> (Value, Value?)? {
        guard let near else { return nil }
        let now = LocalTime.now(surroundings)
        guard let other else {
            guard let value = near.value(for: key, at: now) else { return nil }
            telemetry.foundNear(1)
            telemetry.lookedUpNear()
            return (value, nil)
        }
        guard let (first, second) = near.values(for: key, and: other, at: now) else { return nil }
        telemetry.foundNear(2)
        telemetry.lookedUpNear()
        return (first, second)
    }

    private func lookUp(
        _ keys: [Key],
        after token: ReadToken?,
        since start: ContinuousClock.Instant
    ) async throws -> (Trust, [CacheAnswer<Value>]) {
        guard var reading = try await read(keys, token: token, since: start) else {
            return try await loadAll(keys, because: .unreachable, trust: .unreachable)
        }
        if let token, !reading.hasApplied {
            guard let later = try await waitForWorker(keys, token, reading) else {
                return try await loadAll(keys, because: .behind, trust: reading.trust)
            }
            reading = later
        }
        switch reading.trust {
        case .disabled: return try await loadAll(keys, because: .disabled, trust: .disabled)
        case .unreachable: return try await loadAll(keys, because: .unreachable, trust: .unreachable)
        case .degraded: try refuse(.degraded)
        case .healthy: break
        }
        note(reading.trust)

        var answers: [CacheAnswer<Value>] = []
        answers.reserveCapacity(keys.count)
        var misses: [(key: Key, miss: Reader.Miss)] = []
        for (place, finding) in reading.findings.enumerated() {
            switch finding {
            case .hit(let value): answers.append(CacheAnswer(value: value, source: .hit))
            case .miss(let miss): misses.append((keys[place], miss))
            }
        }
        // A closure: in generic code a key path is put together at run time, at each lookup.
        telemetry.lookedUp(reading.trust, hits: answers.count, misses: misses.lazy.map { $0.miss.reason })
        guard !misses.isEmpty else { return (reading.trust, answers) }

        for (key, miss) in misses {
            logger.debug("Miss", metadata: ["key": "\(key)", "reason": "\(miss.reason.label)"])
        }
        let loaded = try await load(misses, isShared: token == nil)
        answers = zip(keys, reading.findings).compactMap { key, finding in
            switch finding {
            case .hit(let value): CacheAnswer(value: value, source: .hit)
            case .miss(let miss): loaded[key].map { CacheAnswer(value: $0, source: .miss(miss.reason)) }
            }
        }
        return (reading.trust, answers)
    }

    // MARK: Reading

    /// Reads, unless Redis is being left alone; nil where it does not answer.
    ///
    /// - Parameter start: When it begins: now.
    private func read(
        _ keys: [Key],
        token: ReadToken?,
        since start: ContinuousClock.Instant
    ) async throws -> CacheReader<Key, Value>.Reading? {
        guard breaker.withLockedValue({ $0.admits(at: start) }) else { return nil }
        func ended(_ outcome: (Duration) -> CircuitBreaker.Outcome) {
            let now = surroundings.now
            breaker.withLockedValue { $0.ended(outcome(start.duration(to: now)), at: now) }
        }
        do {
            let reading = try await reader.read(keys, token: token)
            ended { .answered(after: $0) }
            return reading
        } catch {
            guard error.code != .cancelled else {
                ended { .abandoned(after: $0) }
                throw CancellationError()
            }
            ended { _ in .failed }
            logger.debug("Redis does not answer", metadata: ["error": "\(error)"])
            return nil
        }
    }

    /// Reads again and again until the transaction has been applied; nil where that takes too long, or where nobody is there
    /// to apply it.
    private func waitForWorker(
        _ keys: [Key],
        _ token: ReadToken,
        _ first: CacheReader<Key, Value>.Reading
    ) async throws -> CacheReader<Key, Value>.Reading? {
        var poll = PollInterval(least: .milliseconds(1), greatest: .milliseconds(20))
        let end = surroundings.now + options.tokenWait
        var trust = first.trust
        while trust == .healthy, surroundings.now < end {
            try await surroundings.sleep(for: poll.next(surroundings))
            guard let reading = try await read(keys, token: token, since: surroundings.now) else { return nil }
            if reading.hasApplied { return reading }
            trust = reading.trust
        }
        return nil
    }

    private func note(_ trust: Trust) {
        let changed = lastTrust.withLockedValue { last in
            defer { last = trust }
            return last != trust
        }
        guard changed else { return }
        telemetry.trustChanged(to: trust)
        logger.log(
            level: trust == .healthy ? .info : .warning,
            "Trust in the cache has changed",
            metadata: ["trust": "\(trust.rawValue)"]
        )
    }

    /// Throws where the policy is to fail rather than to answer without Redis.
    private func refuse(_ code: CacheError.Code) throws {
        guard options.degradation == .fail else { return }
        note(code == .degraded ? .degraded : .unreachable)
        throw CacheError(
            code,
            code == .degraded
                ? "\(definition.namespace): no worker vouches for the cache; see freshet status"
                : "\(definition.namespace): Redis does not answer; see the log of its connection"
        )
    }

    // MARK: Loading

    /// Loads everything, and stores nothing.
    private func loadAll(
        _ keys: [Key],
        because reason: MissReason,
        trust: Trust
    ) async throws -> (Trust, [CacheAnswer<Value>]) {
        if trust == .unreachable { try refuse(.unreachable) }
        if trust == .degraded { try refuse(.degraded) }
        note(trust)
        telemetry.lookedUp(trust, hits: 0, misses: keys.lazy.map { _ in reason })
        let loaded = try await queue.values(of: keys)
        return (
            trust, keys.compactMap { key in loaded.values[key].map { CacheAnswer(value: $0, source: .miss(reason)) } }
        )
    }

    /// - Parameter isShared: Whether others' loads will do, of this process or of another; one who waits for a commit of its own
    ///   relies on nobody's reading but its own.
    private func load(
        _ misses: [(key: Key, miss: Reader.Miss)],
        isShared: Bool
    ) async throws -> [Key: Value] {
        var own: [FlightKey] = []
        var held: [FlightKey] = []
        var heldWhileDegraded: [FlightKey] = []
        var unstamped: [Key] = []
        for claimed in try await claim(misses) {
            guard let flightKey = flightKey(of: claimed) else {
                unstamped.append(claimed.key)
                continue
            }
            let isHealthy = claimed.miss.trust == .healthy
            let age = options.degradation.greatestAge
            // What would be too old to be served by the time it is there is not waited for.
            if claimed.isHeld, isShared, options.sharing.wait > .zero, isHealthy || age > options.sharing.wait {
                if isHealthy { held.append(flightKey) } else { heldWhileDegraded.append(flightKey) }
            } else {
                own.append(flightKey)
            }
        }
        async let loaded = isShared ? fly(own) { try await self.loadAndFill($0) } : loadAlone(own)
        async let awaited = fly(held) { try await self.awaitOthers($0, load: self.loadAndFill) }
        async let awaitedAlone = awaitAlone(heldWhileDegraded)
        async let others = unstamped.isEmpty ? [:] : queue.values(of: unstamped).values
        return try await loaded.merging(awaited) { first, _ in first }
            .merging(awaitedAlone) { first, _ in first }
            .merging(others) { first, _ in first }
    }

    /// Claims the loads of some misses; what is claimed for a caller that is cancelled meanwhile is taken back.
    private func claim(_ misses: [(key: Key, miss: Reader.Miss)]) async throws -> [FillClaims<Key, Value>.Claimed] {
        try await claims.claim(misses) { [self] claimed in
            // All callers of a process claim alike: what another of them loads is claimed by that one as well.
            release(claimed.filter { !$0.isHeld }.compactMap(flightKey).filter { !flights.isUnderWay($0) })
        }
    }

    /// What the load of a claim is shared by; nil where it has nothing to be stored under.
    private func flightKey(of claimed: FillClaims<Key, Value>.Claimed) -> FlightKey? {
        claimed.stamp.map { stamp in
            let isHealthy = claimed.miss.trust == .healthy
            let age = max(1, options.degradation.greatestAge.wholeMicroseconds)
            return FlightKey(
                key: claimed.key,
                stamp: stamp,
                postgres: claimed.miss.postgres,
                stretch: isHealthy ? nil : stamp.readAt.microseconds / age,
                claim: claimed.claim
            )
        }
    }

    private func loadAlone(_ flightKeys: [FlightKey]) async throws -> [Key: Value] {
        guard !flightKeys.isEmpty else { return [:] }
        let loaded = try await loadAndFill(flightKeys)
        return Dictionary(uniqueKeysWithValues: loaded.map { ($0.key.key, $0.value) })
    }

    /// Waits for what other processes load, while nobody vouches.
    ///
    /// How old an entry may be counts from the caller's own lookup, so what one has found does for no other. What does not come is
    /// loaded together.
    private func awaitAlone(_ flightKeys: [FlightKey]) async throws -> [Key: Value] {
        guard !flightKeys.isEmpty else { return [:] }
        let found = try await awaitOthers(flightKeys) { [flights, telemetry] keys in
            let loaded = try await flights.values(
                of: keys,
                joined: { telemetry.shared(count: $0) },
                load: { try await self.loadAndFill($0) }
            )
            // A load that was joined may be of others' keys as well, and of these under other generations.
            let asked = Set(keys)
            return loaded.filter { asked.contains($0.key) }
        }
        return Dictionary(uniqueKeysWithValues: found.map { ($0.key.key, $0.value) })
    }

    private func fly(
        _ flightKeys: [FlightKey],
        _ body: @escaping @Sendable ([FlightKey]) async throws -> [FlightKey: Value]
    ) async throws -> [Key: Value] {
        guard !flightKeys.isEmpty else { return [:] }
        let found = try await flights.values(
            of: flightKeys,
            joined: { [telemetry] in telemetry.shared(count: $0) },
            load: body
        )
        var values: [Key: Value] = [:]
        for flightKey in flightKeys { values[flightKey.key] = found[flightKey] }
        return values
    }

    private func loadAndFill(_ flightKeys: [FlightKey]) async throws -> [FlightKey: Value] {
        let loaded: LoadedValues<Key, Value>
        do {
            loaded = try await queue.values(of: flightKeys.map { $0.key })
        } catch {
            release(flightKeys)
            throw error
        }
        var values: [FlightKey: Value] = [:]
        var fills: [CacheFiller<Key, Value>.Fill] = []
        for flightKey in flightKeys {
            guard let value = loaded.values[flightKey.key] else { continue }
            values[flightKey] = value
            fills.append(
                .init(
                    key: flightKey.key,
                    value: value,
                    stamp: flightKey.stamp,
                    postgres: flightKey.postgres,
                    claim: flightKey.claim
                )
            )
        }
        do {
            let unsent = try await filler.fill(fills, from: loaded.postgres)
            claims.release(unsent.compactMap { fill in fill.claim.map { (fill.key, $0) } })
        } catch {
            release(flightKeys)
            throw error
        }
        return values
    }

    private func release(_ flightKeys: [FlightKey]) {
        claims.release(flightKeys.compactMap { flightKey in flightKey.claim.map { (flightKey.key, $0) } })
    }

    /// Waits for the values that other processes are loading, and loads what does not come.
    private func awaitOthers(
        _ flightKeys: [FlightKey],
        load: @Sendable ([FlightKey]) async throws -> [FlightKey: Value]
    ) async throws -> [FlightKey: Value] {
        var poll = PollInterval(least: .milliseconds(2), greatest: .milliseconds(50))
        let end = surroundings.now + options.sharing.wait
        let asked = Dictionary(uniqueKeysWithValues: flightKeys.map { ($0.key, $0) })
        var missing = asked
        var values: [FlightKey: Value] = [:]
        while !missing.isEmpty, surroundings.now < end {
            try await surroundings.sleep(for: poll.next(surroundings))
            let keys = definition.arranged(missing.keys)
            // What the callers were told of trust must hold for what they are given.
            let isHealthy = flightKeys.contains { $0.stretch == nil }
            guard let reading = try await read(keys, token: nil, since: surroundings.now),
                reading.trust == .healthy || (reading.trust == .degraded && !isHealthy)
            else { break }
            var misses: [(key: Key, miss: Reader.Miss)] = []
            for (key, finding) in zip(keys, reading.findings) {
                switch finding {
                case .hit(let value):
                    if let flightKey = missing.removeValue(forKey: key) { values[flightKey] = value }
                case .miss(let miss): misses.append((key, miss))
                }
            }
            telemetry.awaited(count: keys.count - misses.count)
            var own: [FlightKey] = []
            for claimed in try await claim(misses) where !claimed.isHeld {
                guard var before = missing.removeValue(forKey: claimed.key) else { continue }
                before.claim = claimed.claim
                // The one before has failed, or was bumped: it is up to us, under what was read just now, all of it or nothing. The
                // stamp of one read and the Postgres of another would let what this one answers pass for what that one promised.
                own.append(flightKey(of: claimed) ?? before)
            }
            guard !own.isEmpty else { continue }
            for (flightKey, value) in try await load(own) {
                if let asked = asked[flightKey.key] { values[asked] = value }
            }
        }
        if !missing.isEmpty {
            values.merge(try await load(Array(missing.values))) { first, _ in first }
        }
        return values
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
