import NIOConcurrencyHelpers
import Surroundings

/// A clock that only leaps.
final class LeapingClock: SimulatedSurroundings {
    private let moment = NIOLockedValueBox(ContinuousClock.now)
    private let start = ContinuousClock.now

    var now: ContinuousClock.Instant { moment.withLockedValue { $0 } }
    var nanoseconds: Int64 { Int64(start.duration(to: now) / .nanoseconds(1)) }
    var taskExecutor: any TaskExecutor { globalConcurrentExecutor }

    func leap(to deadline: ContinuousClock.Instant) { moment.withLockedValue { $0 = max($0, deadline) } }
    func sleep(until deadline: ContinuousClock.Instant) async throws { leap(to: deadline) }
    func random() -> UInt64 { 4 }
}
