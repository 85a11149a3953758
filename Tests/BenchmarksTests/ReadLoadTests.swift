import Testing

@testable import Benchmarks

@Suite struct ReadLoadTests {
    private let start = ContinuousClock.now

    private func reading(_ count: Int, at seconds: Int) -> StatementCounter.Reading {
        StatementCounter.Reading(
            moment: start + .seconds(seconds),
            count: StatementCount(ofReaders: count, ofWorker: 2 * count, ofWriters: 3 * count, nested: 4 * count)
        )
    }

    @Test func `lookups and statements are those between the same two moments`() {
        let lookups = (0..<20).map { second in
            ReadLoad.Lookup(
                began: start + .seconds(second),
                microseconds: Double(second),
                isHit: second.isMultiple(of: 2),
                answers: [ReadLoad.Answer(workflow: 7, version: 0)]
            )
        }
        let ledger = VersionLedger()
        ledger.note(1, of: 7, at: start + .seconds(10))
        let outcome = ReadLoad.outcome(of: lookups, from: reading(5, at: 4), to: reading(11, at: 12), ledger)
        #expect(outcome.times == [4, 5, 6, 7, 8, 9, 10, 11])
        #expect(outcome.lookupCount == 8 && outcome.hitCount == 4)
        #expect(outcome.seconds == 8 && outcome.lookupsPerSecond == 1)
        #expect(outcome.statements == StatementCount(ofReaders: 6, ofWorker: 12, ofWriters: 18, nested: 24))
        #expect(outcome.staleness == [.zero, .seconds(1)])
    }
}
