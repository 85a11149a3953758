import InvalidationWorker
import Logging
import Operations
import Synchronization
import Systemd

/// Tells the service manager, where there is one, how the worker is.
///
/// Nothing waits for the manager. What it did not take is told again at the next sign of life.
final class ServiceUnit: Sendable {
    /// Who started this process and wants to be told, or why that cannot be made out.
    ///
    /// Asked for first when the process has one thread, because it changes the environment.
    static let manager = Result<ServiceManager?, SystemdError> { () throws(SystemdError) in
        try ServiceManager.takeFromEnvironment()
    }

    /// Between two signs of life, where the watchdog does not want them sooner.
    private static let interval: Duration = .seconds(5)

    private let manager: ServiceManager?
    private let state: WorkerState
    private let logger: Logger
    private let report = Mutex(UnitReport())
    private let failure = Mutex<SystemdError?>(nil)

    init(state: WorkerState, logger: Logger) {
        switch Self.manager {
        case .success(let manager): self.manager = manager
        case .failure(let error):
            manager = nil
            logger.warning("The service manager is not told how the worker is", metadata: ["error": "\(error)"])
        }
        self.state = state
        self.logger = logger
    }

    /// Whether somebody watches, who begins anew where this process ends.
    var isManaged: Bool { manager != nil }

    /// Tells what the worker tells; for its events, after ``state`` took them.
    func note(_ event: WorkerEvent) {
        switch event {
        case .standingBy, .leading, .failing, .distrusting: tellNews()
        case .committed: if !report.withLock({ $0.isReady }) { tellNews() }
        case .applied, .vouched: break
        }
    }

    /// Tells what has changed.
    func tellNews() {
        tell { report, state in report.news(of: state) }
    }

    /// Tells that the worker finishes its batch and leaves.
    func tellStopping() {
        report.withLock { $0.headline = "Stopping: finishing the batch" }
        tell { report, state in [.stopping] + report.news(of: state) }
    }

    /// Tells that settings are read again for as long as `body` takes.
    func reload(_ body: () -> Void) {
        // Ready ends a reload, so before the first one there is none: it would end the start.
        let isReady = report.withLock { $0.isReady }
        if isReady { tell { _, _ in [.reloading] } }
        body()
        if isReady { tell { report, state in [.ready] + report.news(of: state) } }
    }

    /// Gives signs of life until it is cancelled.
    ///
    /// - Throws: `CancellationError`.
    func run() async throws {
        guard let manager else { return }
        let interval = manager.watchdogInterval.map { min($0 / 4, Self.interval) } ?? Self.interval
        while true {
            tell { report, state in report.signOfLife(of: state) }
            try await Task.sleep(for: interval)
        }
    }

    private func tell(_ choose: (inout UnitReport, WorkerState.Snapshot) -> [ServiceNotification]) {
        guard let manager else { return }
        let state = state.snapshot
        let outcome = report.withLock { report -> Result<Void, SystemdError> in
            var told = report
            let notifications = choose(&told, state)
            guard !notifications.isEmpty else { return .success(()) }
            do throws(SystemdError) {
                try manager.notify(notifications)
                report = told
                return .success(())
            } catch {
                return .failure(error)
            }
        }
        complain(outcome)
    }

    /// Says once that the manager does not take what it is told.
    private func complain(_ outcome: Result<Void, SystemdError>) {
        switch outcome {
        case .success: failure.withLock { $0 = nil }
        case .failure(let error):
            let isNew = failure.withLock { last in
                defer { last = error }
                return last != error
            }
            guard isNew else { return }
            logger.warning("The service manager is not told; trying again", metadata: ["error": "\(error)"])
        }
    }
}
