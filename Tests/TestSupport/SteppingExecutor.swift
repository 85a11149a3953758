// To cancel something "at every await" a test has to stand still between any two of its steps. The executor below runs no job by
// itself: what becomes ready waits until the test takes a step, and then runs on the test's own thread.
//
// It holds what prefers it: the task that is started with it, its `async let`s and the children of its groups. What a task
// begins with `Task { }` prefers nothing and runs on the pool, so a test holds that at the calls it makes of the world instead.

import NIOConcurrencyHelpers

/// Runs the jobs of tasks only when it is told to, one at a time, in the order in which they became ready.
public final class SteppingExecutor: TaskExecutor {
    private let ready = NIOLockedValueBox<[UnownedJob]>([])
    private let told: @Sendable () -> Void

    /// An executor without a job.
    ///
    /// - Parameter told: Is called for each job that becomes ready, on whatever thread made it so.
    public init(_ told: @escaping @Sendable () -> Void = {}) {
        self.told = told
    }

    /// Keeps a job until its turn comes.
    public func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        ready.withLockedValue { $0.append(job) }
        told()
    }

    /// Runs the job that became ready first, to its next suspension, on this thread.
    ///
    /// - Returns: Whether there was one.
    public func step() -> Bool {
        let job = ready.withLockedValue { $0.isEmpty ? nil : $0.removeFirst() }
        job?.runSynchronously(on: asUnownedTaskExecutor())
        return job != nil
    }
}
