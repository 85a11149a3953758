import Freshet
import InvalidationWorker
import Keyspace
import Metrics
import MetricsTestKit
import Testing

/// What the library tells of itself.
@Suite struct ReadTelemetryTests {
    @Test func `a lookup is counted by what it found, and why not`() async throws {
        let metrics = TestMetrics()
        try await Scenario.run { scenario in
            try await scenario.insert(detectors: [1, 2], workflows: [(10, nil), (11, 5)])
            let worker = try await scenario.startWorker()
            try await worker.catchUp()
            let reader = try withMetricsFactory(metrics) { try scenario.reader() }
            let namespace = ("namespace", scenario.namespace.description)
            func count(_ name: String, _ label: (String, String)? = nil) throws -> Int64 {
                try metrics.expectCounter(name, [namespace] + (label.map { [$0] } ?? [])).totalValue
            }
            _ = try await reader.workflows(ofDetectors: [1, 2], in: .environment(5))
            #expect(try count("freshet_misses_total", ("reason", "absent")) == 4)
            #expect(try count("freshet_loads_total", ("result", "loaded")) == 1)
            #expect(try count("freshet_loaded_keys_total") == 4)
            #expect(try count("freshet_loaded_rows_total") == 4)
            #expect(try count("freshet_fills_total", ("outcome", "stored")) == 4)
            #expect(try count("freshet_trust_changes_total", ("trust", "healthy")) == 1)
            _ = try await reader.workflows(ofDetectors: [1, 2], in: .environment(5))
            #expect(try count("freshet_hits_total") == 4)
            #expect(try count("freshet_lookups_total", ("trust", "healthy")) == 2)

            try await scenario.execute("UPDATE workflow_engine_workflow SET name = 'new' WHERE id = 11")
            try await worker.catchUp()
            _ = try await reader.workflows(ofDetectors: [1], in: .environment(5))
            #expect(try count("freshet_misses_total", ("reason", "absent")) == 5)
            try await scenario.execute("SELECT freshet.invalidate_all()")
            try await worker.catchUp()
            _ = try await reader.workflows(ofDetectors: [2])
            #expect(try count("freshet_misses_total", ("reason", "stale_namespace")) == 1)
            let durations = try metrics.expectTimer("freshet_lookup_duration_seconds", [namespace]).values
            #expect(durations.count == 4 && durations.allSatisfy { $0 > 0 })
        }
    }
}
