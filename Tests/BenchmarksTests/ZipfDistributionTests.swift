import Surroundings
import Testing

@testable import Benchmarks

@Suite struct ZipfDistributionTests {
    @Test func `the probabilities fall with the rank, and add up to one`() {
        let zipf = ZipfDistribution(count: 1_000, exponent: 1)
        #expect(abs((1...1_000).reduce(0) { $0 + zipf.probability(of: $1) } - 1) < 1e-9)
        #expect(abs(zipf.probability(of: 1) / zipf.probability(of: 10) - 10) < 1e-9)
    }

    @Test func `a rank comes as often as its probability says`() {
        let zipf = ZipfDistribution(count: 1_000, exponent: 1)
        var generator = SplitMix64(seed: 1)
        var counts: [Int: Int] = [:]
        for _ in 0..<200_000 { counts[zipf.rank(using: &generator), default: 0] += 1 }
        #expect(counts.keys.allSatisfy { (1...1_000).contains($0) })
        for rank in [1, 2, 10] {
            let expected = 200_000 * zipf.probability(of: rank)
            // Four standard deviations; with this seed the outcome is always the same.
            #expect(abs(Double(counts[rank] ?? 0) - expected) < 4 * expected.squareRoot())
        }
    }
}
