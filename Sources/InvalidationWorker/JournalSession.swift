package import Keyspace

/// A worker's session with Postgres: leadership, the claim and its transaction.
///
/// The lock and the claims live and die with it. Not to be used by two tasks at once. Whatever a call throws, other
/// than ``FactsUnreadable``, is the end of the session.
package protocol JournalSession: Sendable {
    /// Whether the triggers notify, so that waiting for a notification is enough between polls.
    func notifies() async throws -> Bool
    /// Tries to become the leader; false where another session is.
    func tryToLead() async throws -> Bool
    /// The process id of the session that leads; nil where nobody does, or where that cannot be told.
    func leader() async throws -> Int64?
    /// Begins to listen, and returns which Postgres this is, with a token.
    func takeOver() async throws -> PostgresIdentity
    /// Begins to listen, or ends it while another session listens.
    func listen(_ isListening: Bool) async throws
    /// Waits for a change to be notified, until `deadline` at the most.
    ///
    /// A wait whose task is cancelled throws, and the session can be used all the same.
    ///
    /// - Returns: Whether one was.
    func waitForChange(until deadline: ContinuousClock.Instant) async throws -> Bool
    /// Waits until `deadline`, whatever is notified.
    func pause(until deadline: ContinuousClock.Instant) async throws
    /// Opens a transaction, and claims in it everything that is visible.
    ///
    /// - Throws: ``FactsUnreadable`` where only the application's tables stood in the way; the transaction is over then.
    func claim(_ request: PumpStateMachine.ClaimRequest) async throws -> Claim
    /// Writes what the pass acknowledges, and commits.
    func commit(_ acknowledgements: [PassPlan.Acknowledgement]) async throws
    func rollBack() async throws
    /// Ends the session, and with it the leadership.
    func close() async
}

/// The attached tables of some caches cannot be read, so that a batch can only be resolved coarsely there.
package struct FactsUnreadable: Error {
    /// Why, by cache.
    package var problems: [String: String]

    package init(problems: [String: String]) {
        self.problems = problems
    }
}
