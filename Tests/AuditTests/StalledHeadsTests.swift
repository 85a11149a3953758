import Keyspace
import Testing

@testable import Audit

@Suite struct StalledHeadsTests {
    /// A head that was vouched for at some moment.
    private func head(_ vouched: Int64) -> Head {
        var head = Head.absent
        head.vouched = RedisTime(microseconds: vouched)
        return head
    }

    @Test func `nobody waits again for a head that has not moved, and everybody for one that has`() {
        var stalled = StalledHeads()
        #expect(!stalled.contain(all: [head(1)]))
        stalled.gaveUp(at: [head(1), head(1)])
        #expect(stalled.contain(all: [head(1)]))
        #expect(!stalled.contain(all: [head(1), head(2)]))
        stalled.gaveUp(at: [head(2)])
        #expect(!stalled.contain(all: [head(1)]) && stalled.contain(all: [head(2)]))
    }

    @Test func `a batch in which nothing is left to wait for makes nobody wait anew`() {
        var stalled = StalledHeads()
        stalled.gaveUp(at: [head(1)])
        // Every suspect of a batch is settled: no patience has ended.
        #expect(!stalled.contain(all: []))
        stalled.gaveUp(at: [])
        #expect(stalled.contain(all: [head(1)]))
    }
}
