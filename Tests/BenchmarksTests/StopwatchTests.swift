import Testing

@testable import Benchmarks

@Suite struct StopwatchTests {
    private static func numbers(_ count: Int) -> [Double] { (1...count).map { Double($0) }.reversed() }

    @Test(arguments: [(1_000, 990.0), (300, 297.0), (101, 100.0), (100, 99.0), (99, 99.0), (2, 2.0), (1, 1.0)])
    func `the 99th percentile is the highest only of fewer than a hundred`(count: Int, expected: Double) {
        #expect(Stopwatch.quantile(0.99, of: Self.numbers(count)) == expected)
    }

    @Test func `a quantile is one of the values, by the nearest rank`() {
        #expect(Stopwatch.quantile(0.25, of: Self.numbers(8)) == 2)
        #expect(Stopwatch.quantile(0.75, of: Self.numbers(8)) == 6)
        #expect(Stopwatch.quantile(0.25, of: Self.numbers(5)) == 2)
        #expect(Stopwatch.quantile(0, of: Self.numbers(5)) == 1)
        #expect(Stopwatch.quantile(1, of: Self.numbers(5)) == 5)
    }

    @Test func `the median of an even number is between the two in the middle`() {
        #expect(Stopwatch.median([3, 1]) == 2)
        #expect(Stopwatch.median([4, 1, 3, 2]) == 2.5)
        #expect(Stopwatch.median([5, 1, 3]) == 3)
    }

    @Test func `of nothing there is no median and no quantile`() {
        #expect(Stopwatch.median([]).isNaN)
        #expect(Stopwatch.quantile(0.99, of: []).isNaN)
    }
}
