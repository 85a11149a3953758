import Keyspace
import Metrics
import MetricsTestKit
import Testing

@testable import InvalidationWorker

/// What is counted of a pass.
struct WorkerTelemetryTests {
    private func row(_ subject: String, _ operation: String, rows: Int64) -> JournalRow {
        JournalRow(subject: subject, operation: operation, rowCount: rows, integers: ["detector_ids": [1]])
    }

    /// Counts a pass over some changes, nil for too many.
    private func count(_ changes: [JournalRow]?, _ metrics: TestMetrics) throws {
        var claim = CacheClaim(emptyOf: "workflows")
        claim.resolve(changes, facts: [], factsProblem: nil, by: WorkflowRules())
        let plan = PassPlan(
            claim: claim,
            snapshot: "10:10:",
            heads: [],
            identity: try #require(PostgresIdentity("1/1/a")),
            nextMark: "N",
            namespace: .workflows,
            limits: KeyspaceLimits()
        )
        withMetricsFactory(metrics) { WorkerTelemetry().committed(claim, plan, PassOutcome()) }
    }

    @Test func `changes are counted by what was changed and how, and the rows that they touched`() throws {
        let metrics = TestMetrics()
        try count(
            [
                row("detector", "update", rows: 3), row("detector", "update", rows: 4),
                row("detector", "delete", rows: 1),
                row("detector", "escalation", rows: 20_000), row("link", "insert", rows: 2),
                row("link", "insert", rows: -5),
            ],
            metrics
        )
        func value(_ name: String, _ labels: (String, String)...) throws -> Int64 {
            try metrics.expectCounter(name, [("cache", "workflows")] + labels).totalValue
        }
        #expect(try value("freshet_changes_total", ("subject", "detector"), ("operation", "update")) == 2)
        #expect(try value("freshet_changes_total", ("subject", "detector"), ("operation", "delete")) == 1)
        #expect(try value("freshet_changes_total", ("subject", "link"), ("operation", "insert")) == 2)
        #expect(try value("freshet_changed_rows_total", ("subject", "detector")) == 20_008)
        #expect(try value("freshet_changed_rows_total", ("subject", "link")) == 2)
        #expect(try value("freshet_escalations_total") == 1)
        #expect(try metrics.expectCounter("freshet_collapses_total").totalValue == 0)
    }

    @Test func `of a backlog that was collapsed it is counted that it was`() throws {
        let metrics = TestMetrics()
        try count(nil, metrics)
        #expect(try metrics.expectCounter("freshet_collapses_total").totalValue == 1)
        #expect(throws: (any Error).self) {
            try metrics.expectCounter("freshet_changed_rows_total", [("cache", "workflows"), ("subject", "detector")])
        }
    }
}
