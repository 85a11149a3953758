import Keyspace
import NIOConcurrencyHelpers
import Redis

/// Decoded values in the memory of this process, each as fresh as it would be from Redis.
///
/// Several shards, each with a lock of its own, so that readers on many threads seldom meet. What is decided is decided in
/// `NearCacheShard`; what is told comes from a `NearCacheFeed`, without which nothing is ever answered here.
final class NearCache<Key: Hashable & Sendable, Value: Sendable>: Sendable {
    typealias Shard = NearCacheShard<Key, Value>

    /// The connections over which reads are tracked.
    struct Session: Sendable {
        let number: UInt64
        let connection: any TrackingSession
    }

    private let namespace: CacheNamespace
    private let spread: @Sendable (Key) -> UInt
    private let shards: [NIOLockedValueBox<Shard>]
    private let current = NIOLockedValueBox<Session?>(nil)
    private let lastSession = NIOLockedValueBox<UInt64>(0)

    /// A cache of one namespace.
    ///
    /// - Parameter spread: Of a key, the number by whose upper bits it belongs to a shard.
    init(namespace: CacheNamespace, limits: NearCacheLimits, spread: @escaping @Sendable (Key) -> UInt) {
        self.namespace = namespace
        self.spread = spread
        // Small caches are not worth dividing: a part of a small bound is a bound too small.
        let shardCount = limits.count >= 1_024 && limits.bytes >= 8 * 1_024 * 1_024 ? 8 : 1
        let share = NearCacheLimits(count: limits.count / shardCount, bytes: limits.bytes / shardCount)
        shards = (0..<shardCount).map { _ in NIOLockedValueBox(Shard(limits: share)) }
    }

    /// The number of values, and the bytes that they have together in Redis.
    var size: (count: Int, bytes: Int) {
        shards.reduce((0, 0)) { sum, shard in
            shard.withLockedValue { (sum.0 + $0.count, sum.1 + $0.byteCount) }
        }
    }

    @inline(__always)
    private func shardIndex(of key: Key) -> Int {
        // Of the number's upper bits, as many as tell the shards apart.
        shards.count == 1 ? 0 : Int(spread(key) &>> UInt(UInt.bitWidth - shards.count.trailingZeroBitCount))
    }

    @inline(__always)
    private func shard(of key: Key) -> NIOLockedValueBox<Shard> {
        shards[shardIndex(of: key)]
    }

    // MARK: Answering

    /// The value of a key, where it is in memory and may be answered at this moment.
    @inline(__always)
    func value(for key: Key, at now: LocalTime = .now) -> Value? {
        shard(of: key).withLockedValue { $0.value(for: key, at: now) }
    }

    /// The values of two keys, where both are in memory and may be answered at this moment.
    @inline(__always)
    func values(for key: Key, and other: Key, at now: LocalTime) -> (Value, Value)? {
        let index = shardIndex(of: key)
        if index == shardIndex(of: other) {
            return shards[index].withLockedValue { shard in
                guard let first = shard.value(for: key, at: now), let second = shard.value(for: other, at: now) else {
                    return nil
                }
                return (first, second)
            }
        }
        guard let first = value(for: key, at: now), let second = value(for: other, at: now) else { return nil }
        return (first, second)
    }

    // MARK: Reading

    /// The connections over which to read what is to be kept; nil while there are none.
    var session: Session? { current.withLockedValue { $0 } }

    /// Takes a ticket for a read over a session that is about to be sent.
    ///
    /// Nil where its outcome could not be kept. Each is redeemed or given back once.
    func ticket(for key: Key, of entity: Entity, session: Session) -> Shard.Ticket? {
        shard(of: key).withLockedValue { $0.ticket(for: entity, session: session.number) }
    }

    /// Keeps what Redis answered, unless something happened to it since the ticket was taken.
    @discardableResult
    func redeem(_ ticket: Shard.Ticket, for key: Key, with candidate: Shard.Candidate) -> Bool {
        shard(of: key).withLockedValue { $0.redeem(ticket, for: key, with: candidate) }
    }

    /// Ends a read of which nothing is kept.
    func giveBack(_ ticket: Shard.Ticket, for key: Key) {
        shard(of: key).withLockedValue { $0.giveBack(ticket) }
    }

    // MARK: Told by the feed

    /// A number that no session of this cache has had.
    func nextSession() -> UInt64 {
        lastSession.withLockedValue { number in
            number += 1
            return number
        }
    }

    /// A pair of connections stands; reads may use it from now on.
    func begin(_ session: Session) {
        forAll { $0.begin(session: session.number) }
        current.withLockedValue { $0 = session }
    }

    /// The pair of connections of a session is gone.
    func end(session number: UInt64) {
        current.withLockedValue { current in
            if current?.number == number { current = nil }
        }
        forAll { $0.end(session: number) }
    }

    /// Redis tells of a change.
    func apply(_ event: TrackedConnection.Event, session number: UInt64) {
        switch event {
        case .invalidated(let key):
            guard case .entity(let entity)? = namespace.subject(ofKey: key) else {
                // The namespace was bumped; or it is a key that nobody here has read, which would be a puzzle.
                forAll { $0.forgetEverything() }
                return
            }
            // In all shards: they are divided by key, and an entity has several.
            forAll { $0.invalidate(entity) }
        case .invalidatedEverything:
            forAll { $0.forgetEverything() }
        case .lost:
            end(session: number)
        }
    }

    /// Everything that changed before the heads were read has been told, and the worker vouches until `deadline`.
    func extend(_ number: UInt64, generations: [Int: Generation], until deadline: LocalTime) {
        forAll { $0.extend(number, generations: generations, until: deadline) }
    }

    /// Nothing is answered from memory until the promise is extended again.
    func pause(_ number: UInt64) {
        forAll { $0.pause(number) }
    }

    private func forAll(_ body: (inout Shard) -> Void) {
        for shard in shards { shard.withLockedValue { body(&$0) } }
    }
}
