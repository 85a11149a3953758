import Glibc

// The executor of one connection: a thread that runs the connection's jobs and, when there are none, waits in poll(2)
// for the connection's socket.
//
// Why a thread with poll and not dispatch sources. libpq resolves names synchronously, so connecting needs a thread
// that may block anyhow. A dispatch source costs two more thread hops for every answer (the manager's epoll, then the
// queue), and must never outlive its descriptor, which libpq closes and replaces while it tries one host after
// another. Here a descriptor is polled only while somebody waits for it, on the one thread that also closes it.
//
// Invariants.
// - A wait begins before its task is suspended, in the job that knows what it is for: on the way from one async function
//   to the next other jobs may run, and those must find it, as who ends it, or who closes its descriptor.
// - A `Wait` ends exactly once: whoever takes it out of the list, under the lock, resumes its task, or leaves the outcome
//   to the suspension that is to come.
// - A wait with a descriptor is begun by a job of this thread and its descriptor is closed by a job of this
//   thread, which ends all waits; poll runs only between jobs. So poll never sees a closed descriptor.
// - Whatever it is enqueued as, a job runs as one of the serial executor: the thread runs one after the other.
// - The thread holds the loop, never the executor; each queued job holds the executor. So the executor's `deinit` means
//   that no job is left, and ends the thread.

/// Why a wait ended.
enum Wakening: Sendable {
    /// The socket is ready, or in error, which reading will tell.
    case ready
    /// The deadline has passed.
    case timedOut
    /// The task was cancelled.
    case cancelled
    /// Somebody called `signal` or `signalAll`.
    case signalled
}

/// What a wait on a socket is for.
struct Readiness: OptionSet, Sendable {
    let rawValue: Int16

    static let readable = Readiness(rawValue: Int16(POLLIN))
    static let writable = Readiness(rawValue: Int16(POLLOUT))
}

/// Names one wait.
struct WaitID: Hashable, Sendable {
    fileprivate let number: UInt64
}

/// A thread of its own for one connection, usable as an actor's executor.
///
/// It is a task's executor, too, while that waits. A continuation resumes its task on the executor that the task
/// prefers, or else on the pool (Swift's runtime, since its pull request 38600), and the actor's comes behind that:
/// without a preference each answer of the server would wake a thread of the pool, only to be handed back to this one.
final class ConnectionThread: SerialExecutor, TaskExecutor {
    private let loop: EventLoop

    /// Starts the thread; throws `resourcesExhausted` where the system has no descriptor or thread left.
    init() throws(PostgresError) {
        let loop = try EventLoop()
        try OwnThread.start { loop.run() }
        self.loop = loop
    }

    deinit {
        loop.stop()
    }

    func enqueue(_ job: consuming ExecutorJob) {
        loop.enqueue(UnownedJob(job), on: self)
    }

    func asUnownedSerialExecutor() -> UnownedSerialExecutor {
        UnownedSerialExecutor(ordinary: self)
    }

    /// A name for a wait to come.
    func makeWaitID() -> WaitID {
        loop.makeWaitID()
    }

    /// Begins to wait for a socket, a signal or a deadline, whichever comes first.
    ///
    /// To be called by a job of this thread, and followed by `end`.
    ///
    /// - Parameters:
    ///   - id: A name from `makeWaitID`, used for this wait only; nil for another.
    ///   - socket: The descriptor to watch; none where only a signal can end the wait.
    ///   - readiness: What to watch it for.
    ///   - deadline: When to give up.
    func begin(
        _ id: WaitID? = nil,
        for socket: Int32? = nil,
        toBe readiness: Readiness = .readable,
        until deadline: ContinuousClock.Instant
    ) -> WaitID {
        let id = id ?? makeWaitID()
        loop.begin(EventLoop.Wait(id: id, socket: socket ?? -1, readiness: readiness, deadline: deadline))
        return id
    }

    /// Waits until what has begun has ended, with no thread held but this.
    ///
    /// - Parameters:
    ///   - isCancellable: Whether the cancellation of the task ends the wait, too.
    ///   - isolation: The actor that runs on this thread.
    func end(_ id: WaitID, isCancellable: Bool = true, isolation: isolated any Actor) async -> Wakening {
        guard isCancellable else { return await suspend(until: id, isolation: isolation) }
        let loop = loop
        return await withTaskCancellationHandler {
            await suspend(until: id, isolation: isolation)
        } onCancel: {
            loop.wake(id, because: .cancelled)
        }
    }

    private func suspend(until id: WaitID, isolation: isolated any Actor) async -> Wakening {
        await withTaskExecutorPreference(self, isolation: isolation) {
            await withCheckedContinuation(isolation: isolation) { loop.resume($0, when: id) }
        }
    }

    /// Ends the wait of this name; kept for it where it has yet to begin.
    func signal(_ id: WaitID) {
        loop.signal(id)
    }

    /// Ends the wait of this name, and says whether there was one.
    @discardableResult
    func wake(_ id: WaitID) -> Bool {
        loop.wake(id, because: .signalled)
    }

    /// Ends every wait there is.
    func signalAll() {
        loop.signalAll()
    }
}

/// The jobs, the waits and the loop over both.
private final class EventLoop: Sendable {
    struct Wait {
        let id: WaitID
        let socket: Int32
        let readiness: Readiness
        let deadline: ContinuousClock.Instant
        /// The task that waits; nil until it is suspended.
        var continuation: CheckedContinuation<Wakening, Never>?
    }

    private struct Job {
        let job: UnownedJob
        let executor: ConnectionThread
    }

    private struct State {
        var jobs: [Job] = []
        var waits: [Wait] = []
        /// Signals whose waits have yet to begin.
        var earlySignals: Set<WaitID> = []
        /// Why waits have ended whose tasks have yet to be suspended.
        var outcomes: [WaitID: Wakening] = [:]
        var lastWait: UInt64 = 0
        var isPolling = false
        var isStopping = false

        /// Whether the thread must be told that there is something new.
        ///
        /// It sees by itself what comes before it polls.
        mutating func mustWake() -> Bool {
            defer { isPolling = false }
            return isPolling
        }

        /// Ends a wait that was taken out of the list, and returns whom to resume.
        mutating func end(_ wait: Wait, _ wakening: Wakening) -> CheckedContinuation<Wakening, Never>? {
            if wait.continuation == nil { outcomes[wait.id] = wakening }
            return wait.continuation
        }

        /// Takes a wait out of the list.
        mutating func take(_ id: WaitID) -> Wait? {
            guard let index = waits.firstIndex(where: { $0.id == id }) else { return nil }
            return waits.remove(at: index)
        }
    }

    private let state = Locked(State())
    /// The ends of a pair of sockets; a byte written to one ends a poll that waits on the other.
    private let wakeReader: Int32
    private let wakeWriter: Int32

    init() throws(PostgresError) {
        var ends: [Int32] = [-1, -1]
        // Not a pipe, which cannot be made close-on-exec at once without an extension of the C library.
        let kind = Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue)
        guard socketpair(AF_UNIX, kind, 0, &ends) == 0 else {
            throw PostgresError(
                .resourcesExhausted,
                "no file descriptor is left for a connection to Postgres (\(String(cString: strerror(errno)))); "
                    + "raise the limit on open files or open fewer connections"
            )
        }
        wakeReader = ends[0]
        wakeWriter = ends[1]
    }

    deinit {
        close(wakeReader)
        close(wakeWriter)
    }

    func makeWaitID() -> WaitID {
        state.withLock { state in
            state.lastWait += 1
            return WaitID(number: state.lastWait)
        }
    }

    func enqueue(_ job: UnownedJob, on executor: ConnectionThread) {
        let mustWake = state.withLock { state in
            state.jobs.append(Job(job: job, executor: executor))
            return state.mustWake()
        }
        if mustWake { interruptPoll() }
    }

    func stop() {
        let mustWake = state.withLock { state in
            state.isStopping = true
            return state.mustWake()
        }
        if mustWake { interruptPoll() }
    }

    func begin(_ wait: Wait) {
        state.withLock { state in
            if state.earlySignals.remove(wait.id) != nil {
                state.outcomes[wait.id] = .signalled
            } else {
                state.waits.append(wait)
            }
        }
    }

    /// Resumes a task when the wait of this name has ended.
    func resume(_ continuation: CheckedContinuation<Wakening, Never>, when id: WaitID) {
        let outcome: Wakening? = state.withLock { state in
            if let outcome = state.outcomes.removeValue(forKey: id) { return outcome }
            guard let index = state.waits.firstIndex(where: { $0.id == id }) else {
                preconditionFailure("a wait that has not begun")
            }
            state.waits[index].continuation = continuation
            return nil
        }
        if let outcome { continuation.resume(returning: outcome) }
    }

    /// Ends a wait.
    ///
    /// Its continuation's job wakes the thread, so there is no need to do that here.
    @discardableResult
    func wake(_ id: WaitID, because wakening: Wakening) -> Bool {
        let (isFound, continuation) = state.withLock { state -> (Bool, CheckedContinuation<Wakening, Never>?) in
            guard let wait = state.take(id) else { return (false, nil) }
            return (true, state.end(wait, wakening))
        }
        continuation?.resume(returning: wakening)
        return isFound
    }

    func signal(_ id: WaitID) {
        let continuation = state.withLock { state -> CheckedContinuation<Wakening, Never>? in
            guard let wait = state.take(id) else {
                state.earlySignals.insert(id)
                return nil
            }
            return state.end(wait, .signalled)
        }
        continuation?.resume(returning: .signalled)
    }

    func signalAll() {
        let continuations = state.withLock { state in
            let waits = state.waits
            state.waits.removeAll()
            return waits.compactMap { state.end($0, .signalled) }
        }
        for continuation in continuations { continuation.resume(returning: .signalled) }
    }

    private func interruptPoll() {
        var byte: UInt8 = 0
        // A full buffer is as good as a written one: the poll ends either way.
        _ = write(wakeWriter, &byte, 1)
    }

    func run() {
        while true {
            if runJobs() { continue }
            var descriptors = [pollfd(fd: wakeReader, events: Int16(POLLIN), revents: 0)]
            var watched: [WaitID] = []
            var deadline: ContinuousClock.Instant?
            let next: NextStep = state.withLock { state in
                if !state.jobs.isEmpty { return .runJobs }
                if state.isStopping { return .leave }
                for wait in state.waits {
                    deadline = min(deadline ?? wait.deadline, wait.deadline)
                    guard wait.socket >= 0 else { continue }
                    watched.append(wait.id)
                    descriptors.append(pollfd(fd: wait.socket, events: wait.readiness.rawValue, revents: 0))
                }
                state.isPolling = true
                return .poll
            }
            switch next {
            case .runJobs: continue
            case .leave: return
            case .poll: break
            }
            let count = poll(&descriptors, nfds_t(descriptors.count), Self.milliseconds(until: deadline))
            if count > 0, descriptors[0].revents != 0 { drainWakeups() }
            var ready: [WaitID] = []
            if count > 0 {
                for (id, descriptor) in zip(watched, descriptors.dropFirst()) where descriptor.revents != 0 {
                    ready.append(id)
                }
            }
            finish(ready)
        }
    }

    private enum NextStep {
        case runJobs, poll, leave
    }

    /// Runs what is queued and says whether there was anything.
    ///
    /// The jobs' hold on the executor ends with this call.
    private func runJobs() -> Bool {
        let jobs = state.withLock { state in
            defer { state.jobs.removeAll(keepingCapacity: state.jobs.count < 64) }
            return state.jobs
        }
        for job in jobs {
            job.job.runSynchronously(on: job.executor.asUnownedSerialExecutor())
        }
        return !jobs.isEmpty
    }

    /// Resumes the waits whose socket is ready and those whose time is over.
    private func finish(_ ready: [WaitID]) {
        let now = ContinuousClock.now
        let ended: [(CheckedContinuation<Wakening, Never>, Wakening)] = state.withLock { state in
            state.isPolling = false
            let waits = state.waits
            state.waits.removeAll { ready.contains($0.id) || $0.deadline <= now }
            return waits.compactMap { wait in
                guard ready.contains(wait.id) || wait.deadline <= now else { return nil }
                let wakening: Wakening = ready.contains(wait.id) ? .ready : .timedOut
                return state.end(wait, wakening).map { ($0, wakening) }
            }
        }
        for (continuation, wakening) in ended { continuation.resume(returning: wakening) }
    }

    private func drainWakeups() {
        var bytes: [UInt8] = [0, 0, 0, 0, 0, 0, 0, 0]
        while read(wakeReader, &bytes, bytes.count) == bytes.count {}
    }

    /// The time until the deadline as poll(2) wants it: whole milliseconds, rounded up, so that it never spins.
    private static func milliseconds(until deadline: ContinuousClock.Instant?) -> Int32 {
        guard let deadline else { return -1 }
        let rest = deadline - .now
        guard rest > .zero else { return 0 }
        let (seconds, attoseconds) = rest.components
        guard seconds < 1_000_000 else { return 1_000_000_000 }
        return Int32(seconds) * 1_000 + Int32((attoseconds + 999_999_999_999_999) / 1_000_000_000_000_000)
    }
}
