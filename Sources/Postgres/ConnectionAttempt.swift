import CLibPQ
import Logging

// Making a connection.
//
// `PQconnectPoll` resolves host names synchronously, on the connection's own thread, and nothing can interrupt that.
// So the caller does not wait for the attempt itself but for an outcome that is settled once: by the attempt, by the
// time limit or by the caller's cancellation, whichever comes first. An attempt that comes late finds the outcome
// settled, and what it made is closed by being let go of.

/// One attempt to connect, by its own thread.
private actor ConnectionMaker {
    nonisolated let thread: ConnectionThread

    nonisolated var unownedExecutor: UnownedSerialExecutor {
        thread.asUnownedSerialExecutor()
    }

    init(thread: ConnectionThread) {
        self.thread = thread
    }

    func connect(
        _ configuration: PostgresConfiguration,
        until deadline: ContinuousClock.Instant,
        logger: Logger
    ) async throws(PostgresError) -> PostgresConnection {
        let string = try ConnectionString(configuration.connectionString)
        var remaining: HostList?
        var report = ""
        while true {
            let outcome = try await attempt(string, configuration, remaining, &report, until: deadline, logger: logger)
            switch outcome {
            case .connected(let connection):
                return connection
            case .gaveUp(let next):
                guard let next else { throw ConnectionAttempt.timeOut(report) }
                remaining = next
            }
        }
    }

    private enum Outcome {
        case connected(PostgresConnection)
        /// A host did not answer in its share of the time; these stand behind it.
        case gaveUp(next: HostList?)
    }

    /// Tries the hosts, or the ones that remain, until one has made a session or one has used up its time.
    ///
    /// The report is libpq's text on the hosts given up so far.
    private func attempt(
        _ string: ConnectionString,
        _ configuration: PostgresConfiguration,
        _ remaining: HostList?,
        _ report: inout String,
        until deadline: ContinuousClock.Instant,
        logger: Logger
    ) async throws(PostgresError) -> Outcome {
        let options = ConnectionOptions(string, configuration, hosts: remaining)
        guard let pointer = options.withKeywordsAndValues({ PQconnectStartParams($0, $1, 1) }) else {
            throw PostgresError(.resourcesExhausted, "no memory is left for a connection to Postgres; free some")
        }
        let handle = ConnectionHandle(pointer, logger: logger)
        // Errors with their SQLSTATE; see ConnectionFailure.
        PQsetErrorVerbosity(pointer, PQERRORS_VERBOSE)
        guard PQstatus(pointer) != CONNECTION_BAD else { throw Self.failure(of: pointer, report) }
        let hosts = HostList(of: pointer)
        let share = ConnectionOptions.timeLimitPerHost(of: pointer, hosts: hosts, until: deadline)
        var host = 0
        var hostDeadline = min(deadline, .now + share)
        var polling = PGRES_POLLING_WRITING
        while polling != PGRES_POLLING_OK {
            guard polling != PGRES_POLLING_FAILED else { throw Self.failure(of: pointer, report) }
            if let current = hosts.index(
                ofHost: String(cString: PQhost(pointer)),
                port: String(cString: PQport(pointer)),
                from: host
            ), current != host {
                host = current
                hostDeadline = min(deadline, .now + share)
            }
            // The socket is asked for each time, because libpq makes a new one for each address.
            let wait = thread.begin(
                for: PQsocket(pointer),
                toBe: polling == PGRES_POLLING_WRITING ? .writable : .readable,
                until: hostDeadline
            )
            let wakening = await thread.end(wait, isolation: self)
            switch wakening {
            case .ready, .signalled: polling = PQconnectPoll(pointer)
            case .cancelled: throw ConnectionAttempt.cancellation()
            case .timedOut:
                let next = deadline <= .now ? nil : hosts.after(host)
                report += Self.report(ofSilenceAt: pointer)
                return .gaveUp(next: next)
            }
        }
        PQsetErrorVerbosity(pointer, PQERRORS_DEFAULT)
        guard PQsetnonblocking(pointer, 1) == 0 else { throw Self.failure(of: pointer, report) }
        return .connected(
            PostgresConnection(thread: thread, handle: handle, pointer: pointer, configuration: configuration)
        )
    }

    private static func failure(of pointer: OpaquePointer, _ report: String) -> PostgresError {
        ConnectionFailure.error(from: report + String(cString: PQerrorMessage(pointer)))
    }

    /// What libpq has written about the attempts so far, with the one that is given up.
    private static func report(ofSilenceAt pointer: OpaquePointer) -> String {
        let silence = "no answer within the time limit for connecting\n"
        let text = String(cString: PQerrorMessage(pointer))
        // libpq has begun the line already, unless it has not come as far as an address.
        if let last = text.last, !last.isNewline { return text + silence }
        return text + "connection to \(place(of: pointer)) failed: " + silence
    }

    private static func place(of pointer: OpaquePointer) -> String {
        let host = String(cString: PQhost(pointer))
        let port = String(cString: PQport(pointer))
        return host.hasPrefix("/")
            ? "server on socket \"\(host)/.s.PGSQL.\(port)\"" : "server at \"\(host)\", port \(port)"
    }
}

extension HostList {
    /// The hosts of a connection that has been started, whatever the string, the environment or a service file says.
    init(of connection: OpaquePointer) {
        let options = ConnectionOptions.values(of: connection, ["host", "hostaddr", "port"])
        self.init(name: options["host"] ?? "", address: options["hostaddr"] ?? "", port: options["port"] ?? "")
    }
}

/// Makes connections within a time limit.
enum ConnectionAttempt {
    /// What the attempt may take longer than the limit, so that its own account of the time-out is the one heard.
    private static let tolerance: Duration = .seconds(3)

    static func run(
        _ configuration: PostgresConfiguration,
        logger: Logger
    ) async throws(PostgresError) -> PostgresConnection {
        let deadline = ContinuousClock.now + configuration.connectTimeLimit
        let maker = ConnectionMaker(thread: try ConnectionThread())
        let settlement = Settlement<PostgresConnection>()
        let attempt = Task {
            do throws(PostgresError) {
                settlement.settle(.success(try await maker.connect(configuration, until: deadline, logger: logger)))
            } catch {
                settlement.settle(.failure(error))
            }
        }
        let timer = Task {
            do {
                try await Task.sleep(until: deadline + tolerance, clock: .continuous)
                settlement.settle(.failure(timeOut("name resolution did not end within the time limit for connecting")))
            } catch {
                // The attempt ended first, and with it the timer.
            }
        }
        defer {
            attempt.cancel()
            timer.cancel()
        }
        return try await withTaskCancellationHandler {
            await settlement.outcome()
        } onCancel: {
            settlement.settle(.failure(cancellation()))
        }.get()
    }

    static func cancellation() -> PostgresError {
        PostgresError(.cancelled, "the task was cancelled while it connected to Postgres")
    }

    static func timeOut(_ report: String) -> PostgresError {
        var error = ConnectionFailure.error(from: report)
        error.code = .timedOut
        return error
    }
}

/// An outcome that is settled once and awaited once.
private final class Settlement<Value: Sendable>: Sendable {
    private enum State {
        case pending
        case awaited(CheckedContinuation<Result<Value, PostgresError>, Never>)
        case settled(Result<Value, PostgresError>)
        case delivered
    }

    private let state = Locked(State.pending)

    /// Settles the outcome unless it is settled already.
    func settle(_ outcome: Result<Value, PostgresError>) {
        let continuation: CheckedContinuation<Result<Value, PostgresError>, Never>? = state.withLock { state in
            switch state {
            case .pending:
                state = .settled(outcome)
                return nil
            case .awaited(let continuation):
                state = .delivered
                return continuation
            case .settled, .delivered:
                return nil
            }
        }
        continuation?.resume(returning: outcome)
    }

    func outcome() async -> Result<Value, PostgresError> {
        await withCheckedContinuation { continuation in
            let outcome: Result<Value, PostgresError>? = state.withLock { state in
                if case .settled(let outcome) = state {
                    state = .delivered
                    return outcome
                }
                state = .awaited(continuation)
                return nil
            }
            if let outcome { continuation.resume(returning: outcome) }
        }
    }
}
