// A program of ours, run as the servers are: it ends with this process, however that ends, and all its processes stop and go
// together. It needs not say that it is ready.

import Glibc
public import Logging
import Synchronization

/// A program that can be killed, suspended and started again, for tests of faults.
///
/// One task at a time may call what starts or stops it.
public final class LocalProgram: Sendable {
    /// How long a program may take to leave when it is asked to.
    public static let timeLimit: Duration = .seconds(30)

    private let executable: String
    private let arguments: [String]
    private let environment: [String: String]
    private let folder: ServiceFolder
    private let logger: Logger
    private let state = Mutex(State())

    private struct State {
        var daemon: Daemon?
        /// Whether somebody is ending it: then it does not end by itself.
        var isBeingEnded = false
    }

    /// A program that is not running yet.
    ///
    /// - Parameters:
    ///   - executable: Its path.
    ///   - environment: What it gets to see beside PATH and the locale.
    /// - Throws: ``LocalServiceError``.
    public init(
        executable: String,
        arguments: [String],
        environment: [String: String] = [:],
        logger: Logger = LocalServices.logger
    ) throws {
        self.executable = executable
        self.arguments = arguments
        self.environment = environment
        self.logger = logger
        folder = try ServiceFolder(account: .current)
    }

    /// The process; nil while it is stopped.
    public var processIdentifier: Int32? { state.withLock { $0.daemon?.processIdentifier } }

    /// How it ended by itself, in words; nil where it has not.
    public var ending: String? {
        state.withLock { $0.isBeingEnded ? nil : $0.daemon?.progress.ending }.map { "\($0)" }
    }

    /// What it wrote to standard output and standard error in all its runs.
    public func log() throws -> String { String(decoding: try readFile(folder.file(Daemon.logName)), as: UTF8.self) }

    /// Starts it, again or for the first time.
    public func start() async throws {
        guard state.withLock({ $0.daemon == nil }) else {
            throw LocalServiceError(.misuse, "\(executable) is running already: stop it first")
        }
        let started = try await Daemon.launch(
            Daemon.Launch(
                executable: executable,
                arguments: arguments,
                environment: environment,
                account: .current,
                endSignal: .kill,
                folder: folder
            )
        )
        state.withLock { $0.daemon = started }
    }

    private func running() throws(LocalServiceError) -> Daemon {
        guard let running = state.withLock({ $0.daemon }) else {
            throw LocalServiceError(.notRunning, "\(executable) is not running: start it first")
        }
        return running
    }

    /// Asks it to leave (SIGTERM), and waits until it has.
    ///
    /// - Returns: How it ended, in words; nil where it exited with 0.
    @discardableResult
    public func stop() async throws -> String? {
        let ending = try await end { running in
            running.resume()
            running.send(SIGTERM)
        }
        return ending == .exited(0) ? nil : "\(ending)"
    }

    /// Kills it (SIGKILL), and waits until it has gone.
    public func kill() async throws {
        _ = try await end { $0.kill() }
    }

    private func end(_ demand: (Daemon) -> Void) async throws -> Daemon.Ending {
        let running = try running()
        state.withLock { $0.isBeingEnded = $0.daemon?.progress.ending == nil }
        demand(running)
        do {
            let ending = try await running.ended(within: Self.timeLimit)
            state.withLock { $0 = State() }
            return ending
        } catch {
            state.withLock { $0.isBeingEnded = false }
            throw error
        }
    }

    /// Stops it where it stands (SIGSTOP).
    public func suspend() throws {
        try running().suspend()
    }

    /// Lets it go on (SIGCONT).
    public func resume() throws {
        try running().resume()
    }

    /// Ends it, however it is doing, and deletes its folder.
    ///
    /// Idempotent; works in a cancelled task.
    public func destroy() async {
        if let daemon = state.withLock({ $0.daemon.take() }) {
            daemon.kill()
            do {
                _ = try await daemon.ended(within: .seconds(5))
            } catch {
                logger.error("A program could not be ended", metadata: ["error": "\(error)"])
            }
        }
        folder.remove()
    }
}
