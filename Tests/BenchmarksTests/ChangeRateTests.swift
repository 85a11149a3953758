import Testing

@testable import Benchmarks

@Suite struct ChangeRateTests {
    /// Ours take ten times as long as the floor's.
    private let times: [CommitStage.Side: [CommitClient.Sample]] = [
        .ours: Array(repeating: CommitClient.Sample(sinceSent: 200, sinceAcknowledged: 100), count: 100),
        .floor: Array(repeating: CommitClient.Sample(sinceSent: 20, sinceAcknowledged: 10), count: 100),
    ]

    @Test func `a bar is missed where both sides make what is asked for`() {
        for rate in [nil, ChangeRate(asked: 1_000, ours: 901, floor: 999)] {
            let bars = CommitBenchmark.bars(times, "detector", (1.5, 2), rate)
            #expect(bars.map(\.isMet) == [false, false, true, true])
            #expect(bars.allSatisfy { !$0.origin.contains("no bar") && $0.labels["load"] == nil })
        }
    }

    @Test(arguments: [
        ChangeRate(asked: 1_000, ours: 45, floor: 161), ChangeRate(asked: 1_000, ours: 899, floor: 1_000),
        ChangeRate(asked: 1_000, ours: 1_000, floor: 899), ChangeRate(asked: 1_000, ours: 1_000, floor: .nan),
    ])
    func `there is no bar where one side is under another load, and the row says so`(rate: ChangeRate) {
        let bars = CommitBenchmark.bars(times, "detector", (1.5, 2), rate)
        for bar in bars {
            guard case .none = bar.limit else {
                Issue.record("\(bar) has a bar")
                continue
            }
            #expect(bar.origin.contains("no bar: of 1000 a second"))
            #expect(bar.labels["load"] == "unequal")
        }
    }

    @Test func `a 99th percentile of fewer than a hundred is held to nothing`() {
        let few = times.mapValues { Array($0.prefix(99)) }
        #expect(CommitBenchmark.bars(few, "detector", (1.5, 2)).map(\.isMet) == [false, true, true, true])
    }
}
