import Keyspace
import Testing

@testable import Freshet

/// Each trap of client-side caching, as an order of events.
struct NearCacheShardTests {
    private typealias Key = DetectorWorkflowsKey
    private typealias Ticket = NearCacheShard<Key, String>.Ticket
    private typealias Candidate = NearCacheShard<Key, String>.Candidate

    /// A shard as a reference, because expectations cannot change a value.
    private final class Shard {
        var value: NearCacheShard<Key, String>

        init(limits: NearCacheLimits) { value = NearCacheShard(limits: limits) }

        var count: Int { value.count }
        var byteCount: Int { value.byteCount }

        func ticket(for entity: Entity, session: UInt64) -> Ticket? { value.ticket(for: entity, session: session) }

        func redeem(_ ticket: Ticket, for key: Key, with candidate: Candidate) -> Bool {
            value.redeem(ticket, for: key, with: candidate)
        }

        func extend(_ session: UInt64, generations: [Int: Generation], until deadline: LocalTime) {
            value.extend(session, generations: generations, until: deadline)
        }
    }

    private static let start = LocalTime.now
    private static let generation = Generation(counter: 1, nonce: 1)
    private static let entity = Entity(1)
    private static let key = DetectorWorkflowsKey(detectorID: 1, environment: .global)
    private static let other = DetectorWorkflowsKey(detectorID: 1, environment: .environment(5))

    private static func key(_ detector: Int64) -> DetectorWorkflowsKey {
        DetectorWorkflowsKey(detectorID: detector, environment: .global)
    }

    private static func candidate(
        _ value: String = "value",
        bytes: Int = 10,
        namespace: Generation = generation,
        expiresAfter: Duration = .seconds(60)
    ) -> Candidate {
        Candidate(value: value, byteCount: bytes, bucket: 0, namespace: namespace, expires: start + expiresAfter)
    }

    /// A shard of session 1, with a promise of five seconds.
    private func shard(count: Int = 100, bytes: Int = 1_000) -> Shard {
        let shard = Shard(limits: NearCacheLimits(count: count, bytes: bytes))
        shard.value.begin(session: 1)
        shard.extend(1, generations: [0: Self.generation], until: Self.start + .seconds(5))
        return shard
    }

    /// Reads a key undisturbed.
    private func fill(
        _ shard: Shard,
        _ key: DetectorWorkflowsKey = key,
        bytes: Int = 10
    ) throws {
        let ticket = try #require(shard.ticket(for: Entity(key.detectorID), session: 1))
        #expect(shard.redeem(ticket, for: key, with: Self.candidate(bytes: bytes)))
    }

    private func answer(_ shard: Shard, _ key: DetectorWorkflowsKey = key, after: Duration = .zero) -> String? {
        shard.value.value(for: key, at: Self.start + after)
    }

    @Test func `what was read is answered until the promise ends, and not at its end`() throws {
        let shard = shard()
        try fill(shard)
        #expect(answer(shard) == "value")
        #expect(answer(shard, after: .milliseconds(4_999)) == "value")
        #expect(answer(shard, after: .seconds(5)) == nil)
        shard.extend(1, generations: [0: Self.generation], until: Self.start + .seconds(6))
        #expect(answer(shard, after: .seconds(5)) == "value")
    }

    @Test func `a value is not answered for longer than Redis would answer with it`() throws {
        let shard = shard()
        let ticket = try #require(shard.ticket(for: Self.entity, session: 1))
        #expect(shard.redeem(ticket, for: Self.key, with: Self.candidate(expiresAfter: .seconds(2))))
        #expect(answer(shard, after: .milliseconds(1_999)) == "value")
        #expect(answer(shard, after: .seconds(2)) == nil)
    }

    @Test func `before the first proof nothing is answered`() throws {
        let shard = Shard(limits: NearCacheLimits())
        #expect(shard.ticket(for: Self.entity, session: 1) == nil)
        shard.value.begin(session: 1)
        let ticket = try #require(shard.ticket(for: Self.entity, session: 1))
        #expect(!shard.redeem(ticket, for: Self.key, with: Self.candidate()))
        #expect(answer(shard) == nil)
    }

    @Test func `an invalidation takes every variant of its entity and nothing else`() throws {
        let shard = shard()
        for key in [Self.key, Self.other, Self.key(2)] { try fill(shard, key) }
        shard.value.invalidate(Self.entity)
        #expect(answer(shard) == nil)
        #expect(answer(shard, Self.other) == nil)
        #expect(answer(shard, Self.key(2)) == "value")
        #expect(shard.count == 1)
        #expect(shard.byteCount == 10)
    }

    @Test func `an invalidation before the reply that it concerns voids the reply`() throws {
        let shard = shard()
        let early = try #require(shard.ticket(for: Self.entity, session: 1))
        shard.value.invalidate(Self.entity)
        let late = try #require(shard.ticket(for: Self.entity, session: 1))
        #expect(!shard.redeem(early, for: Self.key, with: Self.candidate("old")))
        #expect(answer(shard) == nil)
        #expect(shard.redeem(late, for: Self.key, with: Self.candidate("new")))
        #expect(answer(shard) == "new")
    }

    @Test func `an old reply does not come back over a newer one`() throws {
        let shard = shard()
        let early = try #require(shard.ticket(for: Self.entity, session: 1))
        shard.value.invalidate(Self.entity)
        let late = try #require(shard.ticket(for: Self.entity, session: 1))
        #expect(shard.redeem(late, for: Self.key, with: Self.candidate("new")))
        #expect(!shard.redeem(early, for: Self.key, with: Self.candidate("old")))
        #expect(answer(shard) == "new")
    }

    @Test func `the invalidation of another entity voids nothing`() throws {
        let shard = shard()
        let ticket = try #require(shard.ticket(for: Self.entity, session: 1))
        shard.value.invalidate(Entity(2))
        #expect(shard.redeem(ticket, for: Self.key, with: Self.candidate()))
    }

    @Test func `a flush forgets everything and voids what is being read`() throws {
        let shard = shard()
        try fill(shard, Self.key(2))
        let ticket = try #require(shard.ticket(for: Self.entity, session: 1))
        shard.value.forgetEverything()
        let next = try #require(shard.ticket(for: Self.entity, session: 1))
        #expect(!shard.redeem(ticket, for: Self.key, with: Self.candidate("old")))
        #expect(shard.count == 0)
        #expect(shard.byteCount == 0)
        // The promise still stands, and what is read afterwards is as good as ever.
        #expect(shard.redeem(next, for: Self.key, with: Self.candidate("new")))
        #expect(answer(shard) == "new")
    }

    @Test func `a lost connection ends everything until the next pair has proved itself`() throws {
        let shard = shard()
        try fill(shard)
        let ticket = try #require(shard.ticket(for: Self.entity, session: 1))
        shard.value.end(session: 1)
        #expect(answer(shard) == nil)
        #expect(shard.ticket(for: Self.entity, session: 1) == nil)
        shard.value.begin(session: 2)
        // News of the old pair, late: neither its proof nor its end nor what was read on it concerns the new one.
        shard.extend(1, generations: [0: Self.generation], until: Self.start + .seconds(5))
        shard.value.end(session: 1)
        #expect(!shard.redeem(ticket, for: Self.key, with: Self.candidate()))
        #expect(shard.ticket(for: Self.entity, session: 1) == nil)
        #expect(answer(shard) == nil)
        shard.extend(2, generations: [0: Self.generation], until: Self.start + .seconds(5))
        let next = try #require(shard.ticket(for: Self.entity, session: 2))
        #expect(shard.redeem(next, for: Self.key, with: Self.candidate()))
        #expect(answer(shard) == "value")
    }

    @Test func `another generation of the namespace ends everything, told or not`() throws {
        let shard = shard()
        let bumped = Generation(counter: 2, nonce: 2)
        try fill(shard)
        let ticket = try #require(shard.ticket(for: Self.entity, session: 1))
        shard.extend(1, generations: [0: bumped], until: Self.start + .seconds(6))
        #expect(answer(shard) == nil)
        #expect(!shard.redeem(ticket, for: Self.key, with: Self.candidate()))
        let next = try #require(shard.ticket(for: Self.entity, session: 1))
        #expect(!shard.redeem(next, for: Self.key, with: Self.candidate()))
        let last = try #require(shard.ticket(for: Self.entity, session: 1))
        #expect(shard.redeem(last, for: Self.key, with: Self.candidate(namespace: bumped)))
    }

    @Test func `a value under a generation that no poll has seen is not taken in`() throws {
        let shard = shard()
        let ticket = try #require(shard.ticket(for: Self.entity, session: 1))
        let candidate = Self.candidate(namespace: Generation(counter: 2, nonce: 2))
        #expect(!shard.redeem(ticket, for: Self.key, with: candidate))
    }

    @Test func `a pause answers nothing, and keeps what it has for the next proof`() throws {
        let shard = shard()
        try fill(shard)
        shard.value.pause(1)
        #expect(answer(shard) == nil)
        shard.extend(1, generations: [0: Self.generation], until: Self.start + .seconds(5))
        #expect(answer(shard) == "value")
    }

    @Test func `an invalidation during a pause counts`() throws {
        let shard = shard()
        try fill(shard)
        shard.value.pause(1)
        shard.value.invalidate(Self.entity)
        shard.extend(1, generations: [0: Self.generation], until: Self.start + .seconds(5))
        #expect(answer(shard) == nil)
    }

    @Test func `there are never more values than allowed, and what is asked for stays`() throws {
        let shard = shard(count: 3)
        for detector in 1...3 { try fill(shard, Self.key(Int64(detector))) }
        #expect(answer(shard, Self.key(1)) != nil)
        for detector in 4...50 {
            try fill(shard, Self.key(Int64(detector)))
            #expect(answer(shard, Self.key(1)) != nil)
            #expect(shard.count == 3)
            #expect(shard.byteCount == 30)
        }
    }

    @Test func `there are never more bytes than allowed`() throws {
        let shard = shard(bytes: 100)
        for detector in 1...20 {
            try fill(shard, Self.key(Int64(detector)), bytes: 5 * detector)
            #expect(shard.byteCount <= 100)
        }
        #expect(answer(shard, Self.key(20)) != nil)
        #expect(shard.count == 1)
        let ticket = try #require(shard.ticket(for: Self.entity, session: 1))
        #expect(!shard.redeem(ticket, for: Self.key, with: Self.candidate(bytes: 101)))
        #expect(answer(shard, Self.key(20)) != nil)
    }

    @Test func `a value that is read again replaces the one before`() throws {
        let shard = shard(bytes: 100)
        try fill(shard, bytes: 90)
        let ticket = try #require(shard.ticket(for: Self.entity, session: 1))
        #expect(shard.redeem(ticket, for: Self.key, with: Self.candidate("new", bytes: 20)))
        #expect(shard.count == 1)
        #expect(shard.byteCount == 20)
        #expect(answer(shard) == "new")
        shard.value.invalidate(Self.entity)
        #expect(shard.byteCount == 0)
    }

    @Test func `tickets that are given back leave nothing behind`() throws {
        let shard = shard()
        let tickets = try (0..<3).map { _ in try #require(shard.ticket(for: Self.entity, session: 1)) }
        shard.value.invalidate(Self.entity)
        for ticket in tickets { shard.value.giveBack(ticket) }
        #expect(!Mirror(reflecting: shard.value).children.contains { $0.label == "pending" && "\($0.value)" != "[:]" })
    }
}
