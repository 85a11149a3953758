internal import NIOCore

/// Runs the jobs of tasks on an event loop.
///
/// Jobs that become ready in one turn of the event loop, as those of callers whose replies came together, are run one behind the
/// other in the same turn: it is told of all of them once.
///
/// `@unchecked Sendable` because the jobs are touched on the event loop only.
final class EventLoopExecutor: TaskExecutor, @unchecked Sendable {
    private let eventLoop: any EventLoop
    /// What became ready on the event loop and is to be run in this turn.
    ///
    /// Unchecked, because no access to it calls back: jobs are run out of another array.
    @exclusivity(unchecked) private var ready: [UnownedJob] = []
    /// An array that is empty, for the memory that it has.
    private var spare: [UnownedJob] = []

    init(_ eventLoop: any EventLoop) {
        self.eventLoop = eventLoop
    }

    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        guard eventLoop.inEventLoop else {
            eventLoop.execute { [self] in
                job.runSynchronously(on: asUnownedTaskExecutor())
            }
            return
        }
        ready.append(job)
        guard ready.count == 1 else { return }
        eventLoop.assumeIsolated().execute { [self] in
            runReady()
        }
    }

    private func runReady() {
        // What becomes ready meanwhile is run behind what waits for this turn already.
        var jobs = spare
        spare = []
        swap(&jobs, &ready)
        for job in jobs {
            job.runSynchronously(on: asUnownedTaskExecutor())
        }
        jobs.removeAll(keepingCapacity: true)
        spare = jobs
    }
}
