import Glibc

/// Ranks of which the first is the most frequent, and each other one so many times less as it is further behind: the probability of
/// rank k is proportional to 1/k^s.
///
/// Sampled by inversion: the first rank whose cumulated probability is above a uniform number (L. Devroye, "Non-Uniform Random
/// Variate Generation", Springer 1986, chapter III.2). With a table of the sums that is exact, and takes a binary search.
struct ZipfDistribution: Sendable {
    /// The probabilities of all ranks up to one, added up.
    private let cumulated: [Double]

    /// - Parameter exponent: s; 1 is what Zipf found of words.
    init(count: Int, exponent: Double) {
        let weights = (1...count).map { 1 / pow(Double($0), exponent) }
        let whole = weights.reduce(0, +)
        var sum = 0.0
        cumulated = weights.map { weight in
            sum += weight / whole
            return sum
        }
    }

    /// The probability of a rank, counted from 1.
    func probability(of rank: Int) -> Double {
        cumulated[rank - 1] - (rank > 1 ? cumulated[rank - 2] : 0)
    }

    /// A rank, counted from 1.
    func rank(using generator: inout some RandomNumberGenerator) -> Int {
        let number = Double.random(in: 0..<1, using: &generator)
        var (low, high) = (0, cumulated.count - 1)
        while low < high {
            let middle = (low + high) / 2
            if cumulated[middle] > number { high = middle } else { low = middle + 1 }
        }
        return low + 1
    }
}
