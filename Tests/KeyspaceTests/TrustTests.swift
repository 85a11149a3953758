import Keyspace
import Testing

struct TrustTests {
    private func head(
        generation: String? = "1.0000000000000001",
        vouched: String? = "1000000",
        lease: String? = "5000",
        isOff: Bool = false
    ) -> Head {
        Head(fields: [generation, vouched, lease, "1/1/a", isOff ? "off" : nil])
    }

    private func trust(_ head: Head, at microseconds: Int64) -> Trust {
        head.trust(at: RedisTime(microseconds: microseconds))
    }

    @Test func `a promise holds from its moment until just before its lease is over`() {
        #expect(trust(head(), at: 999_999) == .degraded)
        #expect(trust(head(), at: 1_000_000) == .healthy)
        #expect(trust(head(), at: 5_999_999) == .healthy)
        #expect(trust(head(), at: 6_000_000) == .degraded)
    }

    @Test func `without a generation, a promise or a lease nothing is healthy`() {
        #expect(trust(head(generation: nil), at: 1_000_000) == .degraded)
        #expect(trust(head(generation: "7"), at: 1_000_000) == .degraded)
        #expect(trust(head(vouched: nil), at: 1_000_000) == .degraded)
        #expect(trust(head(vouched: "1.78e+15"), at: 1_000_000) == .degraded)
        #expect(trust(head(lease: nil), at: 1_000_000) == .degraded)
        #expect(trust(head(lease: "-5"), at: 1_000_000) == .degraded)
        #expect(trust(.absent, at: 1_000_000) == .degraded)
    }

    @Test func `a promise at the ends of the number range does not trap`() {
        for vouched in [Int64.min, .max, 0] {
            #expect(trust(head(vouched: String(vouched)), at: 1_000_000) == .degraded || vouched == 0)
        }
    }

    @Test func `switched off is disabled, whatever is promised`() {
        #expect(trust(head(isOff: true), at: 1_000_000) == .disabled)
    }
}

struct EntryStampTests {
    private let current = Generations(
        namespace: Generation(counter: 1, nonce: 1),
        entity: Generation(counter: 2, nonce: 2),
        variant: nil
    )
    private let now = RedisTime(microseconds: 100_000_000)

    private func verdict(
        of stamp: EntryStamp,
        against current: Generations,
        trust: Trust = .healthy,
        limit: Duration = .seconds(60)
    ) -> EntryStamp.Verdict {
        stamp.verdict(current: current, trust: trust, at: now, degradedLimit: limit, timeToLive: .seconds(90))
    }

    @Test func `an entry is valid if and only if all three generations are equal and the entity has one`() throws {
        let stamp = try #require(current.stamp(readAt: now))
        #expect(verdict(of: stamp, against: current) == .valid)
        var other = current
        other.namespace = Generation(counter: 1, nonce: 9)
        #expect(verdict(of: stamp, against: other) == .stale(.namespace))
        other = current
        other.namespace = nil
        #expect(verdict(of: stamp, against: other) == .stale(.namespace))
        other = current
        other.entity = Generation(counter: 2, nonce: 9)
        #expect(verdict(of: stamp, against: other) == .stale(.entity))
        other.entity = nil
        #expect(verdict(of: stamp, against: other) == .stale(.entity))
        other = current
        other.variant = Generation(counter: 1, nonce: 9)
        #expect(verdict(of: stamp, against: other) == .stale(.variant))
    }

    @Test func `while degraded only the young count, and none from the future`() throws {
        for (age, expected) in [(0, true), (59, true), (60, false), (-1, false)] as [(Int64, Bool)] {
            let readAt = RedisTime(microseconds: now.microseconds - age * 1_000_000)
            let stamp = try #require(current.stamp(readAt: readAt))
            #expect(verdict(of: stamp, against: current) == .valid)
            #expect(verdict(of: stamp, against: current, trust: .degraded) == (expected ? .valid : .tooOld))
            #expect(verdict(of: stamp, against: current, trust: .degraded, limit: .zero) == .tooOld)
        }
    }

    @Test func `an entry that is older than any may be is not served, whoever vouches`() throws {
        for (age, expected) in [(90, EntryStamp.Verdict.valid), (91, .expired)] as [(Int64, EntryStamp.Verdict)] {
            let readAt = RedisTime(microseconds: now.microseconds - age * 1_000_000)
            let stamp = try #require(current.stamp(readAt: readAt))
            #expect(verdict(of: stamp, against: current) == expected)
        }
    }

    @Test func `no stamp can be made before everything is seeded`() {
        #expect(Generations(namespace: nil, entity: current.entity, variant: nil).stamp(readAt: now) == nil)
        #expect(Generations(namespace: current.namespace, entity: nil, variant: nil).stamp(readAt: now) == nil)
    }
}
