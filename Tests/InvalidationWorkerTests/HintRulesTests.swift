import Keyspace
import Surroundings
import Testing

@testable import InvalidationWorker

/// What is looked up for which row.
struct HintRulesTests {
    private let rules = WorkflowRules()

    private func row(_ random: inout SplitMix64) -> JournalRow {
        func ids(below limit: Int) -> [Int64?] { [nil, Int64(random.below(limit)), Int64(random.below(limit))] }
        switch random.below(4) {
        case 0:
            return JournalRow(subject: "detector", operation: "update", integers: ["detector_ids": ids(below: 9)])
        case 1:
            return JournalRow(
                subject: "workflow",
                operation: "update",
                integers: [
                    "workflow_ids": ids(below: 4), "old_environment_ids": ids(below: 3),
                    "new_environment_ids": ids(below: 3),
                ]
            )
        default:
            return JournalRow(
                subject: "link",
                operation: "delete",
                integers: ["detector_ids": ids(below: 9), "workflow_ids": ids(below: 4)]
            )
        }
    }

    private func fact(_ random: inout SplitMix64) -> FactRow {
        random.below(2) == 0
            ? FactRow(kind: "link", number1: Int64(random.below(9)), number2: Int64(random.below(4)))
            : FactRow(kind: "environment", number1: Int64(random.below(4)), number2: random.pick([nil, 0, 1, 2]))
    }

    @Test(arguments: 1...200 as ClosedRange<UInt64>)
    func `a row invalidates with what was looked up for it what it does with all that was`(seed: UInt64) throws {
        var random = SplitMix64(seed: seed)
        let rows = (0..<(2 + random.below(4))).map { _ in row(&random) }
        let facts = (0..<random.below(12)).map { _ in fact(&random) }
        let own = try #require(rules.facts(of: rows, among: facts, atMost: 1_000))
        try #require(own.count == rows.count)
        for (row, own) in zip(rows, own) {
            #expect(rules.scopes(of: [row], facts: own) == rules.scopes(of: [row], facts: facts))
        }
    }

    @Test func `facts count for each row that they were looked up for`() throws {
        let row = JournalRow(
            subject: "workflow",
            operation: "update",
            integers: ["workflow_ids": [1], "old_environment_ids": [5], "new_environment_ids": [6]]
        )
        let facts = (1...10).map { FactRow(kind: "link", number1: $0, number2: 1) }
        #expect(rules.facts(of: [row, row], among: facts, atMost: 19) == nil)
        #expect(try #require(rules.facts(of: [row, row], among: facts, atMost: 20)).map(\.count) == [10, 10])
    }

    @Test func `what is looked up for others is not looked through`() throws {
        let link = JournalRow(
            subject: "link",
            operation: "insert",
            integers: ["detector_ids": [1], "workflow_ids": [2]]
        )
        let facts = (1...10).map { FactRow(kind: "link", number1: $0, number2: 2) }
        #expect(try #require(rules.facts(of: [link, link], among: facts, atMost: 0)).map(\.count) == [0, 0])
    }
}
