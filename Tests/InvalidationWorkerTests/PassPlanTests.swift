import Keyspace
import Testing

@testable import InvalidationWorker

struct PassPlanTests {
    private let identity = PostgresIdentity("1/1/a")
    private static let table = AttachedTable(subject: "link", fingerprint: "f", problem: nil)

    private func claim(
        mark: String? = "M",
        acknowledged: String? = "link=f",
        changes: [JournalRow] = [],
        table: AttachedTable? = PassPlanTests.table,
        factsProblem: String? = nil
    ) -> CacheClaim {
        CacheClaim(
            cache: "workflows",
            rowCount: Int64(changes.count),
            mark: mark,
            acknowledgedTriggers: acknowledged,
            attachedTables: [table].compactMap { $0 },
            backlog: .changes(changes),
            scopes: WorkflowRules().scopes(of: changes, facts: factsProblem == nil ? [] : nil),
            factsProblem: factsProblem
        )
    }

    private func head(mark: String = "M", postgres: String = "1/1/a") -> ObservedHead {
        ObservedHead(fence: .init(mark: mark, postgres: postgres), time: RedisTime(microseconds: 5))
    }

    private func plan(
        _ claim: CacheClaim,
        _ heads: [ObservedHead],
        limits: KeyspaceLimits = KeyspaceLimits()
    ) throws -> PassPlan {
        PassPlan(
            claim: claim,
            snapshot: "10:12:11",
            heads: heads,
            identity: try #require(identity),
            nextMark: "N",
            namespace: try CacheNamespace(bucketCount: heads.count),
            limits: limits
        )
    }

    private func detectors(_ ids: ClosedRange<Int64>) -> JournalRow {
        JournalRow(subject: "detector", operation: "update", integers: ["detector_ids": Array(ids)])
    }

    @Test func `an empty pass keeps the mark, writes nothing in Postgres and vouches for the time observed`() throws {
        let plan = try plan(claim(), [head()])
        #expect(plan.acknowledgement == nil)
        let pass = try #require(plan.passes.first?.pass)
        #expect(plan.passes.count == 1)
        #expect(pass.expected == pass.next)
        #expect(pass.vouched == RedisTime(microseconds: 5))
        #expect(!pass.bumpsNamespace)
        #expect(pass.entities.isEmpty)
        #expect(pass.snapshot == "10:12:11")
    }

    @Test func `a pass with changes replaces the mark, which the claim itself has written to Postgres`() throws {
        let plan = try plan(claim(changes: [detectors(1...1)]), [head()])
        #expect(plan.acknowledgement == nil)
        #expect(plan.passes.first?.pass.expected.mark == "M")
        #expect(plan.passes.first?.pass.next.mark == "N")
        #expect(plan.passes.first?.pass.entities.count == 1)
    }

    @Test func `a dataset with another mark is reset with a new mark and a new namespace generation`() throws {
        for mark in ["", "older"] {
            let plan = try plan(claim(), [head(mark: mark)])
            #expect(plan.resetBuckets == [0])
            let pass = try #require(plan.passes.first?.pass)
            #expect(pass.bumpsNamespace)
            #expect(pass.expected.mark == mark)
            #expect(pass.next.mark == "N")
            #expect(pass.vouched != nil)
            #expect(plan.acknowledgement?.mark == "N")
        }
    }

    @Test func `a dataset that was vouched for another incarnation of Postgres is reset`() throws {
        for postgres in ["", "1/1/b", "2/1/a"] {
            let plan = try plan(claim(), [head(postgres: postgres)])
            #expect(plan.resetBuckets == [0])
            #expect(plan.passes.first?.pass.expected.postgres == postgres)
            #expect(plan.passes.first?.pass.next.postgres == "1/1/a")
        }
    }

    @Test func `no mark in Postgres matches no dataset, not even one without a mark`() throws {
        let first = try plan(claim(mark: ""), [head(mark: "")])
        #expect(first.resetBuckets == [0])
        #expect(first.passes.first?.pass.vouched != nil)
        let broken = try plan(claim(mark: nil), [head(mark: "")])
        #expect(broken.resetBuckets == [0])
        #expect(broken.passes.first?.pass.vouched == nil)
    }

    @Test func `triggers that are not the ones acknowledged bump the namespace before anything is vouched for`() throws
    {
        let plan = try plan(claim(acknowledged: "link=older"), [head()])
        #expect(plan.passes.first?.pass.bumpsNamespace == true)
        #expect(plan.passes.first?.pass.vouched != nil)
        #expect(plan.acknowledgement == .init(cache: "workflows", mark: "N", triggers: "link=f"))
    }

    @Test func `where triggers are not as attached, changes are applied but nothing is vouched for`() throws {
        let broken = AttachedTable(subject: "link", fingerprint: "f", problem: "trigger disabled")
        let plan = try plan(claim(changes: [detectors(1...1)], table: broken), [head()])
        #expect(plan.distrust == "trigger disabled")
        #expect(plan.passes.first?.pass.vouched == nil)
        #expect(plan.passes.first?.pass.entities.count == 1)
        #expect(plan.passes.first?.pass.bumpsNamespace == false)
        #expect(plan.acknowledgement == .init(cache: "workflows", mark: "N", triggers: ""))
    }

    @Test func `what was wrong bumps the namespace once mended, though the triggers are as before`() throws {
        let broken = AttachedTable(subject: "link", fingerprint: "f", problem: "became a parent")
        let again = try plan(claim(acknowledged: "", table: broken), [head()])
        #expect(again.acknowledgement == nil)
        #expect(again.passes.first?.pass.next.mark == "M")
        let mended = try plan(claim(acknowledged: ""), [head()])
        #expect(mended.passes.first?.pass.bumpsNamespace == true)
        #expect(mended.passes.first?.pass.vouched != nil)
        #expect(mended.acknowledgement == .init(cache: "workflows", mark: "N", triggers: "link=f"))
    }

    @Test func `nothing is vouched for where nothing is attached or the tables cannot be read`() throws {
        #expect(try plan(claim(table: nil), [head()]).passes.first?.pass.vouched == nil)
        let unreadable = try plan(claim(factsProblem: "permission denied"), [head()])
        #expect(unreadable.distrust == "permission denied")
        #expect(unreadable.passes.first?.pass.vouched == nil)
    }

    @Test func `many entities go in chunks, each proving that the one before was applied`() throws {
        var limits = KeyspaceLimits()
        limits.entitiesPerScript = 100
        let plan = try plan(claim(changes: [detectors(1...250)]), [head()], limits: limits)
        #expect(plan.passes.map(\.pass.entities.count) == [100, 100, 50])
        #expect(plan.passes.map(\.pass.expected.mark) == ["M", "N+1", "N+2"])
        #expect(plan.passes.map(\.pass.next.mark) == ["N+1", "N+2", "N"])
        #expect(plan.passes.map { $0.pass.vouched != nil } == [false, false, true])
        #expect(plan.passes.map { $0.pass.snapshot != nil } == [false, false, true])
    }

    @Test(arguments: [0, -1])
    func `a chunk has one entity at the least, whatever is configured`(entitiesPerScript: Int) throws {
        var limits = KeyspaceLimits()
        limits.entitiesPerScript = entitiesPerScript
        let plan = try plan(claim(changes: [detectors(1...3)]), [head()], limits: limits)
        #expect(plan.passes.map(\.pass.entities.count) == [1, 1, 1])
    }

    @Test func `every bucket gets the new mark, and only its own entities`() throws {
        let plan = try plan(claim(changes: [detectors(1...40)]), [head(), head(mark: "other"), head()])
        #expect(plan.resetBuckets == [1])
        #expect(Set(plan.passes.map(\.bucket)) == [0, 1, 2])
        #expect(plan.passes.allSatisfy { $0.pass.next.mark == "N" })
        let namespace = try CacheNamespace(bucketCount: 3)
        for (bucket, pass) in plan.passes {
            #expect(pass.bumpsNamespace == (bucket == 1))
            #expect(pass.entities.allSatisfy { namespace.bucket(of: $0.entity) == bucket })
        }
        let inReset = (1...40).count { namespace.bucket(of: Entity(Int64($0))) == 1 }
        #expect(plan.passes.reduce(0) { $0 + $1.pass.entities.count } == 40 - inReset)
    }

    @Test func `more entities than one pass bumps are one bump of the namespace`() throws {
        var limits = KeyspaceLimits()
        limits.entitiesPerPass = 20
        let exact = try plan(claim(changes: [detectors(1...20)]), [head()], limits: limits)
        #expect(exact.passes.map(\.pass.bumpsNamespace) == [false])
        let beyond = try plan(claim(changes: [detectors(1...21)]), [head()], limits: limits)
        #expect(beyond.passes.map(\.pass.bumpsNamespace) == [true])
        #expect(beyond.passes.allSatisfy { $0.pass.entities.isEmpty })
    }

    @Test func `a collapsed backlog is one bump of the namespace`() throws {
        var claim = claim()
        claim.rowCount = 200_000
        claim.backlog = .collapsed
        claim.scopes = ScopeSet([.namespace])
        let plan = try plan(claim, [head()])
        #expect(plan.passes.map(\.pass.bumpsNamespace) == [true])
        #expect(plan.passes.first?.pass.vouched != nil)
    }
}
