import Keyspace

/// What one claim returned: everything that was visible in one snapshot, and what is needed to resolve it.
struct Claim: Equatable, Sendable {
    /// The rows of the journal, or the fact that there are too many.
    enum Backlog: Equatable, Sendable {
        case changes([Change])
        /// More rows than are worth resolving one by one; all of them are claimed.
        case collapsed
    }

    /// The statement's snapshot, `xmin:xmax:xip`.
    var snapshot: String
    /// How many rows of the journal the snapshot shows.
    ///
    /// This, and never what was deleted, tells whether it is empty.
    var rowCount: Int64
    /// How many of them this claim deletes.
    ///
    /// Fewer where somebody else deletes some at the same time.
    var deletedCount: Int64
    /// The mark of the last pass that was committed: empty before the first, nil where the row that keeps it is missing.
    var mark: String?
    /// The fingerprint of the triggers that the last committed pass acknowledged.
    var acknowledgedTriggers: String?
    /// Which tables and columns are attached, as text; empty where none is.
    var attachments: String
    /// The attached tables and their triggers, in the same snapshot.
    var attachedTables: [AttachedTable]
    var backlog: Backlog
    /// Nil where the tables that tell them cannot be read.
    var facts: Facts?
    /// Why ``facts`` is nil.
    var factsProblem: String?

    /// The fingerprint of all triggers as they are in this snapshot.
    var triggers: String {
        attachedTables.map { "\($0.subject)=\($0.fingerprint)" }.sorted().joined(separator: " ")
    }

    /// What the batch invalidates.
    var scopes: ScopeSet {
        switch backlog {
        case .collapsed: ScopeSet([.namespace])
        case .changes(let changes): Resolver.scopes(of: changes, facts: facts)
        }
    }

    /// Why no promise can be made of what this snapshot does not show; nil where one can.
    var distrust: String? {
        if mark == nil { return "the row of freshet.fence is missing: INSERT INTO freshet.fence DEFAULT VALUES" }
        if attachedTables.isEmpty { return "no table is attached: run freshet migrate, or SELECT freshet.attach(…)" }
        let problems = attachedTables.compactMap(\.problem)
        if !problems.isEmpty { return problems.joined(separator: "; ") }
        return facts == nil ? factsProblem ?? "the attached tables cannot be read" : nil
    }
}

/// One attached table, as the view `freshet.attached` shows it.
struct AttachedTable: Equatable, Sendable {
    /// `detector`, `workflow` or `link`.
    var subject: String
    /// Object ids, file and triggers: whatever would change if writes had escaped the triggers for a while.
    var fingerprint: String
    /// What is wrong and how it is mended; nil where every trigger is as attached.
    var problem: String?
}
