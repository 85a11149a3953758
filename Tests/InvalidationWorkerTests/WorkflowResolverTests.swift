import Keyspace
import Testing

@testable import InvalidationWorker

struct WorkflowResolverTests {
    private func scopes(_ changes: WorkflowChange..., facts: WorkflowFacts? = WorkflowFacts()) -> ScopeSet {
        WorkflowResolver.scopes(of: changes, facts: facts)
    }

    private func linked(_ operation: String, _ pairs: (Int64, Int64)...) -> WorkflowChange {
        WorkflowChange(
            subject: .link,
            operation: operation,
            detectorIDs: pairs.map(\.0),
            workflowIDs: pairs.map(\.1)
        )
    }

    private func workflow(_ id: Int64, from old: Int64??, to new: Int64??) -> WorkflowChange {
        let operation = old == nil ? "insert" : new == nil ? "delete" : "update"
        return WorkflowChange(
            subject: .workflow,
            operation: operation,
            workflowIDs: [id],
            oldEnvironmentIDs: old.map { [$0] },
            newEnvironmentIDs: new.map { [$0] }
        )
    }

    private func entry(_ detector: Int64, _ environment: Int64?) -> Scope {
        .entry(Entity(detector), Variant(environmentID: environment))
    }

    @Test func `a detector invalidates every environment of that detector`() {
        let change = WorkflowChange(subject: .detector, operation: "update", detectorIDs: [1, 2, nil])
        #expect(scopes(change, facts: nil) == ScopeSet([.entity(Entity(1)), .entity(Entity(2))]))
    }

    @Test func `an environment move invalidates the old and the new environment of each linked detector`() {
        let facts = WorkflowFacts(links: [Link(detectorID: 1, workflowID: 10), Link(detectorID: 2, workflowID: 10)])
        let expected = [entry(1, 5), entry(1, 6), entry(2, 5), entry(2, 6)]
        #expect(scopes(workflow(10, from: 5, to: 6), facts: facts) == ScopeSet(expected))
    }

    @Test func `a global workflow invalidates the global entries alone`() {
        let facts = WorkflowFacts(links: [Link(detectorID: 1, workflowID: 10)])
        #expect(scopes(workflow(10, from: .some(nil), to: .some(nil)), facts: facts) == ScopeSet([entry(1, nil)]))
    }

    @Test func `a workflow that is inserted after its link invalidates the link's detector`() {
        let facts = WorkflowFacts(links: [Link(detectorID: 1, workflowID: 10)])
        #expect(scopes(workflow(10, from: nil, to: 5), facts: facts) == ScopeSet([entry(1, 5)]))
    }

    @Test func `a link invalidates the environment that its workflow is in now`() {
        let facts = WorkflowFacts(environments: [10: 5, 11: nil])
        let change = linked("insert", (1, 10), (2, 11))
        #expect(scopes(change, facts: facts) == ScopeSet([entry(1, 5), entry(2, nil)]))
    }

    @Test func `a link of a workflow that is nowhere to be seen invalidates the detector`() {
        #expect(scopes(linked("delete", (1, 10))) == ScopeSet([.entity(Entity(1))]))
    }

    @Test func `a deleted workflow whose link is deleted in the same batch invalidates its environment`() {
        let expected = ScopeSet([entry(1, 5)])
        #expect(scopes(workflow(10, from: 5, to: nil), linked("delete", (1, 10))) == expected)
        #expect(scopes(linked("delete", (1, 10)), workflow(10, from: 5, to: nil)) == expected)
    }

    @Test func `a link and a concurrent move are resolved in every environment of the batch and in today's`() {
        let facts = WorkflowFacts(links: [Link(detectorID: 1, workflowID: 10)], environments: [10: 7])
        let found = scopes(linked("insert", (1, 10)), workflow(10, from: 5, to: 6), facts: facts)
        #expect(found == ScopeSet([entry(1, 5), entry(1, 6), entry(1, 7)]))
    }

    @Test func `a detector that was unlinked in this batch is invalidated by the workflow's move in it`() {
        let found = scopes(
            linked("delete", (3, 10)),
            workflow(10, from: 5, to: 6),
            facts: WorkflowFacts(environments: [10: 6])
        )
        #expect(found == ScopeSet([entry(3, 5), entry(3, 6)]))
    }

    @Test func `an entry is invalidated as it was named`() {
        let change = WorkflowChange(
            subject: .entry,
            operation: "invalidate",
            detectorIDs: [1, 1],
            newEnvironmentIDs: [nil, 4]
        )
        #expect(scopes(change, facts: nil) == ScopeSet([entry(1, nil), entry(1, 4)]))
    }

    @Test(arguments: ["truncate", "drift", "ddl", "escalation", "attach", "detach", "something newer"])
    func `what names no rows invalidates the namespace`(operation: String) {
        for subject in WorkflowChange.Subject.allCases {
            #expect(scopes(WorkflowChange(subject: subject, operation: operation)) == ScopeSet([.namespace]))
        }
    }

    @Test func `a change that is not as expected invalidates the namespace`() {
        let namespace = ScopeSet([.namespace])
        #expect(scopes(WorkflowChange(subject: nil, operation: "update")) == namespace)
        #expect(scopes(WorkflowChange(subject: .link, operation: "insert", detectorIDs: [1])) == namespace)
        #expect(scopes(WorkflowChange(subject: .workflow, operation: "update", workflowIDs: [1])) == namespace)
        let uneven = WorkflowChange(
            subject: .workflow,
            operation: "update",
            workflowIDs: [1],
            oldEnvironmentIDs: [],
            newEnvironmentIDs: [2]
        )
        #expect(scopes(uneven) == namespace)
        #expect(scopes(WorkflowChange(subject: .entry, operation: "invalidate", detectorIDs: [1])) == namespace)
    }

    @Test func `without facts a workflow or a link invalidates the namespace, and nothing invalidates nothing`() {
        #expect(scopes(workflow(10, from: 5, to: 6), facts: nil) == ScopeSet([.namespace]))
        #expect(scopes(linked("insert", (1, 10)), facts: nil) == ScopeSet([.namespace]))
        #expect(scopes(facts: nil).isEmpty)
    }
}
