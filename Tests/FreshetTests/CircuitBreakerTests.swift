import Testing

@testable import Freshet

struct CircuitBreakerTests {
    private let start = ContinuousClock.now

    private func breaker(failures: Int = 3) -> CircuitBreaker {
        var limits = BreakerLimits()
        limits.failures = failures
        limits.slow = .milliseconds(100)
        limits.pause = .seconds(1)
        limits.longestPause = .seconds(3)
        return CircuitBreaker(limits: limits)
    }

    /// Lets one read through, which must be admitted, and tells what became of it.
    private func read(_ breaker: inout CircuitBreaker, at offset: Duration, _ outcome: CircuitBreaker.Outcome) {
        let isAdmitted = breaker.admits(at: start + offset)
        #expect(isAdmitted)
        breaker.ended(outcome, at: start + offset)
    }

    private func expectAway(_ breaker: inout CircuitBreaker, at offset: Duration) {
        let isAdmitted = breaker.admits(at: start + offset)
        #expect(!isAdmitted)
    }

    @Test func `failures in a row open it, others do not`() {
        var breaker = breaker()
        for _ in 1...10 {
            read(&breaker, at: .zero, .failed)
            read(&breaker, at: .zero, .failed)
            read(&breaker, at: .zero, .answered(after: .milliseconds(1)))
        }
        #expect(!breaker.isOpen)
        for _ in 1...3 { read(&breaker, at: .zero, .failed) }
        #expect(breaker.isOpen)
        expectAway(&breaker, at: .milliseconds(999))
    }

    @Test func `an answer that took too long is a failure`() {
        var breaker = breaker()
        for _ in 1...3 { read(&breaker, at: .zero, .answered(after: .milliseconds(101))) }
        #expect(breaker.isOpen)
    }

    @Test func `after a pause one read finds out, and the others stay away until it has`() {
        var breaker = breaker()
        for _ in 1...3 { read(&breaker, at: .zero, .failed) }
        let probes = breaker.admits(at: start + .seconds(1))
        #expect(probes)
        expectAway(&breaker, at: .seconds(1))
        breaker.ended(.answered(after: .zero), at: start + .seconds(1))
        #expect(!breaker.isOpen)
    }

    @Test func `each probe that fails doubles the pause, up to a bound`() {
        var breaker = breaker()
        for _ in 1...3 { read(&breaker, at: .zero, .failed) }
        var now = Duration.seconds(1)
        for pause in [2, 3, 3] {
            read(&breaker, at: now, .failed)
            expectAway(&breaker, at: now + .seconds(pause) - .milliseconds(1))
            now += .seconds(pause)
        }
        read(&breaker, at: now, .answered(after: .zero))
        #expect(!breaker.isOpen)
    }

    @Test func `a probe whose caller is cancelled leaves the next read to find out`() {
        var breaker = breaker()
        for _ in 1...3 { read(&breaker, at: .zero, .failed) }
        read(&breaker, at: .seconds(1), .abandoned(after: .milliseconds(1)))
        read(&breaker, at: .seconds(1), .answered(after: .zero))
        #expect(!breaker.isOpen)
    }

    @Test func `callers who give up before Redis does open it, too`() {
        var breaker = breaker()
        for _ in 1...3 { read(&breaker, at: .zero, .abandoned(after: .milliseconds(10))) }
        #expect(breaker.isOpen)
        read(&breaker, at: .seconds(1), .abandoned(after: .milliseconds(10)))
        expectAway(&breaker, at: .seconds(2))
    }

    @Test func `a read from before it opened that ends well closes it`() {
        var breaker = breaker()
        let isAdmitted = breaker.admits(at: start)
        #expect(isAdmitted)
        for _ in 1...3 { read(&breaker, at: .zero, .failed) }
        breaker.ended(.answered(after: .zero), at: start)
        #expect(!breaker.isOpen)
    }
}
