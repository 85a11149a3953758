package import Surroundings

/// A process of the simulation: its clock, its chance, and where its jobs run.
///
/// `@unchecked Sendable` because all of it is used on the one thread that runs the simulation.
package final class SimulatedProcess: SimulatedSurroundings, @unchecked Sendable {
    /// What waits for a paused process.
    enum Held {
        case job(UnownedJob)
        case event(() -> Void)
    }

    /// Takes the jobs of a process.
    final class Executor: TaskExecutor, @unchecked Sendable {
        // `@unchecked` because it is used on the one thread that runs the simulation.
        fileprivate unowned let process: SimulatedProcess
        private(set) lazy var unowned = asUnownedTaskExecutor()

        fileprivate init(_ process: SimulatedProcess) {
            self.process = process
        }

        func enqueue(_ job: consuming ExecutorJob) {
            process.scheduler.enqueue(UnownedJob(job), of: process)
        }
    }

    /// The beginning of the simulation, on the clock that code reads.
    private static let beginning = ContinuousClock.now

    package let name: String
    package let scheduler: Scheduler
    private(set) lazy var executor = Executor(self)
    private(set) var isPaused = false
    /// Nothing of it reaches anybody any more.
    package private(set) var isDead = false
    var held: [Held] = []
    /// What a load saw before: of use to a flaw only.
    var oldSnapshot: PostgresModel.Snapshot?
    private var tasks: [Task<Void, Never>] = []

    package init(name: String, scheduler: Scheduler) {
        self.name = name
        self.scheduler = scheduler
    }

    package var surroundings: Surroundings { Surroundings(self) }

    // MARK: Tasks

    /// Begins a task that ends with the process.
    package func begin(_ body: @escaping @Sendable () async -> Void) {
        tasks.append(Task(executorPreference: executor) { await body() })
    }

    /// Ends it: its tasks are cancelled, and nothing of it reaches anybody any more.
    package func kill() {
        isDead = true
        for task in tasks { task.cancel() }
        tasks = []
        resume()
    }

    package func pause() {
        isPaused = true
    }

    package func resume() {
        guard isPaused else { return }
        isPaused = false
        let held = held
        self.held = []
        for thing in held {
            switch thing {
            case .job(let job): scheduler.enqueue(job, of: self)
            case .event(let action): perform(action)
            }
        }
    }

    /// Does something that happens inside the process: once it goes on, where it is paused.
    func perform(_ action: @escaping () -> Void) {
        if isPaused { held.append(.event(action)) } else { action() }
    }

    // MARK: Waiting

    /// Waits for somebody to resume a waiter.
    ///
    /// - Parameters:
    ///   - cancelled: The outcome where the task is cancelled, or the process has died.
    ///   - begin: Says to whom it matters.
    package func wait<Value: Sendable>(
        cancelled: Value,
        _ begin: (Waiter<Value>) -> Void
    ) async -> Value {
        if isDead || scheduler.isOver { return cancelled }
        let waiter = Waiter<Value>()
        begin(waiter)
        return await withTaskCancellationHandler {
            await withUnsafeContinuation { waiter.wait($0) }
        } onCancel: {
            waiter.resume(cancelled)
        }
    }

    // MARK: Surroundings

    package var now: ContinuousClock.Instant { Self.beginning + .nanoseconds(scheduler.now) }

    package var nanoseconds: Int64 { scheduler.now }

    package var taskExecutor: any TaskExecutor { executor }

    package func sleep(until deadline: ContinuousClock.Instant) async throws {
        try await sleep(untilMoment: moment(of: deadline))
    }

    /// Waits until a moment of the simulation, or throws `CancellationError`.
    func sleep(untilMoment end: Int64) async throws {
        let isDone = await wait(cancelled: false) { waiter in
            scheduler.at(end) { waiter.resume(true) }
        }
        if !isDone { throw CancellationError() }
    }

    /// A moment of the process' clock in nanoseconds of the simulation, rounded up: who waits until then must not come too early.
    func moment(of instant: ContinuousClock.Instant) -> Int64 {
        let (seconds, attoseconds) = (instant - now).components
        return scheduler.now + seconds * 1_000_000_000 + (attoseconds + 999_999_999) / 1_000_000_000
    }

    package func random() -> UInt64 { scheduler.random.next() }
}

/// Somebody who waits for one outcome; the first counts.
///
/// `@unchecked Sendable` because it is used on the one thread that runs the simulation.
package final class Waiter<Value: Sendable>: @unchecked Sendable {
    private var continuation: UnsafeContinuation<Value, Never>?
    private var outcome: Value?

    /// Whether the outcome is still to come.
    package var isWaiting: Bool { outcome == nil }

    fileprivate func wait(_ continuation: UnsafeContinuation<Value, Never>) {
        if let outcome { continuation.resume(returning: outcome) } else { self.continuation = continuation }
    }

    package func resume(_ value: Value) {
        guard outcome == nil else { return }
        outcome = value
        continuation?.resume(returning: value)
        continuation = nil
    }
}
