import Testing

@testable import Benchmarks

@Suite struct VersionLedgerTests {
    private let ledger = VersionLedger()
    private let start = ContinuousClock.now

    @Test func `an answer is stale since the first later version that was acknowledged`() {
        ledger.note(1, of: 7, at: start)
        ledger.note(3, of: 7, at: start + .seconds(2))
        // Its writer was told later than that of the version behind it.
        ledger.note(2, of: 7, at: start + .seconds(3))
        #expect(ledger.staleness(of: 1, of: 7, readAt: start + .seconds(5)) == .seconds(3))
        #expect(ledger.staleness(of: 0, of: 7, readAt: start + .seconds(5)) == .seconds(5))
    }

    @Test func `an answer that was replaced only after its read had begun is not stale`() {
        ledger.note(1, of: 7, at: start + .seconds(2))
        #expect(ledger.staleness(of: 0, of: 7, readAt: start + .seconds(1)) == nil)
        #expect(ledger.staleness(of: 1, of: 7, readAt: start + .seconds(3)) == nil)
        #expect(ledger.staleness(of: 0, of: 8, readAt: start + .seconds(3)) == nil)
    }
}
