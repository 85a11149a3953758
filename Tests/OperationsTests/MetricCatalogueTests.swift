import Foundation
import Operations
import Prometheus
import Subprocess
import Testing

/// What is written down of the metrics, and what uses them, held against what is exported.
@Suite struct MetricCatalogueTests {
    private static let root = URL(filePath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

    private static func text(_ path: String) throws -> String {
        try String(contentsOf: root.appending(path: path), encoding: .utf8)
    }

    /// The rows of the tables in comments: name, kind, labels.
    private static func documented() throws -> [String: (kind: String, labels: [String])] {
        var rows: [String: (kind: String, labels: [String])] = [:]
        let files = [
            "InvalidationWorker/WorkerTelemetry", "Audit/AuditTelemetry", "ChangeFeed/ChangeFeedTelemetry",
            "Operations/MetricCatalogue",
        ]
        for file in files {
            for line in try text("Sources/\(file).swift").split(separator: "\n") {
                guard let row = line.wholeMatch(of: /\/\/ \| `([a-z_]+)` \| (counter|gauge|histogram) \|([^|]*)\|.*/)
                else { continue }
                let labels = row.3.matches(of: /`([a-z_]+)`/).map { String($0.1) }
                rows[String(row.1)] = (String(row.2), labels.sorted())
            }
        }
        return rows
    }

    @Test func `every metric is written down where it is counted, with its kind and its labels, and no other`() throws {
        let documented = try Self.documented()
        let exported = MetricCatalogue.all.filter { !$0.name.hasPrefix("process_") }
        #expect(Set(documented.keys) == Set(exported.map(\.name)))
        for metric in exported {
            #expect(documented[metric.name]?.kind == metric.kind.rawValue, "\(metric.name)")
            #expect(documented[metric.name]?.labels == metric.labels.sorted(), "\(metric.name)")
        }
    }

    @Test func `names follow the conventions of Prometheus`() {
        for metric in MetricCatalogue.all {
            #expect(metric.name.hasPrefix("freshet_") || metric.name.hasPrefix("process_"))
            #expect(metric.name.hasSuffix("_total") == (metric.kind == .counter), "\(metric.name)")
            if metric.kind == .histogram { #expect(metric.name.hasSuffix("_seconds"), "\(metric.name)") }
            #expect(metric.buckets == metric.buckets.sorted())
        }
    }

    @Test(arguments: [
        "deploy/grafana/freshet.json", "deploy/prometheus/alerts.yml", "deploy/prometheus/alerts_test.yml",
    ])
    func `what is asked for is exported`(path: String) throws {
        let names = Set(MetricCatalogue.all.map(\.name))
        let asked = Set(
            try Self.text(path).matches(of: /\b(?:freshet|process)_[a-z_]+\b/).map { match in
                var name = String(match.0)
                for suffix in ["_bucket", "_sum", "_count"] where !names.contains(name) && name.hasSuffix(suffix) {
                    name.removeLast(suffix.count)
                }
                return name
            }
        )
        #expect(asked.count > 5)
        #expect(asked.subtracting(names) == [])
    }

    @Test func `the dashboard shows every metric of the worker, each panel once, none over another`() throws {
        let text = try Self.text("deploy/grafana/freshet.json")
        // The audit stands beside the worker.
        for metric in MetricCatalogue.counted where !metric.name.hasPrefix("freshet_audit_") {
            #expect(text.contains(metric.name), "\(metric.name)")
        }
        struct Dashboard: Decodable {
            struct Panel: Decodable {
                struct Place: Decodable { var x, y, w, h: Int }
                var id: Int
                var gridPos: Place
            }
            var panels: [Panel]
        }
        let panels = try JSONDecoder().decode(Dashboard.self, from: Data(text.utf8)).panels
        #expect(Set(panels.map(\.id)).count == panels.count)
        var taken: Set<[Int]> = []
        for place in panels.map(\.gridPos) {
            #expect(place.x + place.w <= 24)
            for x in place.x..<(place.x + place.w) {
                for y in place.y..<(place.y + place.h) { #expect(taken.insert([x, y]).inserted) }
            }
        }
    }

    /// Rules for promtool, each with what a panel asks for.
    private struct Rules: Encodable {
        struct Group: Encodable {
            struct Rule: Encodable {
                var record: String
                var expr: String
            }
            var name = "dashboard"
            var rules: [Rule]
        }
        var groups: [Group]
    }

    @Test(.enabled(if: FileManager.default.isExecutableFile(atPath: "/usr/bin/promtool")))
    func `Prometheus understands what the panels ask for`() async throws {
        struct Dashboard: Decodable {
            struct Panel: Decodable {
                struct Target: Decodable { var expr: String }
                var targets: [Target]
            }
            var panels: [Panel]
        }
        let text = try Self.text("deploy/grafana/freshet.json")
            .replacing("$job", with: ".*").replacing("$__rate_interval", with: "1m")
        let panels = try JSONDecoder().decode(Dashboard.self, from: Data(text.utf8)).panels
        let questions = panels.flatMap(\.targets).map(\.expr)
        #expect(questions.count >= panels.count)
        let rules = Rules(
            groups: [
                Rules.Group(
                    rules: questions.enumerated().map { Rules.Group.Rule(record: "panel_\($0)", expr: $1) }
                )
            ]
        )
        // JSON is YAML.
        let file = URL(filePath: NSTemporaryDirectory()).appending(path: "freshet-\(UUID().uuidString).yml")
        try JSONEncoder().encode(rules).write(to: file)
        defer { try? FileManager.default.removeItem(at: file) }
        let result = try await Subprocess.run(
            .name("promtool"),
            arguments: ["check", "rules", "--lint=none", file.path],
            input: .none,
            output: .string(limit: 65_536),
            error: .string(limit: 65_536)
        )
        #expect(result.terminationStatus == .exited(0), "\(result.standardOutput)\(result.standardError)")
    }
}
