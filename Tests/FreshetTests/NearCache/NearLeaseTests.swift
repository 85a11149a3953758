import Keyspace
import Testing

@testable import Freshet

struct NearLeaseTests {
    private let sent = LocalTime.now

    private func head(
        _ generation: String = "1.0000000000000001",
        vouched: Int64? = 1_000_000,
        isOff: Bool = false
    ) -> Head {
        Head(fields: [generation, vouched.map(String.init), "5000", nil, isOff ? "off" : nil])
    }

    private func time(_ microseconds: Int64) -> RedisTime { RedisTime(microseconds: microseconds) }

    @Test func `the promise is counted from when the question was sent`() {
        let lease = NearLease(heads: [(head(), time(1_200_000))], sent: sent)
        #expect(
            lease
                == .healthy(generations: [0: Generation(counter: 1, nonce: 1)], until: sent + .milliseconds(4_800))
        )
    }

    @Test func `of several buckets the promise that ends first counts`() {
        let heads = [
            (head(), time(2_000_000)),
            (head("2.0000000000000002", vouched: 500_000), time(2_000_000)),
        ]
        let generations = [0: Generation(counter: 1, nonce: 1), 1: Generation(counter: 2, nonce: 2)]
        #expect(
            NearLease(heads: heads, sent: sent)
                == .healthy(generations: generations, until: sent + .milliseconds(3_500))
        )
    }

    @Test func `a bucket that is switched off, unvouched, from the future or unreadable allows nothing`() {
        for bad in [
            (head(isOff: true), time(1_200_000)), (head(vouched: nil), time(1_200_000)), (head(), time(6_000_000)),
            (head(), time(999_999)), (head("x"), time(1_200_000)), (Head.absent, time(1_200_000)), (head(), nil),
        ] {
            #expect(NearLease(heads: [(head(), time(1_200_000)), bad], sent: sent) == .none)
        }
        #expect(NearLease(heads: [], sent: sent) == .none)
    }
}
