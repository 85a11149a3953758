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

import Keyspace

/// Decides what a batch of changes invalidates.
enum Resolver {
    /// The scopes to bump for the changes of one batch.
    ///
    /// - Parameter facts: Looked up in the snapshot of the claim; nil where they could not be. Then whatever would need
    ///   them invalidates the namespace.
    static func scopes(of changes: some Sequence<Change>, facts: Facts?) -> ScopeSet {
        var scopes = ScopeSet()
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

        for link in links.union(facts.links) {
            insert(workflows[link.workflowID] ?? [], of: link.detectorID, into: &scopes)
        }
        for link in links {
            let recorded = workflows[link.workflowID] ?? []
            if let environmentID = facts.environments[link.workflowID] {
                insert(recorded.union([Variant(environmentID: environmentID)]), of: link.detectorID, into: &scopes)
            } else if recorded.isEmpty {
                // The workflow is nowhere to be seen, so neither is the environment that the link showed it in.
                scopes.insert(.entity(Entity(link.detectorID)))
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
    private static func coversNamespace(_ change: Change) -> Bool {
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
