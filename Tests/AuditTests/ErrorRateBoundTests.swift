import Testing

@testable import Audit

@Suite struct ErrorRateBoundTests {
    private func isNear(_ value: Double, _ expected: Double, within relative: Double = 1e-3) -> Bool {
        abs(value - expected) <= relative * expected
    }

    @Test func `nothing checked shows nothing`() {
        let bound = ErrorRateBound(checked: 0, wrong: 0)
        #expect(bound.rate == 1 && bound.nines == 0)
    }

    @Test func `without a wrong one it is the rule of three`() {
        #expect(isNear(ErrorRateBound(checked: 1_000, wrong: 0).rate, 0.002_991_2))
        #expect(isNear(ErrorRateBound(checked: 1_000_000_000, wrong: 0).rate, 2.995_7e-9))
        #expect(isNear(ErrorRateBound(checked: 2_995_731, wrong: 0).nines, 6, within: 1e-6))
        #expect(isNear(ErrorRateBound(checked: 1, wrong: 0).rate, 0.95))
    }

    /// One-sided 95 % limits of the binomial, as statistical tables have them: 10 with 1 and 5, 100 with 1 and 10.
    @Test(arguments: [
        (10, 1, 0.394_163), (10, 5, 0.777_559), (100, 1, 0.046_559_8), (100, 10, 0.163_714),
    ])
    func `with wrong ones it is the bound of Clopper and Pearson`(checked: Int, wrong: Int, rate: Double) {
        #expect(isNear(ErrorRateBound(checked: checked, wrong: wrong).rate, rate))
    }

    @Test(arguments: [(40, 3), (200, 17), (500, 1)])
    func `at the bound so few wrong ones have five chances in a hundred`(checked: Int, wrong: Int) {
        let rate = ErrorRateBound(checked: checked, wrong: wrong).rate
        // The sum of the binomial, term by term.
        var term = 1.0
        for _ in 0..<checked { term *= 1 - rate }
        var sum = term
        for index in 1...wrong {
            term *= Double(checked - index + 1) / Double(index) * rate / (1 - rate)
            sum += term
        }
        #expect(isNear(sum, 0.05, within: 1e-6))
    }

    @Test func `all wrong is no bound, and more checked is a better one`() {
        #expect(ErrorRateBound(checked: 7, wrong: 7).rate == 1)
        let rates = [100, 1_000, 10_000, 10_000_000].map { ErrorRateBound(checked: $0, wrong: 3).rate }
        #expect(rates == rates.sorted(by: >) && rates.allSatisfy { $0 > 0 && $0 < 1 })
    }
}
