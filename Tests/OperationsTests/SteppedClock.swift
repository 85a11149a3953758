import NIOConcurrencyHelpers

/// A clock that stands still until it is advanced.
final class SteppedClock: Sendable {
    private let time = NIOLockedValueBox(ContinuousClock.now)

    var now: ContinuousClock.Instant { time.withLockedValue { $0 } }
    var read: @Sendable () -> ContinuousClock.Instant { { [self] in now } }

    func advance(by duration: Duration) {
        time.withLockedValue { $0 += duration }
    }
}
