// The cache `workflows`: which enabled workflows a detector triggers. The entity is a detector, the variant an environment.
//
// From what a batch changed to what must be invalidated: a pure function of the batch and of facts that were read in
// the very snapshot that the batch was claimed in.
//
// Why the facts must be of that snapshot: w moves from A to B and is claimed; if its links were queried later, a link
// deleted meanwhile would be missing, and that deletion's own row, claimed in the next batch, would find w in B only. The
// entry of A would stay. For the same reason a batch is everything visible, never a part of it.
//
// Why a link is resolved with every environment that the batch records for its workflow: two transactions, one linking
// (d, w), one moving w, do not see each other, and READ COMMITTED lets both commit. Whichever order they commit in, either
// both rows are in one batch, or the later one is claimed in a snapshot that shows the earlier one's effect.

package import Keyspace

/// The rules of the cache `workflows`.
package struct WorkflowRules: CacheRules {
    package let name = "workflows"

    package let journalColumns: [JournalColumn] = [
        .integers("detector_ids"), .integers("workflow_ids"), .integers("old_environment_ids"),
        .integers("new_environment_ids"),
    ]

    package func factQueries(_ tables: AttachedNames, _ claimed: ClaimedKeys) -> [FactQuery]? {
        guard let workflow = tables.table("workflow", "id", "environment"),
            let link = tables.table("link", "detector", "workflow")
        else { return nil }
        return [
            // The links of the workflows that the batch changes: detector and workflow.
            FactQuery(
                kind: "link",
                sql: """
                    SELECT link.\(link.columns[0])::bigint, link.\(link.columns[1])::bigint, NULL::text, NULL::text
                    FROM \(link.name) AS link
                    WHERE link.\(link.columns[1]) = ANY (\(claimed.array("workflow_ids", of: "workflow")))
                    """,
                fansOut: true
            ),
            // The environments of the workflows that the batch links or unlinks: workflow and environment.
            FactQuery(
                kind: "environment",
                sql: """
                    SELECT workflow.\(workflow.columns[0])::bigint, workflow.\(workflow.columns[1])::bigint, NULL::text, NULL::text
                    FROM \(workflow.name) AS workflow
                    WHERE workflow.\(workflow.columns[0]) = ANY (\(claimed.array("workflow_ids", of: "link")))
                    """,
                fansOut: false
            ),
        ]
    }

    package func scopes(of rows: [JournalRow], facts: [FactRow]?) -> ScopeSet {
        WorkflowResolver.scopes(of: rows.lazy.map { WorkflowChange($0) }, facts: facts.map { WorkflowFacts($0) })
    }
}

extension WorkflowRules: HintRules {
    /// A workflow changes what is looked up for its links, and a link what is looked up for its workflow.
    package func ties(of row: JournalRow) -> RowTies {
        func facts(_ kind: String) -> Set<RowTies.Fact> {
            Set(row.integers["workflow_ids"]?.lazy.compactMap(\.self).map { RowTies.Fact(kind: kind, key: $0) } ?? [])
        }
        return switch WorkflowChange.Subject(rawValue: row.subject) {
        case .workflow: RowTies(changes: facts("environment"), reads: facts("link"))
        case .link: RowTies(changes: facts("link"), reads: facts("environment"))
        // These are resolved without facts.
        case .detector, .entry, .namespace, nil: RowTies()
        }
    }

    /// Both are looked up by the workflow.
    package func key(of fact: FactRow) -> RowTies.Fact? {
        (fact.kind == "link" ? fact.number2 : fact.number1).map { RowTies.Fact(kind: fact.kind, key: $0) }
    }
}

/// One row of the journal, as the cache records it.
///
/// What follows from it the ``WorkflowResolver`` says.
struct WorkflowChange: Hashable, Sendable {
    /// What was changed: a table of the application, or something a person asked for.
    enum Subject: String, Hashable, Sendable, CaseIterable {
        case detector, workflow, link
        /// One variant of one entity, named by `freshet.invalidate_detector(id, environment)`.
        case entry
        case namespace
    }

    /// What was changed; nil where a newer schema writes something that this worker does not know.
    var subject: Subject?
    /// `insert`, `update`, `delete`, `truncate`, `invalidate`, `drift`, `ddl`, `escalation`, `attach` or `detach`.
    var operation: String
    /// Of a detector: the rows' ids.
    ///
    /// Of a link: the detectors of the pairs. Of an entry: the detectors.
    var detectorIDs: [Int64?] = []
    /// Of a workflow: the rows' ids.
    ///
    /// Of a link: the workflows of the pairs, parallel to `detectorIDs`.
    var workflowIDs: [Int64?] = []
    /// Of a workflow, parallel to `workflowIDs`: the environments before; nil where there was no row.
    var oldEnvironmentIDs: [Int64?]?
    /// Of a workflow, parallel to `workflowIDs`: the environments after; nil where the rows are gone.
    ///
    /// Of an entry: its environments, parallel to `detectorIDs`.
    var newEnvironmentIDs: [Int64?]?
}

extension WorkflowChange {
    init(_ row: JournalRow) {
        subject = Subject(rawValue: row.subject)
        operation = row.operation
        detectorIDs = row.integers["detector_ids"] ?? []
        workflowIDs = row.integers["workflow_ids"] ?? []
        oldEnvironmentIDs = row.integers["old_environment_ids"]
        newEnvironmentIDs = row.integers["new_environment_ids"]
    }
}

/// A link as a pair of ids.
struct Link: Hashable, Sendable {
    var detectorID: Int64
    var workflowID: Int64
}

/// What was looked up in the snapshot of the claim.
struct WorkflowFacts: Hashable, Sendable {
    /// The links, in that snapshot, of the workflows that the batch changes.
    var links: [Link] = []
    /// The environments, in that snapshot, of the workflows that the batch links or unlinks.
    ///
    /// A nil value is a global workflow; a workflow that does not exist has no key.
    var environments: [Int64: Int64?] = [:]
}

extension WorkflowFacts {
    init(_ rows: [FactRow]) {
        for row in rows {
            switch row.kind {
            case "link":
                // A link of nothing: no detector has it.
                guard let detectorID = row.number1, let workflowID = row.number2 else { continue }
                links.append(Link(detectorID: detectorID, workflowID: workflowID))
            default:
                guard let workflowID = row.number1 else { continue }
                environments.updateValue(row.number2, forKey: workflowID)
            }
        }
    }
}

/// Decides what a batch of changes invalidates.
enum WorkflowResolver {
    /// The scopes to bump for the changes of one batch.
    ///
    /// - Parameter facts: Looked up in the snapshot of the claim; nil where they could not be. Then whatever would need
    ///   them invalidates the namespace.
    static func scopes(of changes: some Sequence<WorkflowChange>, facts: WorkflowFacts?) -> ScopeSet {
        var scopes = ScopeSet()
        // Far less than the rows themselves take, even where they are all of one detector.
        if changes.underestimatedCount > 64 { scopes.reserveCapacity(changes.underestimatedCount) }
        var workflows: [Int64: Set<Variant>] = [:]
        var links: Set<Link> = []

        for change in changes {
            if coversNamespace(change) { return ScopeSet([.namespace]) }
            switch change.subject {
            case .detector:
                for case let id? in change.detectorIDs { scopes.insert(.entity(Entity(id))) }
            case .entry:
                for (detectorID, environmentID) in zip(change.detectorIDs, change.newEnvironmentIDs ?? []) {
                    guard let detectorID else { continue }
                    scopes.insert(.entry(Entity(detectorID), Variant(environmentID: environmentID)))
                }
            case .workflow:
                for (index, id) in change.workflowIDs.enumerated() {
                    guard let id else { continue }
                    for environments in [change.oldEnvironmentIDs, change.newEnvironmentIDs] {
                        guard let environments else { continue }
                        workflows[id, default: []].insert(Variant(environmentID: environments[index]))
                    }
                }
            case .link:
                for case (let detectorID?, let workflowID?) in zip(change.detectorIDs, change.workflowIDs) {
                    links.insert(Link(detectorID: detectorID, workflowID: workflowID))
                }
            case .namespace, nil:
                return ScopeSet([.namespace])
            }
        }

        if workflows.isEmpty && links.isEmpty { return scopes }
        guard let facts else { return ScopeSet([.namespace]) }

        for link in facts.links {
            insert(workflows[link.workflowID] ?? [], of: link.detectorID, into: &scopes)
        }
        for link in links {
            let recorded = workflows[link.workflowID] ?? []
            if let environmentID = facts.environments[link.workflowID] {
                insert(recorded.union([Variant(environmentID: environmentID)]), of: link.detectorID, into: &scopes)
            } else if recorded.isEmpty {
                // The workflow is nowhere to be seen, so neither is the environment that the link showed it in.
                scopes.insert(.entity(Entity(link.detectorID)))
            } else {
                insert(recorded, of: link.detectorID, into: &scopes)
            }
        }
        return scopes
    }

    private static func insert(_ variants: Set<Variant>, of detectorID: Int64, into scopes: inout ScopeSet) {
        // Not one by one where they will be folded anyway: links times variants may be very many.
        if variants.count > ScopeSet.variantsKeptApart {
            scopes.insert(.entity(Entity(detectorID)))
        } else {
            for variant in variants { scopes.insert(.entry(Entity(detectorID), variant)) }
        }
    }

    /// Whether a change invalidates the namespace by its kind, or because it is not as this worker knows it.
    private static func coversNamespace(_ change: WorkflowChange) -> Bool {
        switch (change.subject, change.operation) {
        case (.detector, "update"), (.detector, "delete"), (.detector, "invalidate"):
            false
        case (.entry, "invalidate"):
            change.newEnvironmentIDs?.count != change.detectorIDs.count
        case (.workflow, "insert"), (.workflow, "update"), (.workflow, "delete"):
            (change.oldEnvironmentIDs == nil && change.newEnvironmentIDs == nil)
                || [change.oldEnvironmentIDs, change.newEnvironmentIDs].contains { environments in
                    environments.map { $0.count != change.workflowIDs.count } ?? false
                }
        case (.link, "insert"), (.link, "update"), (.link, "delete"):
            change.detectorIDs.count != change.workflowIDs.count
        default:
            true
        }
    }
}

extension Variant {
    /// The variant of a workflow's nullable `environment_id`: null is a global workflow.
    init(environmentID: Int64?) {
        self = environmentID.map { Variant($0) } ?? .global
    }
}
