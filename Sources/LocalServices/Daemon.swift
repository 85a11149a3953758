// One run of a server program, from its spawn until its last process has gone.
//
// States: launched → ready (any number of times: Postgres says so again after a crash of a backend) → ended.
//
// * Each daemon has a thread of its own, which spawns it and then watches it until it has ended. That the spawning
//   thread lives as long as the daemon is not a detail: the kernel sends a child its death signal (PR_SET_PDEATHSIG, set by
//   setpriv) when the *thread* that made it ends, not the process. A thread of a pool would kill servers at random. This is
//   why swift-subprocess, which runs the tools, does not run the daemons.
// * Ready is what the server says: both Postgres and Redis send READY=1 to the datagram socket named by NOTIFY_SOCKET
//   (systemd's protocol, which Debian's builds speak). No log is parsed, no port is tried in a loop.
// * Ended is the end of the *last* process: each holds one end of a socket pair as descriptor 3, inherited over fork, and
//   we read end of file when all have gone. SIGKILL of the postmaster leaves backends that need a moment to notice; a
//   server that is started on the same data before that refuses ("pre-existing shared memory block").
// * The main process is reaped after that, under the lock under which signals are sent: a signal never reaches a stranger
//   who was given its number.

import Dispatch
import FoundationEssentials
import Glibc
import Synchronization

final class Daemon: Sendable {
    struct Launch: Sendable {
        var executable: String
        var arguments: [String]
        /// What it gets to see beside ``Tool/environment``.
        var environment: [String: String] = [:]
        var account: ServiceAccount
        /// What ends the server at once and in order; the kernel sends it when this process dies.
        var endSignal: EndSignal
        var folder: ServiceFolder

        var name: String { String(executable.split(separator: "/").last ?? "server") }
    }

    enum EndSignal: Sendable {
        /// SIGQUIT: Postgres' immediate shutdown, which takes the backends along and gives its shared memory back.
        case quit
        /// SIGKILL.
        case kill

        var number: Int32 {
            switch self {
            case .quit: SIGQUIT
            case .kill: SIGKILL
            }
        }

        /// As setpriv wants it.
        var name: String {
            switch self {
            case .quit: "QUIT"
            case .kill: "KILL"
            }
        }
    }

    enum Ending: Sendable, Equatable, CustomStringConvertible {
        case exited(Int32)
        case signalled(Int32)

        var description: String {
            switch self {
            case .exited(let status): "it exited with status \(status)"
            case .signalled(let number): "it was ended by signal \(number)"
            }
        }
    }

    /// What has been seen of the daemon so far.
    struct Progress: Sendable {
        var processIdentifier: pid_t
        var timesReady = 0
        var ending: Ending?
    }

    private struct Waiter {
        var isSatisfied: @Sendable (Progress) -> Bool
        var continuation: CheckedContinuation<Bool, Never>
    }

    private struct State {
        var progress: Progress
        var waiters: [Int: Waiter] = [:]
        var nextWaiter = 0
    }

    static let logName = "log"

    let name: String
    let processIdentifier: pid_t
    private let logFile: String
    private let endSignal: EndSignal
    private let state: Mutex<State>
    private let endedSignal = DispatchSemaphore(value: 0)

    private init(name: String, processIdentifier: pid_t, logFile: String, endSignal: EndSignal) {
        self.name = name
        self.endSignal = endSignal
        self.processIdentifier = processIdentifier
        self.logFile = logFile
        self.state = Mutex(State(progress: Progress(processIdentifier: processIdentifier)))
    }

    /// Starts the program; its readiness and its end are awaited by the other functions.
    static func launch(_ launch: Launch) async throws(LocalServiceError) -> Daemon {
        let result = await withCheckedContinuation { (continuation: CheckedContinuation<LaunchResult, Never>) in
            startThread {
                let watched: WatchedDaemon
                do throws(LocalServiceError) {
                    watched = try spawn(launch)
                } catch {
                    continuation.resume(returning: .failure(error))
                    return
                }
                LiveServices.shared.add(watched.daemon)
                continuation.resume(returning: .success(watched.daemon))
                watched.daemon.watch(readiness: watched.readiness, lifeline: watched.lifeline)
            }
        }
        return try result.get()
    }

    private typealias LaunchResult = Result<Daemon, LocalServiceError>

    private struct WatchedDaemon {
        var daemon: Daemon
        var readiness: Int32
        var lifeline: Int32
    }

    // MARK: Waiting

    /// Waits until the server has said that it takes connections, more often than `times`.
    func ready(moreOftenThan times: Int = 0, within limit: Duration) async throws(LocalServiceError) {
        let isOver = await wait(within: limit) { $0.timesReady > times || $0.ending != nil }
        let progress = self.progress
        if progress.timesReady > times, progress.ending == nil { return }
        let reason = lastWords()
        if let ending = progress.ending {
            let isAddressInUse =
                reason.contains("Address already in use") || reason.contains("Failed listening on port")
            throw LocalServiceError(
                isAddressInUse ? .addressInUse : .cannotStart,
                "\(name) did not start, \(ending): \(reason)"
            )
        }
        precondition(!isOver)
        throw LocalServiceError(.timedOut, "\(name) was not ready within \(limit); its last words: \(reason)")
    }

    /// Waits until every process of the server has gone.
    func ended(within limit: Duration) async throws(LocalServiceError) -> Ending {
        _ = await wait(within: limit) { $0.ending != nil }
        guard let ending = progress.ending else {
            throw LocalServiceError(.timedOut, "\(name) (process \(processIdentifier)) did not end within \(limit)")
        }
        return ending
    }

    var progress: Progress { state.withLock { $0.progress } }

    /// True if the condition came true within the limit.
    ///
    /// Cancellation does not end the wait: it is bounded, and what waits
    /// here is most often a clean-up.
    private func wait(within limit: Duration, until isSatisfied: @escaping @Sendable (Progress) -> Bool) async -> Bool {
        await withCheckedContinuation { continuation in
            let number: Int? = state.withLock { state in
                guard !isSatisfied(state.progress) else { return nil }
                state.nextWaiter += 1
                state.waiters[state.nextWaiter] = Waiter(isSatisfied: isSatisfied, continuation: continuation)
                return state.nextWaiter
            }
            guard let number else {
                continuation.resume(returning: true)
                return
            }
            let (seconds, attoseconds) = limit.components
            let nanoseconds = Int(seconds) * 1_000_000_000 + Int(attoseconds / 1_000_000_000)
            DispatchQueue.global().asyncAfter(deadline: .now() + .nanoseconds(nanoseconds)) { [weak self] in
                let waiter = self?.state.withLock { $0.waiters.removeValue(forKey: number) }
                waiter?.continuation.resume(returning: false)
            }
        }
    }

    private func update(_ change: (inout Progress) -> Void) {
        let satisfied: [Waiter] = state.withLock { state in
            change(&state.progress)
            let progress = state.progress
            let numbers = state.waiters.filter { $0.value.isSatisfied(progress) }.keys
            return numbers.compactMap { state.waiters.removeValue(forKey: $0) }
        }
        for waiter in satisfied { waiter.continuation.resume(returning: true) }
    }

    /// For the handler at exit only, where nothing can be awaited; false if the server has not ended by the deadline.
    func blockUntilEnded(_ deadline: DispatchTime) -> Bool {
        guard endedSignal.wait(timeout: deadline) == .success else { return false }
        endedSignal.signal()
        return true
    }

    // MARK: Signals

    /// Sends a signal to the main process, if the server has not ended.
    func send(_ signal: Int32) {
        state.withLock { state in
            guard state.progress.ending == nil else { return }
            _ = Glibc.kill(processIdentifier, signal)
        }
    }

    /// Tells the server to end at once, also if it is suspended.
    func end() {
        resume()
        send(endSignal.number)
    }

    /// SIGKILL to every process of the server.
    func kill() {
        // Stopped first, so that the main process cannot make a child that is not on the list.
        stopThenSend(SIGKILL)
    }

    /// SIGSTOP to every process of the server; returns when all of them stand still.
    func suspend() {
        stopThenSend(SIGSTOP)
    }

    /// SIGCONT to every process of the server.
    func resume() {
        state.withLock { state in
            guard state.progress.ending == nil else { return }
            for process in Self.children(of: processIdentifier) + [processIdentifier] {
                _ = Glibc.kill(process, SIGCONT)
            }
        }
    }

    private func stopThenSend(_ signal: Int32) {
        state.withLock { state in
            guard state.progress.ending == nil else { return }
            _ = Glibc.kill(processIdentifier, SIGSTOP)
            Self.awaitStop(of: processIdentifier)
            // Read before the signal: the children of a killed process are no longer listed as its own.
            let children = Self.children(of: processIdentifier)
            for process in children + [processIdentifier] { _ = Glibc.kill(process, signal) }
            if signal == SIGSTOP {
                for process in children { Self.awaitStop(of: process) }
            }
        }
    }

    private static func children(of process: pid_t) -> [pid_t] {
        guard let list = try? readFile("/proc/\(process)/task/\(process)/children") else { return [] }
        return String(decoding: list, as: UTF8.self).split(separator: " ").compactMap { pid_t($0) }
    }

    /// Blocks until a process that was sent SIGSTOP has stopped or gone: microseconds, half a minute at most.
    ///
    /// waitid() would report it for our own child only, and only once; the state in /proc is there for all.
    private static func awaitStop(of process: pid_t) {
        let deadline = ContinuousClock.now + .seconds(30)
        while ContinuousClock.now < deadline {
            guard let status = try? readFile("/proc/\(process)/stat"),
                let afterName = String(decoding: status, as: UTF8.self).split(separator: ")").last
            else { return }
            if afterName.hasPrefix(" T") || afterName.hasPrefix(" Z") || afterName.hasPrefix(" X") { return }
            sched_yield()
        }
    }

    // MARK: The log

    /// The line of the log that most probably says what went wrong.
    private func lastWords() -> String {
        guard let bytes = try? readFile(logFile) else { return "it wrote nothing" }
        let lines = String(decoding: bytes.suffix(8_192), as: UTF8.self).split(separator: "\n")
        let telling = ["Address already in use", "FATAL", "PANIC", "# ", "rror", "ERROR"]
        for word in telling {
            if let line = lines.last(where: { $0.contains(word) && !$0.contains("WARNING") }) { return String(line) }
        }
        return lines.last.map(String.init) ?? "it wrote nothing"
    }

    // MARK: The thread

    private static func startThread(_ body: @escaping @Sendable () -> Void) {
        let thread = DaemonThread(body: body)
        thread.start()
    }

    private static func spawn(_ launch: Launch) throws(LocalServiceError) -> WatchedDaemon {
        let folder = launch.folder
        let readiness = try readinessSocket(in: folder)
        var pair: [Int32] = [-1, -1]
        guard socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0, &pair) == 0 else {
            close(readiness)
            throw LocalServiceError(.systemCallFailed, "no socket pair could be made: \(describe(errno))")
        }
        defer { close(pair[1]) }

        let logFile = folder.file(logName)
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_addopen(&actions, 1, logFile, O_WRONLY | O_CREAT | O_APPEND, 0o600)
        posix_spawn_file_actions_adddup2(&actions, 1, 2)
        posix_spawn_file_actions_adddup2(&actions, pair[1], 3)
        // Nothing else of ours: a socket that the server holds as well stays open when we close it, and SwiftNIO's are inherited.
        // Swift does not see the call that closes all from one on. Numbers are given out lowest first, so that what is opened
        // meanwhile lies not far beyond; closing what is not open does nothing.
        for number in 4..<highestDescriptor() + 64 {
            posix_spawn_file_actions_addclose(&actions, number)
        }

        // A process group of its own: Control-C in the terminal is for us, and we end the servers in order. Signals that
        // this process ignores or blocks must not be ignored or blocked there.
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        posix_spawnattr_setflags(
            &attributes,
            Int16(POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF)
        )
        posix_spawnattr_setpgroup(&attributes, 0)
        var signals = sigset_t()
        sigemptyset(&signals)
        posix_spawnattr_setsigmask(&attributes, &signals)
        sigfillset(&signals)
        posix_spawnattr_setsigdefault(&attributes, &signals)

        let words =
            ["setpriv", "--pdeathsig", launch.endSignal.name] + launch.account.setprivArguments
            + ["--", launch.executable] + launch.arguments
        var environment = Tool.environment.merging(launch.environment) { _, new in new }
        environment["NOTIFY_SOCKET"] = folder.file(readinessName)
        environment["HOME"] = folder.path

        var process: pid_t = 0
        let status = withCStrings(words) { arguments in
            withCStrings(environment.map { "\($0.key)=\($0.value)" }) { variables in
                posix_spawnp(&process, "setpriv", &actions, &attributes, arguments, variables)
            }
        }
        guard status == 0 else {
            close(readiness)
            close(pair[0])
            throw LocalServiceError(
                status == ENOENT ? .notInstalled : .systemCallFailed,
                status == ENOENT
                    ? "setpriv is not installed: apt-get install util-linux"
                    : "\(launch.executable) could not be run: \(describe(status))"
            )
        }
        let daemon = Daemon(
            name: launch.name,
            processIdentifier: process,
            logFile: logFile,
            endSignal: launch.endSignal
        )
        return WatchedDaemon(daemon: daemon, readiness: readiness, lifeline: pair[0])
    }

    /// The highest file descriptor that is open in this process.
    private static func highestDescriptor() -> Int32 {
        let open = (try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd")) ?? []
        return open.compactMap { Int32($0) }.max() ?? 1_024
    }

    private static let readinessName = "notify"

    private static func readinessSocket(in folder: ServiceFolder) throws(LocalServiceError) -> Int32 {
        let path = folder.file(readinessName)
        try folder.removeFile(readinessName)
        let descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else {
            throw LocalServiceError(.systemCallFailed, "no socket could be made: \(describe(errno))")
        }
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        let status = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        // Writable by all, because the server may run as another user; the folder around it is private.
        guard status == 0, chmod(path, 0o666) == 0 else {
            let error = errno
            close(descriptor)
            throw LocalServiceError(.systemCallFailed, "\(path) could not be bound: \(describe(error))")
        }
        return descriptor
    }

    /// Runs on the daemon's own thread until its last process has gone.
    private func watch(readiness: Int32, lifeline: Int32) {
        var buffer = [UInt8](repeating: 0, count: 4_096)
        while true {
            var events = [
                pollfd(fd: readiness, events: Int16(POLLIN), revents: 0),
                pollfd(fd: lifeline, events: Int16(POLLIN), revents: 0),
            ]
            // Fails only with EINTR, and then nothing has happened yet.
            guard poll(&events, 2, -1) > 0 else { continue }
            if events[0].revents != 0 {
                let count = recv(readiness, &buffer, buffer.count, 0)
                if count > 0, Self.saysReady(buffer[..<count]) { update { $0.timesReady += 1 } }
            }
            if events[1].revents != 0, read(lifeline, &buffer, 1) == 0 { break }
        }
        close(readiness)
        close(lifeline)
        var information = siginfo_t()
        while waitid(P_PID, id_t(processIdentifier), &information, WEXITED | WNOWAIT) != 0, errno == EINTR {}
        update { progress in
            // Reaped under the lock under which signals are sent.
            var status: Int32 = 0
            _ = waitpid(processIdentifier, &status, 0)
            progress.ending = status & 0x7f == 0 ? .exited((status >> 8) & 0xff) : .signalled(status & 0x7f)
        }
        LiveServices.shared.remove(self)
        endedSignal.signal()
    }

    static func saysReady(_ message: ArraySlice<UInt8>) -> Bool {
        String(decoding: message, as: UTF8.self).split(separator: "\n").contains("READY=1")
    }
}

/// A detached thread.
private final class DaemonThread: Sendable {
    private let body: @Sendable () -> Void

    init(body: @escaping @Sendable () -> Void) {
        self.body = body
    }

    func start() {
        var thread = pthread_t()
        let status = pthread_create(
            &thread,
            nil,
            { argument in
                if let argument {
                    Unmanaged<DaemonThread>.fromOpaque(argument).takeRetainedValue().body()
                }
                return nil
            },
            Unmanaged.passRetained(self).toOpaque()
        )
        precondition(status == 0, "no thread could be started: \(describe(status))")
        pthread_detach(thread)
    }
}

/// Calls `body` with a null-terminated array of C strings.
private func withCStrings<Result>(
    _ strings: [String],
    _ body: ([UnsafeMutablePointer<CChar>?]) -> Result
) -> Result {
    let pointers: [UnsafeMutablePointer<CChar>?] = strings.map { strdup($0) } + [nil]
    defer { for pointer in pointers { free(pointer) } }
    return body(pointers)
}
