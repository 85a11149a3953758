import Keyspace
import Testing

@testable import InvalidationWorker

/// What a pass leaves out because it was bumped before.
struct HintLedgerTests {
    private let ledger = HintLedger()
    private let place = HintLedger.Place(cache: "workflows", bucket: 0)
    private let moment = ContinuousClock.now

    init() { ledger.listens(true) }

    private func link(_ hint: String?, _ detector: Int64, _ workflow: Int64) -> JournalRow {
        var row = JournalRow(
            subject: "link",
            operation: "insert",
            integers: ["detector_ids": [detector], "workflow_ids": [workflow]]
        )
        row.hint = hint
        return row
    }

    private func move(_ hint: String?, _ workflow: Int64, from old: Int64, to new: Int64) -> JournalRow {
        var row = JournalRow(
            subject: "workflow",
            operation: "update",
            integers: ["workflow_ids": [workflow], "old_environment_ids": [old], "new_environment_ids": [new]]
        )
        row.hint = hint
        return row
    }

    /// The claim of some rows; every workflow is in environment 5, and linked with detector 1.
    private func claim(_ rows: [JournalRow]) -> CacheClaim {
        let workflows = Set(rows.flatMap { $0.integers["workflow_ids"] ?? [] })
        var claim = CacheClaim(emptyOf: "workflows")
        claim.attachments = "attached"
        claim.resolve(
            rows,
            facts: workflows.flatMap {
                [
                    FactRow(kind: "environment", number1: $0, number2: 5),
                    FactRow(kind: "link", number1: 1, number2: $0),
                ]
            },
            factsProblem: nil,
            by: WorkflowRules()
        )
        return claim
    }

    private func bump(_ hint: String, _ detectors: [Int64], _ mark: HintMark) {
        ledger.note(
            [(hint, ScopeSet(detectors.map { .entity(Entity($0)) }))],
            of: "workflows",
            [place: mark],
            at: moment,
            count: Int64(detectors.count)
        )
    }

    @Test func `what was bumped for a row is left out of its pass, if the head has come so far`() throws {
        bump("a", [1], HintMark(chain: 9, number: 4))
        let coverage = try #require(ledger.coverage(of: claim([link("a", 1, 7)])))
        #expect(coverage.rest.isEmpty)
        #expect(coverage.marks == [0: HintMark(chain: 9, number: 4)])
        #expect(coverage.lastBump == moment)
        #expect(coverage.bumpCount == 1)
    }

    @Test func `what was bumped for one row is not left out for another`() throws {
        bump("a", [1], HintMark(chain: 9, number: 4))
        let coverage = try #require(ledger.coverage(of: claim([link("a", 1, 7), link("b", 1, 8)])))
        #expect(coverage.rest == ScopeSet([.entry(Entity(1), Variant(5))]))
        #expect(ledger.coverage(of: claim([link("b", 1, 8)])) == nil)
        #expect(ledger.coverage(of: claim([link(nil, 1, 8)])) == nil)
    }

    @Test func `what a hint did not know of is bumped by the pass`() throws {
        bump("a", [1], HintMark(chain: 9, number: 4))
        var claim = CacheClaim(emptyOf: "workflows")
        claim.resolve(
            [move("a", 7, from: 5, to: 6)],
            facts: [1, 2].map { FactRow(kind: "link", number1: $0, number2: 7) },
            factsProblem: nil,
            by: WorkflowRules()
        )
        let coverage = try #require(ledger.coverage(of: claim))
        #expect(coverage.rest == ScopeSet([.entry(Entity(2), Variant(5)), .entry(Entity(2), Variant(6))]))
    }

    @Test func `of a workflow and a link of it only what was bumped last is left out`() throws {
        bump("a", [1, 2], HintMark(chain: 9, number: 4))
        bump("b", [1], HintMark(chain: 9, number: 5))
        let coverage = try #require(ledger.coverage(of: claim([link("a", 2, 7), move("b", 7, from: 5, to: 5)])))
        #expect(coverage.rest == ScopeSet([.entry(Entity(2), Variant(5))]))
        #expect(coverage.marks == [0: HintMark(chain: 9, number: 5)])
    }

    @Test func `of a workflow and a link of it that were bumped at once nothing is left to bump`() throws {
        let rows = [link("a", 2, 7), move("b", 7, from: 5, to: 6)]
        let claim = claim(rows)
        ledger.note(
            rows.compactMap { row in row.hint.map { ($0, claim.scopes) } },
            of: "workflows",
            [place: HintMark(chain: 9, number: 4)],
            at: moment,
            count: 4
        )
        let coverage = try #require(ledger.coverage(of: claim))
        #expect(coverage.rest.isEmpty)
        #expect(coverage.marks == [0: HintMark(chain: 9, number: 4)])
    }

    @Test func `links of one workflow are left out one by one, and so are changes of one workflow`() throws {
        bump("a", [2], HintMark(chain: 9, number: 4))
        bump("b", [1], HintMark(chain: 9, number: 5))
        let links = try #require(ledger.coverage(of: claim([link("a", 2, 7), link("b", 1, 7)])))
        #expect(links.rest.isEmpty)
        #expect(links.marks == [0: HintMark(chain: 9, number: 5)])
        bump("c", [1], HintMark(chain: 9, number: 6))
        bump("d", [1], HintMark(chain: 9, number: 7))
        let moves = try #require(
            ledger.coverage(of: claim([move("c", 7, from: 5, to: 6), move("d", 7, from: 6, to: 5)]))
        )
        #expect(moves.rest.isEmpty)
        #expect(moves.marks == [0: HintMark(chain: 9, number: 7)])
    }

    @Test func `of a workflow and a link of it nothing is left out where only one was heard of`() throws {
        bump("b", [1, 2], HintMark(chain: 9, number: 5))
        let claim = claim([link("a", 2, 7), move("b", 7, from: 5, to: 6)])
        let coverage = try #require(ledger.coverage(of: claim))
        #expect(coverage.rest == claim.scopes)
        #expect(coverage.marks.isEmpty)
    }

    @Test func `many workflows that many detectors trigger are taken apart`() throws {
        let workflows = (1...20).map { Int64($0) }
        func detectors(of workflow: Int64) -> [Int64] { (1...1_000).map { workflow * 1_000 + $0 } }
        var claim = CacheClaim(emptyOf: "workflows")
        claim.resolve(
            workflows.map { move("\($0)", $0, from: 5, to: 6) },
            facts: workflows.flatMap { workflow in
                detectors(of: workflow).map { FactRow(kind: "link", number1: $0, number2: workflow) }
            },
            factsProblem: nil,
            by: WorkflowRules()
        )
        for workflow in workflows.dropLast() {
            bump("\(workflow)", detectors(of: workflow), HintMark(chain: 9, number: UInt64(workflow)))
        }
        let coverage = try #require(ledger.coverage(of: claim))
        #expect(coverage.rest.count == 2 * 1_000)
        #expect(coverage.rest.covers(Entity(20_001), Variant(5)))
    }

    @Test func `rows that have nothing in common are taken apart from those that have`() throws {
        bump("c", [3], HintMark(chain: 9, number: 3))
        bump("a", [1, 2], HintMark(chain: 9, number: 4))
        let tied = [link("a", 2, 7), move("b", 7, from: 5, to: 6)]
        let coverage = try #require(ledger.coverage(of: claim(tied + [link("c", 3, 8)])))
        #expect(coverage.rest == claim(tied).scopes)
        #expect(coverage.marks == [0: HintMark(chain: 9, number: 3)])
    }

    @Test func `after a pass that was refused the next one counts on nothing`() {
        ledger.passWasRefused()
        bump("a", [1], HintMark(chain: 9, number: 4))
        #expect(ledger.coverage(of: claim([link("a", 1, 7)])) == nil)
        ledger.passWasApplied()
        bump("b", [1], HintMark(chain: 9, number: 5))
        #expect(ledger.coverage(of: claim([link("b", 1, 7)])) != nil)
    }

    @Test func `what is remembered of rows that nobody claims is bounded by what they name`() {
        for number in 0..<300 {
            bump("\(number)", Array(1...1_000), HintMark(chain: 9, number: UInt64(number + 1)))
        }
        #expect(ledger.coverage(of: claim([link("0", 1, 7)])) == nil)
        #expect(ledger.coverage(of: claim([link("299", 1, 7)])) != nil)
    }

    @Test func `a pass that counts on several bumps expects the last of them`() throws {
        bump("a", [1], HintMark(chain: 9, number: 9))
        bump("b", [2], HintMark(chain: 9, number: 10))
        let coverage = try #require(ledger.coverage(of: claim([link("b", 2, 8), link("a", 1, 7)])))
        #expect(coverage.marks == [0: HintMark(chain: 9, number: 10)])
    }

    @Test func `with a chain that was broken goes what was bumped before`() {
        bump("a", [1], HintMark(chain: 9, number: 4))
        bump("b", [2], HintMark(chain: 10, number: 1))
        #expect(ledger.coverage(of: claim([link("a", 1, 7)])) == nil)
        #expect(ledger.coverage(of: claim([link("b", 2, 8)])) != nil)
    }

    @Test func `a row counts once, and not at all after its claim`() {
        bump("a", [1], HintMark(chain: 9, number: 4))
        #expect(ledger.coverage(of: claim([link("a", 1, 7)])) != nil)
        #expect(ledger.isClaimed("a"))
        bump("a", [1], HintMark(chain: 9, number: 5))
        #expect(ledger.coverage(of: claim([link("a", 1, 7)])) == nil)
    }

    @Test func `a session that ends takes with it what was bumped`() {
        bump("a", [1], HintMark(chain: 9, number: 4))
        ledger.listens(false)
        #expect(ledger.coverage(of: claim([link("a", 1, 7)])) == nil)
        #expect(ledger.mark(of: place) == nil)
        #expect(!ledger.isListening)
    }
}
