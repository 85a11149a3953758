package import Keyspace

/// What one claim returned: everything that was visible in one snapshot, and what is needed to resolve it.
package struct Claim: Equatable, Sendable {
    /// The statement's snapshot, `xmin:xmax:xip`.
    package var snapshot: String
    /// How many rows of the journal the snapshot shows.
    ///
    /// This, and never what was deleted, tells whether it is empty.
    package var rowCount: Int64
    /// How many of them this claim deletes.
    ///
    /// Fewer where somebody else deletes some at the same time.
    package var deletedCount: Int64
    /// The clock of Postgres; nil where it is not known.
    var clock: Clock?
    /// One part for each cache that exists here: attached, missed, or just detached.
    package var caches: [CacheClaim]

    /// What the clock of Postgres said at the end of a claim, and when that had come.
    struct Clock: Equatable, Sendable {
        /// Since 1970.
        var microseconds: Int64
        var received: ContinuousClock.Instant

        /// What it says at a later moment.
        func microseconds(at moment: ContinuousClock.Instant) -> Int64 {
            microseconds &+ received.duration(to: moment).wholeMicroseconds
        }
    }

    package init(snapshot: String, rowCount: Int64, deletedCount: Int64, caches: [CacheClaim]) {
        self.snapshot = snapshot
        self.rowCount = rowCount
        self.deletedCount = deletedCount
        self.caches = caches
    }
}

/// What a claim returned of one cache.
package struct CacheClaim: Equatable, Sendable {
    /// The rows of the journal that concern the cache, or the fact that there are too many.
    package enum Backlog: Equatable, Sendable {
        case changes([JournalRow])
        /// More rows than are worth resolving one by one; all of them are claimed.
        case collapsed
    }

    /// The name of the cache.
    package var cache: String
    /// How many rows of the journal concern it.
    package var rowCount: Int64 = 0
    /// The mark of the last pass that was committed: empty before the first, nil where the row that keeps it is missing.
    package var mark: String?
    /// The fingerprint of the triggers that the last committed pass acknowledged.
    package var acknowledgedTriggers: String?
    /// Which tables and columns are attached, as text; empty where none is.
    var attachments = ""
    /// The attached tables and their triggers, in the same snapshot.
    package var attachedTables: [AttachedTable] = []
    var backlog = Backlog.changes([])
    /// What the batch was resolved with; nil where it could not be looked up.
    var facts: [FactRow]?
    /// What the batch invalidates, by the rules of the cache.
    package var scopes = ScopeSet()
    /// What was bumped ahead of the pass, on hints; nil for nothing.
    var covered: HintCoverage?
    /// Why the facts that resolve a batch cannot be looked up; nil where they can.
    var factsProblem: String?

    /// Whether the cache is attached, or ought to be.
    ///
    /// One that is not has just been detached: what concerns it is applied once more, and nobody misses its promises.
    var isAttached: Bool { !attachedTables.isEmpty }

    /// The fingerprint of all triggers as they are in this snapshot.
    var triggers: String {
        attachedTables.map { "\($0.subject)=\($0.fingerprint)" }.sorted().joined(separator: " ")
    }

    /// Why no promise can be made of what this snapshot does not show; nil where one can.
    var distrust: String? {
        if mark == nil {
            return "the row of freshet.fence is missing: INSERT INTO freshet.fence (cache) VALUES ('\(cache)')"
        }
        if !isAttached { return "no table is attached: run freshet migrate, or SELECT freshet.attach(…)" }
        let problems = attachedTables.compactMap(\.problem)
        return problems.isEmpty ? factsProblem : problems.joined(separator: "; ")
    }
}

extension CacheClaim {
    /// A claim that concerns nothing yet.
    package init(emptyOf cache: String) {
        self.init(cache: cache)
    }
}

/// One attached table, as the view `freshet.attached` shows it.
package struct AttachedTable: Equatable, Sendable {
    /// The part that it plays in its cache: `detector`, `workflow`, `link`, ….
    var subject: String
    /// Object ids, file and triggers: whatever would change if writes had escaped the triggers for a while.
    var fingerprint: String
    /// What is wrong and how it is mended; nil where every trigger is as attached.
    var problem: String?

    package init(subject: String, fingerprint: String, problem: String?) {
        self.subject = subject
        self.fingerprint = fingerprint
        self.problem = problem
    }
}
