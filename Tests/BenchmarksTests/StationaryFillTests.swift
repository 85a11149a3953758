import Testing

@testable import Benchmarks

@Suite struct StationaryFillTests {
    private let zipf = ZipfDistribution(count: Installation.detectorCount, exponent: 1)

    private func fill(lookups: Double, changes: Double, timeToLive: Duration) -> StationaryFill {
        StationaryFill(
            zipf,
            lookupsPerSecond: lookups,
            changesPerSecond: changes,
            timeToLive: timeToLive,
            sharesThatInvalidate: (0.8, 0.2)
        )
    }

    @Test func `what nobody reads is not there, and what is read all the time is`() {
        #expect(fill(lookups: 1e-9, changes: 0, timeToLive: .seconds(60)).sets().isEmpty)
        let all = Installation.detectorCount * Installation.setCount
        #expect(fill(lookups: 1e12, changes: 0, timeToLive: .seconds(60)).sets().count == all)
    }

    @Test func `a set is never older than it lives`() {
        for changes in [0.0, 100] {
            let sets = fill(lookups: 2_000, changes: changes, timeToLive: .seconds(60)).sets()
            #expect(!sets.isEmpty)
            #expect(sets.allSatisfy { (.zero ... .seconds(60)).contains($0.age) })
        }
    }

    @Test func `more changes only take sets away`() {
        let few = fill(lookups: 2_000, changes: 1, timeToLive: .seconds(86_400)).sets()
        let many = fill(lookups: 2_000, changes: 100, timeToLive: .seconds(86_400)).sets()
        #expect(many.count < few.count)
        let names = Set(few.map { "\($0.detector)/\($0.environment)" })
        #expect(many.allSatisfy { names.contains("\($0.detector)/\($0.environment)") })
    }
}
