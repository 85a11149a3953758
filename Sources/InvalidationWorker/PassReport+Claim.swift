// What a pass tells of itself, once it is committed. Nobody waits for the telling but the next pass, so what it may cost is bounded.
//
// Which change led to which scope: each change is resolved once more by itself, with the facts of the batch. Where the scopes of
// all of them together are those of the batch, each has its own. Where they are not, because one change links what another moves,
// no change by itself says it, and the scopes are told of the pass only. A change by itself may say more than the batch did, as a
// link whose workflow only another change of the batch knows; then the batch is right.

import Keyspace

extension PassReport {
    init(claim: CacheClaim, plan: PassPlan, outcome: PassOutcome, duration: Duration) {
        let scopes = claim.scopesByChange
        switch claim.backlog {
        case .collapsed: changes = []
        case .changes(let claimed):
            changes = claimed.indices.map { place in
                let change = claimed[place]
                return ChangeSummary(
                    subject: change.subject,
                    operation: change.operation,
                    rowCount: change.rowCount,
                    applicationName: change.applicationName,
                    userName: change.userName,
                    changedAtMicroseconds: change.changedAtMicroseconds == 0 ? nil : change.changedAtMicroseconds,
                    committedAtMicroseconds: change.committedAtMicroseconds,
                    scopes: scopes?[place]
                )
            }
        }
        namespace = plan.namespace
        rowCount = claim.rowCount
        self.scopes = plan.scopes
        resetBuckets = plan.resetBuckets
        bumpCount =
            plan.hintedBumpCount + outcome.bumpedEntities + outcome.bumpedVariants
            + Int64(plan.passes.count { $0.pass.bumpsNamespace })
        self.duration = duration
    }
}

extension CacheClaim {
    /// More work than this, in rows and facts looked at, is not worth an attribution.
    private static let attributedWork: Int64 = 4_096

    /// What each change of the batch invalidates by itself, in their order; nil where that does not add up to what all of them
    /// do, or would take too long to find out.
    var scopesByChange: [ScopeSet]? {
        guard case .changes(let changes) = backlog, let rules = Caches.all.first(where: { $0.name == cache }) else {
            return nil
        }
        if changes.count <= 1 { return changes.map { _ in scopes } }
        let rows = changes.reduce(0) { $0 + $1.rowCount }
        let (looks, isTooMuch) = Int64(changes.count).multipliedReportingOverflow(by: Int64(facts?.count ?? 0) + 1)
        guard !isTooMuch, looks <= Self.attributedWork, rows <= Self.attributedWork else { return nil }
        let own = changes.map { rules.scopes(of: [$0], facts: facts).narrowed(to: scopes) }
        var union = ScopeSet()
        for scopes in own { union.formUnion(scopes) }
        return union == scopes ? own : nil
    }
}

extension ScopeSet {
    /// These scopes without what a set that is known to suffice does not bump of the same entities.
    fileprivate func narrowed(to sufficient: ScopeSet) -> ScopeSet {
        if sufficient.coversNamespace { return self }
        if coversNamespace { return sufficient }
        var narrowed = ScopeSet()
        for (entity, variants) in entities {
            if case .every = variants, case .some(let bumped)? = sufficient.entities[entity] {
                for variant in bumped { narrowed.insert(.entry(entity, variant)) }
            } else {
                narrowed.formUnion(ScopeSet(entity, variants))
            }
        }
        return narrowed
    }

    private init(_ entity: Entity, _ variants: Variants) {
        self.init()
        switch variants {
        case .every: insert(.entity(entity))
        case .some(let variants): for variant in variants { insert(.entry(entity, variant)) }
        }
    }
}
