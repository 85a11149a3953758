// Everything that happens in a simulation, one thing after the other, on one thread.
//
// What can happen is of two kinds: a job of a task that is ready to run, and an event at a moment (a message arrives, a wait is
// over, a fault strikes). Jobs take no time. While one is ready, one of the ready ones is run, chosen by the seed; then time
// goes on to the earliest event. So the order of everything follows from the seed, and nothing waits in real time.
//
// A process that is paused runs no job, and hears of no event, until it goes on; the time goes on without it.

package import Surroundings

/// The time, what is ready, and what is to come.
///
/// `@unchecked Sendable` because all of it is used on the one thread that runs the simulation.
package final class Scheduler: @unchecked Sendable {
    /// A job that is ready to run, and the process that runs it.
    private struct Ready {
        var job: UnownedJob
        var process: SimulatedProcess
    }

    /// Something that happens at a moment; of one moment, what was planned first.
    private struct Event {
        var time: Int64
        var number: UInt64
        /// Whether it counts as a step: a time limit that nobody waits for any longer does not.
        var isStep: Bool
        var action: () -> Void

        @inline(__always)
        static func < (left: Event, right: Event) -> Bool {
            left.time < right.time || (left.time == right.time && left.number < right.number)
        }
    }

    package var random: SplitMix64
    /// Nanoseconds since the beginning.
    package private(set) var now: Int64 = 0
    /// How many events have happened.
    package private(set) var steps = 0
    /// How many jobs were run.
    package private(set) var jobs = 0
    private var ready: [Ready] = []
    private var events: [Event] = []
    private var lastNumber: UInt64 = 0
    /// Nobody waits any longer: every wait ends at once.
    package private(set) var isOver = false
    /// Who runs job after job while no time passes; nil as it should be.
    package private(set) var spinning: String?

    package init(seed: UInt64) {
        random = SplitMix64(seed: seed)
    }

    // MARK: Planning

    /// Does something at a moment, or now where that is past.
    package func at(_ time: Int64, isStep: Bool = true, _ action: @escaping () -> Void) {
        lastNumber += 1
        events.append(Event(time: max(time, now), number: lastNumber, isStep: isStep, action: action))
        var child = events.count - 1
        while child > 0 {
            let parent = (child - 1) / 2
            guard events[child] < events[parent] else { break }
            events.swapAt(child, parent)
            child = parent
        }
    }

    /// Ends a wait that takes too long.
    func limit<Value>(_ waiter: Waiter<Value>, to limit: Int64, _ action: @escaping () -> Void) {
        at(now + limit, isStep: false) { [self] in
            guard waiter.isWaiting else { return }
            steps += 1
            action()
        }
    }

    /// Does something after a while.
    package func after(_ delay: Int64, _ action: @escaping () -> Void) {
        at(now + delay, action)
    }

    func enqueue(_ job: UnownedJob, of process: SimulatedProcess) {
        if process.isPaused {
            process.held.append(.job(job))
        } else {
            ready.append(Ready(job: job, process: process))
        }
    }

    // MARK: Running

    /// Runs until a condition holds, which is asked after each event, or until nothing is left, or until a moment.
    package func run(until end: Int64, or isDone: () -> Bool = { false }) {
        while true {
            runJobs()
            if isDone() || spinning != nil { return }
            guard let next = events.first, next.time <= end else {
                now = max(now, end)
                return
            }
            now = next.time
            if next.isStep { steps += 1 }
            popEvent().action()
        }
    }

    /// Ends every wait, and runs what is left to its end.
    package func finish() {
        isOver = true
        while true {
            runJobs()
            guard !events.isEmpty, spinning == nil else { return }
            now = max(now, events[0].time)
            popEvent().action()
        }
    }

    private func runJobs() {
        let limit = jobs + 100_000
        while !ready.isEmpty {
            if jobs == limit {
                spinning = ready[0].process.name
                return
            }
            let place = ready.count == 1 ? 0 : random.below(ready.count)
            ready.swapAt(place, ready.count - 1)
            let next = ready.removeLast()
            // It was paused by what ran before it.
            if next.process.isPaused {
                next.process.held.append(.job(next.job))
                continue
            }
            jobs += 1
            next.job.runSynchronously(on: next.process.executor.unowned)
        }
    }

    private func popEvent() -> Event {
        let first = events[0]
        let last = events.removeLast()
        if !events.isEmpty {
            events[0] = last
            var parent = 0
            while true {
                var least = 2 * parent + 1
                guard least < events.count else { break }
                if least + 1 < events.count, events[least + 1] < events[least] { least += 1 }
                guard events[least] < events[parent] else { break }
                events.swapAt(parent, least)
                parent = least
            }
        }
        return first
    }
}
