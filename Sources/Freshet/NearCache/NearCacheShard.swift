// What may be kept in memory, and for how long it may be answered from there. Decisions only: time, invalidations and the
// outcome of reads come in from outside.
//
// The promise is that of Redis: an answer from here is one that a read of Redis would have given a moment ago, the moment that
// a push takes on its way. Each of these rules stands against one way to break it:
//
//   * Nothing is answered at or after `deadline`, the end of the worker's promise on the local clock. It moves on only with
//     the proof that both connections of the session stood and that every push up to then has been applied; see
//     `NearCacheFeed`. So a push that is lost, or late, is worth no more than the lease.
//   * A read takes a ticket before it is sent. An invalidation of its entity in between voids the ticket, whether it arrives
//     before or after the reply: the two come over different connections.
//   * What is kept belongs to a session, one pair of connections. With it everything is forgotten, and tickets of another
//     session are void: the new pair's server tracks nothing of what the old one read.
//   * A flush (FLUSHALL, a bump of the namespace) voids all tickets.
//   * A value is taken in only under the namespace generation that the last poll saw. Where a bump of the namespace is told
//     by nobody (the dataset was exchanged by SWAPDB, a worker of an older version), the next poll sees another generation and
//     everything goes; and a read that is under way then, with the old one, brings nothing back.
//   * Only what Redis itself answered as a hit is taken in, never what a loader returned: it was stored by a script that
//     checked its generations, and read back, tracked, in one transaction with the head that makes it valid.

import Keyspace

/// A part of a near cache: some of the keys, under one lock.
struct NearCacheShard<Key: Hashable & Sendable, Value: Sendable> {
    /// What a read under way holds for one key.
    struct Ticket {
        fileprivate var entity: Entity
        fileprivate var epoch: UInt64
        fileprivate var version: UInt64
    }

    /// A value that Redis answered with, and what it is valid under.
    struct Candidate {
        var value: Value
        var byteCount: Int
        var bucket: Int
        var namespace: Generation
        /// From when on Redis would not answer with it either.
        var expires: LocalTime
    }

    /// What a hit needs of a value.
    private struct Slot {
        var value: Value?
        var expires: LocalTime
    }

    /// What else is known of it.
    private struct Origin {
        var key: Key
        var entity: Entity
        var byteCount: Int
    }

    /// The reads of one entity that are under way.
    private struct Pending {
        var readCount = 0
        /// How often the entity was invalidated meanwhile.
        var version: UInt64 = 0
    }

    /// A deadline that is always over.
    private static var never: LocalTime { LocalTime(nanoseconds: .min) }

    private let limits: NearCacheLimits
    /// The pair of connections that tells of changes; nil while there is none.
    private var session: UInt64?
    /// Counts the moments at which everything was forgotten.
    private var epoch: UInt64 = 0
    private var deadline = Self.never
    /// The generation that the last poll saw in each bucket.
    private var generations: [Int: Generation] = [:]
    private var pending: [Entity: Pending] = [:]

    private var numbers: [Key: Int] = [:]
    private var slots: [Slot] = []
    private var origins: [Origin?] = []
    private var order = SieveList()
    private var numbersOfEntity: [Entity: [Int]] = [:]
    /// The bytes of all values.
    private(set) var byteCount = 0

    init(limits: NearCacheLimits) {
        self.limits = limits
    }

    /// The number of values.
    var count: Int { numbers.count }

    // MARK: Answering

    /// The value of a key, where it is here and may be answered at this moment.
    @inline(__always)
    mutating func value(for key: Key, at now: LocalTime) -> Value? {
        guard now < deadline, let number = numbers[key], now < slots[number].expires else { return nil }
        order.visit(number)
        return slots[number].value
    }

    // MARK: Reading

    /// A read of a key is about to be sent over the connections of a session.
    ///
    /// Returns nil where its outcome could not be kept. Each ticket is redeemed or returned once.
    mutating func ticket(for entity: Entity, session: UInt64) -> Ticket? {
        guard self.session == session else { return nil }
        pending[entity, default: Pending()].readCount += 1
        return Ticket(entity: entity, epoch: epoch, version: pending[entity]?.version ?? 0)
    }

    /// The read is over, with nothing to keep.
    mutating func giveBack(_ ticket: Ticket) {
        guard var reads = pending[ticket.entity], ticket.epoch == epoch else { return }
        reads.readCount -= 1
        // Nobody is left who could remember an older version.
        pending[ticket.entity] = reads.readCount > 0 ? reads : nil
    }

    /// The read is over, and Redis answered.
    ///
    /// Returns whether the value was taken in.
    @discardableResult
    mutating func redeem(_ ticket: Ticket, for key: Key, with candidate: Candidate) -> Bool {
        let isCurrent = ticket.epoch == epoch && pending[ticket.entity]?.version == ticket.version
        giveBack(ticket)
        guard isCurrent, generations[candidate.bucket] == candidate.namespace,
            candidate.byteCount <= limits.bytes, limits.count > 0
        else { return false }
        if let number = numbers[key] {
            order.remove(number)
            drop(number)
        }
        while numbers.count >= limits.count || byteCount + candidate.byteCount > limits.bytes {
            guard let number = order.evict() else { break }
            drop(number)
        }
        let number = order.insert()
        if number == slots.count {
            slots.append(Slot(value: nil, expires: Self.never))
            origins.append(nil)
        }
        slots[number] = Slot(value: candidate.value, expires: candidate.expires)
        origins[number] = Origin(key: key, entity: ticket.entity, byteCount: candidate.byteCount)
        numbers[key] = number
        numbersOfEntity[ticket.entity, default: []].append(number)
        byteCount += candidate.byteCount
        return true
    }

    /// Forgets a value that the order of eviction has let go.
    private mutating func drop(_ number: Int) {
        guard let origin = origins[number] else { return }
        slots[number] = Slot(value: nil, expires: Self.never)
        origins[number] = nil
        numbers[origin.key] = nil
        byteCount -= origin.byteCount
        numbersOfEntity[origin.entity]?.removeAll { $0 == number }
        if numbersOfEntity[origin.entity]?.isEmpty == true { numbersOfEntity[origin.entity] = nil }
    }

    // MARK: Told by the feed

    /// Another pair of connections stands.
    mutating func begin(session: UInt64) {
        if let before = self.session { end(session: before) }
        self.session = session
    }

    /// The pair of connections is gone.
    mutating func end(session: UInt64) {
        guard self.session == session else { return }
        self.session = nil
        deadline = Self.never
        generations = [:]
        forgetEverything()
    }

    /// The key of an entity has changed.
    mutating func invalidate(_ entity: Entity) {
        pending[entity]?.version += 1
        for number in numbersOfEntity[entity] ?? [] {
            order.remove(number)
            drop(number)
        }
    }

    /// Everything may have changed.
    mutating func forgetEverything() {
        epoch += 1
        pending = [:]
        numbers = [:]
        slots = []
        origins = []
        order.removeAll()
        numbersOfEntity = [:]
        byteCount = 0
    }

    /// The heads have these generations, everything that changed before they were read has been told, and the worker's
    /// promise holds until `deadline`.
    mutating func extend(_ session: UInt64, generations: [Int: Generation], until deadline: LocalTime) {
        guard self.session == session else { return }
        if generations != self.generations {
            forgetEverything()
            self.generations = generations
        }
        self.deadline = deadline
    }

    /// Nothing is to be answered from memory for the time being.
    mutating func pause(_ session: UInt64) {
        guard self.session == session else { return }
        deadline = Self.never
    }
}
