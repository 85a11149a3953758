// Wakes the pump, which itself does not listen while the lane does: a notification that wakes two sessions, a thread for each, and
// both of the server's processes, takes a good part of the time that a hint saves.

import NIOConcurrencyHelpers
import Surroundings

/// Tells the pump of what the lane has heard.
final class HintSignal: Sendable {
    /// How soon a pass is to begin.
    enum Urgency: Int, Comparable, Sendable {
        case none
        /// What was changed is bumped already, as far as one can tell who hears of it bit by bit, and one pass for several changes costs
        /// both servers less.
        case soon
        case now

        static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }
    }

    private struct State {
        var urgency = Urgency.none
        /// Who waits, for what, and under which number.
        var waiting: (number: Int, least: Urgency, continuation: CheckedContinuation<Void, Never>)?
        var lastNumber = 0
    }

    private let state = NIOLockedValueBox(State())

    /// How long a pass waits for more changes where what the first of them invalidates is bumped already.
    private static let pause: Duration = .milliseconds(10)

    /// How long no pass begins behind another, where nothing is urgent: so long that passes of up to 4 ms take a tenth of the time.
    ///
    /// However little one finds, it keeps the worker and both servers at work for as long as several hints do.
    ///
    /// - Parameter pass: How long that other took.
    static func rest(after pass: Duration) -> Duration { min(pass * 9, longestRest) }

    /// With a short pass behind it, well below the 100 ms for which a reader waits for the changes of its token.
    private static let longestRest: Duration = .milliseconds(40)

    /// What was asked for since the last claim.
    var urgency: Urgency { state.withLockedValue { $0.urgency } }

    /// Asks for a pass.
    func raise(_ urgency: Urgency) {
        let woken = state.withLockedValue { state -> CheckedContinuation<Void, Never>? in
            state.urgency = max(state.urgency, urgency)
            guard let waiting = state.waiting, waiting.least <= state.urgency else { return nil }
            state.waiting = nil
            return waiting.continuation
        }
        woken?.resume()
    }

    /// Forgets what was raised: who claims after this claims all that it was raised for.
    func clear() {
        state.withLockedValue { $0.urgency = .none }
    }

    /// Waits until it is time for a pass that was asked for, or until the task is cancelled.
    ///
    /// For one task at a time.
    ///
    /// - Parameter rested: When a pass may begin that is not urgent.
    func wait(until rested: ContinuousClock.Instant, in surroundings: Surroundings) async {
        await wait(for: .soon)
        if urgency == .soon {
            await withTaskGroup { tasks in
                tasks.addTask {
                    // Cancelled where there is no more to wait for.
                    try? await surroundings.sleep(for: max(Self.pause, rested - surroundings.now))
                }
                tasks.addTask { await self.wait(for: .now) }
                await tasks.next()
                tasks.cancelAll()
            }
        }
    }

    private func wait(for least: Urgency) async {
        let number = state.withLockedValue { state in
            state.lastNumber += 1
            return state.lastNumber
        }
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let isOver = state.withLockedValue { state in
                    // A cancellation that came before this finds nobody, and is seen here.
                    if state.urgency >= least || Task.isCancelled { return true }
                    state.waiting = (number, least, continuation)
                    return false
                }
                if isOver { continuation.resume() }
            }
        } onCancel: {
            let cancelled = state.withLockedValue { state -> CheckedContinuation<Void, Never>? in
                guard let waiting = state.waiting, waiting.number == number else { return nil }
                state.waiting = nil
                return waiting.continuation
            }
            cancelled?.resume()
        }
    }
}
