import Keyspace
import Testing

@testable import InvalidationWorker

struct PassReportTests {
    private func claim(_ changes: [JournalRow], facts: [FactRow] = []) -> CacheClaim {
        var claim = CacheClaim(cache: "workflows", rowCount: Int64(changes.count))
        claim.resolve(changes, facts: facts, factsProblem: nil, by: WorkflowRules())
        return claim
    }

    private func detector(_ id: Int64) -> JournalRow {
        JournalRow(subject: "detector", operation: "update", rowCount: 1, integers: ["detector_ids": [id]])
    }

    private func moved(_ workflow: Int64, from old: Int64, to new: Int64) -> JournalRow {
        JournalRow(
            subject: "workflow",
            operation: "update",
            rowCount: 1,
            integers: [
                "workflow_ids": [workflow], "old_environment_ids": [old], "new_environment_ids": [new],
            ]
        )
    }

    private func link(_ operation: String, _ detector: Int64, _ workflow: Int64) -> JournalRow {
        JournalRow(
            subject: "link",
            operation: operation,
            rowCount: 1,
            integers: ["detector_ids": [detector], "workflow_ids": [workflow]]
        )
    }

    private func entries(_ detector: Int64, _ environments: Int64...) -> ScopeSet {
        ScopeSet(environments.map { .entry(Entity(detector), Variant($0)) })
    }

    @Test func `each change of a batch is told with what it led to by itself`() throws {
        let facts = [
            FactRow(kind: "link", number1: 2, number2: 10), FactRow(kind: "environment", number1: 11, number2: 7),
        ]
        let claim = claim([detector(1), moved(10, from: 5, to: 6), link("insert", 3, 11)], facts: facts)
        let scopes = try #require(claim.scopesByChange)
        #expect(scopes == [ScopeSet([.entity(Entity(1))]), entries(2, 5, 6), entries(3, 7)])
    }

    @Test func `a scope that only two changes together lead to is told of the pass, and of neither of them`() {
        // The workflow moves and its link goes: by themselves the one has no link, the other the new environment only.
        let facts = [FactRow(kind: "environment", number1: 10, number2: 6)]
        let claim = claim([moved(10, from: 5, to: 6), link("delete", 1, 10)], facts: facts)
        #expect(claim.scopes == entries(1, 5, 6))
        #expect(claim.scopesByChange == nil)
    }

    @Test func `a change by itself is not told to have led to more than the pass bumped`() throws {
        // The workflow is gone: the link by itself would not know in which environment it was read.
        let gone = JournalRow(
            subject: "workflow",
            operation: "delete",
            rowCount: 1,
            integers: ["workflow_ids": [10], "old_environment_ids": [5]]
        )
        let claim = claim([gone, link("delete", 1, 10)])
        #expect(claim.scopes == entries(1, 5))
        #expect(try #require(claim.scopesByChange) == [ScopeSet(), entries(1, 5)])
    }

    @Test func `beside a change of everything another is told with its own scopes`() throws {
        let truncated = JournalRow(subject: "workflow", operation: "truncate")
        let scopes = try #require(claim([detector(1), truncated]).scopesByChange)
        #expect(scopes == [ScopeSet([.entity(Entity(1))]), ScopeSet([.namespace])])
    }

    @Test func `a batch that is too large to be taken apart is told as a whole, but a single change never is`() {
        let many = (1...5_000).map { detector($0) }
        #expect(claim(many).scopesByChange == nil)
        let large = JournalRow(
            subject: "detector",
            operation: "update",
            rowCount: 10_000,
            integers: ["detector_ids": (1...10_000).map { $0 }]
        )
        let claim = claim([large])
        #expect(claim.scopesByChange == [claim.scopes])
    }
}
