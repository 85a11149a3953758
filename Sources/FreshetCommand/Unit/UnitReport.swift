// What the service manager is told, decided apart from the telling.
//
// * Ready means: what was in the journal when the worker came has been applied, or another worker leads and this one waits to
//   take over. Not: a process exists.
// * Alive means: the loop of the worker began something since the last sign of life, or Postgres is at work on its claim. Every
//   other step has a time limit, all of them below the watchdog's; so servers that are away, or refuse, end no process.
// * A start may take longer while the first pass is under way and no server fails. While one does, it may not: whoever waits for
//   the start (a boot, an installation, a person) is told after TimeoutStartSec that it has failed, and the manager begins anew,
//   with the secrets as they are then. What never ends is the trying, not the start.

import InvalidationWorker
import Operations
import Systemd

struct UnitReport: Sendable {
    /// By how much a start that goes on is prolonged at each sign of life.
    static let extraTime: Duration = .seconds(30)

    /// Whether the manager was told that the worker is ready.
    private(set) var isReady = false
    /// What it does beside what the worker knows: stopping, for example.
    var headline: String?
    private var turns: UInt64 = 0
    private var status: String?

    /// What is news; empty where nothing is.
    mutating func news(of state: WorkerState.Snapshot) -> [ServiceNotification] {
        var news: [ServiceNotification] = []
        if !isReady, state.isAtWork {
            isReady = true
            news.append(.ready)
        }
        let status = headline ?? Redaction.line(state.line)
        if status != self.status {
            self.status = status
            news.append(.status(status))
        }
        return news
    }

    /// What is told at regular intervals: news, and whether the loop is alive.
    mutating func signOfLife(of state: WorkerState.Snapshot) -> [ServiceNotification] {
        var signs = news(of: state)
        guard state.progress.turns != turns || state.isClaimUnderWay else { return signs }
        turns = state.progress.turns
        signs.append(.watchdog)
        if !isReady, state.role == .leading, state.failures[.redis] == nil, state.obstacle == nil {
            signs.append(.extendTimeout(Self.extraTime))
        }
        return signs
    }
}

extension WorkerState.Snapshot {
    /// Whether the first drain is done, or somebody else's to do.
    fileprivate var isAtWork: Bool {
        if case .standingBy = role { return true }
        return committedAt != nil
    }
}
