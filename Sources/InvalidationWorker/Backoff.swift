/// Waiting times between tries: exponential, capped, with full jitter.
///
/// Full jitter is "Exponential Backoff And Jitter" (M. Brooker, AWS Architecture Blog, 2015): a uniform choice between zero
/// and the capped exponential spreads callers best. A quarter of the exponential is kept as the least, so that no try comes
/// at once.
struct Backoff: Hashable, Sendable {
    var base: Duration = .milliseconds(200)
    var cap: Duration = .seconds(5)
    /// How many tries have failed since the last success.
    private(set) var failures = 0

    /// The time to wait after one more failure.
    mutating func next(using generator: inout some RandomNumberGenerator) -> Duration {
        // 2^20 times any base is beyond any cap.
        let exponential = min(base * (1 << min(failures, 20)), cap)
        failures += 1
        return exponential * Double.random(in: 0.25...1, using: &generator)
    }

    mutating func reset() {
        failures = 0
    }
}
