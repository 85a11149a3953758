import Surroundings
import Testing

@testable import Audit

@Suite struct ReservoirTests {
    /// Numbers that repeat, whatever the machine.
    private struct Randomness: RandomNumberGenerator {
        var state: UInt64 = 1

        mutating func next() -> UInt64 {
            // SplitMix64 (G. L. Steele et al., OOPSLA 2014).
            state &+= 0x9E37_79B9_7F4A_7C15
            var z = state
            z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
            z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
            return z ^ (z >> 31)
        }
    }

    @Test func `a stream that is shorter than the sample is the sample`() {
        var randomness = Randomness()
        var reservoir = Reservoir<Int>(size: 10)
        for element in 1...4 { reservoir.offer(element, using: &randomness) }
        #expect(reservoir.elements == [1, 2, 3, 4] && reservoir.seenCount == 4)
    }

    @Test func `each element of a stream is in the sample equally often`() {
        var randomness = Randomness()
        var counts = [Int](repeating: 0, count: 40)
        for _ in 1...4_000 {
            var reservoir = Reservoir<Int>(size: 10)
            for element in counts.indices { reservoir.offer(element, using: &randomness) }
            for element in reservoir.elements { counts[element] += 1 }
        }
        // 1,000 expected of each, with a standard deviation of 27.
        #expect(counts.reduce(0, +) == 40_000 && counts.allSatisfy { abs($0 - 1_000) < 140 }, "\(counts)")
    }
}
