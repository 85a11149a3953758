import Synchronization

/// Whether Postgres is at work on a claim, for who watches over a worker.
///
/// Each other step of the worker's loop has a time limit. A claim takes as long as it does, because a backlog of any size is one
/// statement, and because it may have to wait for a lock: a loop that waits for it is not frozen.
package final class ClaimWait: Sendable {
    private let claims = Atomic(0)

    package init() {}

    /// Whether it is at work now.
    package var isUnderWay: Bool { claims.load(ordering: .relaxed) > 0 }

    func begin() { claims.add(1, ordering: .relaxed) }

    func end() { claims.subtract(1, ordering: .relaxed) }
}
