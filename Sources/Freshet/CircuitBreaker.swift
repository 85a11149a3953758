// When to leave Redis alone.
//
//     closed ── failures in a row ──▶ open ── pause over ──▶ probing ── success ──▶ closed
//        ▲                              ▲                       │
//        └── any success                └──── failure, pause × 2 ┘
//
// A Redis that is dead, or slow, costs a read its time limit. Once some reads in a row have failed, the others do without, and
// one read after each pause finds out whether it is back. An answer that took very long counts as a failure: a read that loads
// is quicker.
//
// Rejected: a rate of failures over a window. Reads share one connection, so they fail together or not at all.

/// When a Redis that fails is left alone for a while.
public struct BreakerLimits: Hashable, Sendable {
    /// After so many failures in a row Redis is left alone, at least 1.
    public var failures = 5
    /// An answer that took longer counts as a failure.
    public var slow: Duration = .seconds(1)
    /// For how long Redis is left alone at first; twice as long after each probe that fails.
    public var pause: Duration = .milliseconds(250)
    /// The longest pause.
    public var longestPause: Duration = .seconds(5)

    /// The defaults.
    public init() {}
}

/// Decides whether a read asks Redis.
struct CircuitBreaker: Sendable {
    private enum State: Sendable {
        case closed(failures: Int)
        case open(until: ContinuousClock.Instant, pause: Duration)
        case probing(pause: Duration)
    }

    /// What became of a read that was let through.
    enum Outcome: Sendable {
        case answered(after: Duration)
        case failed
        /// Its caller was cancelled: a failure where it had waited for a tenth of what is slow, as callers with deadlines do.
        case abandoned(after: Duration)
    }

    private let limits: BreakerLimits
    private var state = State.closed(failures: 0)

    init(limits: BreakerLimits) {
        self.limits = limits
    }

    /// Whether reads are being kept away.
    var isOpen: Bool {
        if case .closed = state { false } else { true }
    }

    /// Whether a read at `now` may ask Redis; each that may is followed by one ``ended(_:at:)``.
    mutating func admits(at now: ContinuousClock.Instant) -> Bool {
        switch state {
        case .closed: return true
        case .probing: return false
        case .open(let until, let pause):
            guard now >= until else { return false }
            state = .probing(pause: pause)
            return true
        }
    }

    /// Learns from a read that was let through.
    mutating func ended(_ outcome: Outcome, at now: ContinuousClock.Instant) {
        let isGood: Bool
        switch outcome {
        case .answered(let duration): isGood = duration <= limits.slow
        case .failed: isGood = false
        case .abandoned(let duration):
            guard duration < limits.slow / 10 else {
                isGood = false
                break
            }
            if case .probing(let pause) = state { state = .open(until: now, pause: pause) }
            return
        }
        switch state {
        case .closed(let failures):
            if isGood {
                if failures > 0 { state = .closed(failures: 0) }
            } else if failures + 1 >= limits.failures {
                state = .open(until: now + limits.pause, pause: limits.pause)
            } else {
                state = .closed(failures: failures + 1)
            }
        case .probing(let pause):
            let next = min(pause * 2, limits.longestPause)
            state = isGood ? .closed(failures: 0) : .open(until: now + next, pause: next)
        case .open:
            // A read from before it opened. That it ended well says that Redis is back.
            if isGood { state = .closed(failures: 0) }
        }
    }
}
