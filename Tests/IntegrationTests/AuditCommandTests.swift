// `freshet audit` as a person and a script meet it.

import ChangeFeed
import Foundation
import Freshet
import Keyspace
import LocalServices
import Postgres
import Redis
import Subprocess
import Testing

@Suite struct AuditCommandTests {
    /// Two detectors with a global workflow each, cached, and the flags to audit them with.
    ///
    /// - Parameter isAdmitted: Whether the auditor may read the tables. A grant later on bumps the namespace.
    private func withCache(
        isAdmitted: Bool = true,
        _ body: @Sendable (Scenario, RunningWorker, [String]) async throws -> Void
    ) async throws {
        try await Scenario.run { scenario in
            try await scenario.insert(detectors: [1, 2], workflows: [(10, nil)])
            if isAdmitted {
                try await scenario.admitAuditor()
                // One who audits and mends.
                try await scenario.execute(
                    "GRANT SELECT ON workflow_engine_workflow, workflow_engine_detectorworkflow TO \(Servers.Roles.worker)"
                )
            }
            let worker = try await scenario.startWorker()
            try await scenario.drain(worker)
            try await scenario.warm([1, 2], [.global])
            let servers = scenario.servers
            try await body(
                scenario,
                worker,
                [
                    "--redis", servers.redis.url, "--prefix", scenario.namespace.prefix, "--postgres",
                    servers.postgres.connectionString(database: scenario.database, user: Servers.Roles.auditor),
                ]
            )
        }
    }

    @Test func `a cache that is right is status 0, and the sums say how much was shown`() async throws {
        try await withCache { _, _, flags in
            let screen = try await freshet(["audit"] + flags)
            #expect(screen.status == .exited(0) && screen.complaint.isEmpty, "\(screen)")
            #expect(screen.output.contains("2 right of 2") && !screen.output.contains("\u{1B}"), "\(screen)")
            let json = try await freshet(["audit", "--all", "--json"] + flags)
            #expect(json.status == .exited(0))
            let sums = try json.decoded(Sums.self)
            #expect(sums.audit == "sums" && sums.selection == "all" && sums.well == true)
            #expect(sums.total.checked == 2 && sums.total.consistent == 2 && sums.caches["workflows"]?.checked == 2)
            // 0.05^(1/2).
            #expect(abs(sums.wrong_rate_bound - 0.776_393) < 1e-6 && sums.nines > 0.1)
        }
    }

    @Test func `an entry that is wrong is told with its evidence and status 1, and mended where that is asked for`()
        async throws
    {
        try await withCache { scenario, worker, flags in
            try await scenario.plant([], 2, .global)
            let screen = try await freshet(["audit", "--all"] + flags)
            #expect(screen.status == .exited(1) && screen.complaint.isEmpty, "\(screen)")
            #expect(screen.output.contains("\(scenario.key(2)) e:-"))
            #expect(screen.output.contains("only in the database: 10"))
            // It mended nothing.
            let json = try await freshet(["audit", "--all", "--json"] + flags)
            #expect(json.status == .exited(1))
            let lines = json.output.split(separator: "\n").map(String.init)
            #expect(lines.count == 2)
            let entry = try JSONDecoder().decode(EntryLine.self, from: Data(try #require(lines.first).utf8))
            #expect(entry.audit == "entry" && entry.verdict == "inconsistent" && entry.cache == "workflows")
            #expect(entry.key == scenario.key(2) && entry.field == "e:-" && entry.repaired_by_change == nil)
            #expect(entry.cached.isEmpty && entry.database.map(\.id) == [10])
            #expect(entry.difference.only_in_database == [10] && entry.journal.rows == 0)
            #expect(entry.stamp.entity == entry.generations.entity && entry.head.trust == "healthy")
            let sums = try JSONDecoder().decode(Sums.self, from: Data(try #require(lines.last).utf8))
            #expect(sums.well == false && sums.total.inconsistent == 1 && sums.total.consistent == 1)

            // Mending takes more than reading.
            try await scenario.plant([], 1, .global)
            let refused = try await freshet(["audit", "--all", "--repair"] + flags)
            #expect(refused.status == .exited(77) && refused.complaint.contains("freshet_worker"), "\(refused)")
            // What cannot be mended is told all the same, and all of it.
            for detector in [Int64(1), 2] {
                #expect(refused.output.contains("\(scenario.key(detector)) e:-"), "\(refused)")
            }
            #expect(refused.output.contains("not well"), "\(refused)")
            let mender = scenario.servers.postgres.connectionString(
                database: scenario.database,
                user: Servers.Roles.worker
            )
            let repaired = try await freshet(["audit", "--all", "--repair", "--json"] + flags.dropLast() + [mender])
            #expect(repaired.status == .exited(1), "\(repaired)")
            #expect(!repaired.output.contains("\"repaired_by_change\":null"), "\(repaired)")
            try await scenario.drain(worker)
            #expect(try await scenario.read(2).ids == [10])
            #expect(try await freshet(["audit", "--all"] + flags).status == .exited(0))
        }
    }

    @Test func `a wrong entry is told with the last changes that invalidated it, where any are kept`() async throws {
        try await withCache { scenario, _, flags in
            try await scenario.plant([], 2, .global)
            let stream = ChangeStream.key(of: scenario.namespace)
            func keep(_ application: String, _ scope: Scope) async throws {
                var change = AppliedChange(
                    namespace: "\(scenario.namespace)",
                    atMicroseconds: 1,
                    table: "detector",
                    operation: "update",
                    rows: 1,
                    changes: 1,
                    invalidated: InvalidatedScopes(ScopeSet([scope]), isOfPass: false)
                )
                change.application = application
                let record = try ChangeStream.encoded(change)
                try await scenario.command("XADD", .string(stream), "*", "change", .bytes(record))
            }
            func told() async throws -> EntryLine.Changes? {
                let json = try await freshet(["audit", "--all", "--json"] + flags)
                #expect(json.status == .exited(1) && json.complaint.isEmpty, "\(json)")
                let line = try #require(json.output.split(separator: "\n").first)
                let entry = try JSONDecoder().decode(EntryLine.self, from: Data(line.utf8))
                #expect((entry.changes == nil) == (entry.changes_unknown != nil))
                return entry.changes
            }
            func screen() async throws -> String {
                let screen = try await freshet(["audit", "--all"] + flags)
                #expect(screen.status == .exited(1) && screen.complaint.isEmpty, "\(screen)")
                return screen.output
            }

            // The worker of this test keeps none, which is not to say that there was none.
            #expect(try await told() == nil)
            #expect(try await screen().contains("unknown: Redis keeps no changes"))

            try await keep("another", .entity(Entity(1)))
            #expect(try await told() == EntryLine.Changes(records: 1, newest: []))
            #expect(try await screen().contains("none of the last 1 records invalidated it"))

            for number in 1...12 { try await keep("touches \(number)", .entry(Entity(2), .global)) }
            try await keep("elsewhere", .entry(Entity(2), Variant(5)))
            let changes = try #require(try await told())
            #expect(changes.records == 14 && changes.newest.allSatisfy { $0.certain && !$0.later })
            #expect(changes.newest.compactMap { ChangeID($0.stream_id) }.count == 10)
            #expect(changes.newest.map(\.application) == (3...12).reversed().map { "touches \($0)" })
            let text = try await screen()
            #expect(text.contains("the last 10, the newest first:") && text.contains("touches 12"), "\(text)")
            #expect(!text.contains("another") && !text.contains("elsewhere"), "\(text)")

            // What cannot be read keeps nothing else from being told.
            try await scenario.command("SET", .string(stream), "something")
            #expect(try await told() == nil)
            #expect(try await screen().contains("holds something else than a stream of changes"))
        }
    }

    @Test func `a missing privilege is one line and status 77, also one behind a policy`() async throws {
        try await withCache(isAdmitted: false) { scenario, _, flags in
            try await freshet(["audit"] + flags).isMistake(77, "workflow_engine_")
            try await freshet(["audit"] + flags).isMistake(77, "SELECT on the application's tables")
            try await scenario.admitAuditor()
            #expect(try await freshet(["audit"] + flags).status == .exited(0))
            try await scenario.execute("ALTER TABLE workflow_engine_workflow ENABLE ROW LEVEL SECURITY")
            try await freshet(["audit"] + flags).isMistake(77, "row-level security")
        }
    }

    @Test func `without a worker a difference is told as undecided, and is no error`() async throws {
        try await withCache { scenario, worker, flags in
            try await worker.stop()
            try await scenario.plant([], 2, .global)
            // The next transaction is one that no head has seen.
            try await scenario.execute("UPDATE workflow_engine_detector SET name = 'x' WHERE id = 1")
            let json = try await freshet(["audit", "--all", "--json", "--lease-seconds", "0.2"] + flags)
            #expect(json.status == .exited(0), "\(json)")
            #expect(json.output.contains("\"verdict\":\"undecided\""), "\(json)")
            #expect(json.output.contains("\"undecided\":1"), "\(json)")
            #expect(json.output.contains("\"well\":null"), "\(json)")
        }
    }

    @Test func `following goes on until it is interrupted, and then tells the sums`() async throws {
        try await withCache { scenario, _, flags in
            try await scenario.plant([], 2, .global)
            let result = try await Subprocess.run(
                .name("env"),
                arguments: Arguments(
                    ["--", freshetExecutable, "audit", "--follow", "--rate", "500", "--json"] + flags
                ),
                environment: cleanEnvironment([:]),
                input: .none,
                output: .sequence,
                error: .discarded
            ) { execution in
                var lines: [String] = []
                for try await line in execution.standardOutput.strings() {
                    lines.append(line)
                    if lines.count == 2 { try execution.send(signal: .interrupt) }
                }
                return lines
            }
            #expect(result.terminationStatus == .exited(1))
            let lines = result.closureResult
            #expect(lines.dropLast().allSatisfy { $0.contains("\"verdict\":\"inconsistent\"") }, "\(lines)")
            #expect(lines.last?.contains("\"audit\":\"sums\"") == true, "\(lines)")
        }
    }

    @Test func `following goes on when a server was away, and says so once`() async throws {
        try await withCache { scenario, _, flags in
            try await scenario.plant([], 2, .global)
            // Told to end after three minutes, if it has not told what it should by then.
            let seen = try await Subprocess.run(
                .name("timeout"),
                arguments: Arguments(
                    ["--foreground", "180", freshetExecutable, "audit", "--follow", "--rate", "500", "--json"] + flags
                ),
                environment: cleanEnvironment([:]),
                input: .none,
                output: .sequence,
                error: .string(limit: 65_536)
            ) { execution in
                // Only one that has begun is not ended by a server that is away.
                var output = execution.standardOutput.strings().makeAsyncIterator()
                _ = try #require(try await output.next())
                // Each session is ended a while after it came, until there has been a third.
                let sessions = """
                    SELECT pid FROM pg_stat_activity WHERE usename = '\(Servers.Roles.auditor)'
                    AND datname = current_database()
                    """
                let (postgres, database) = (scenario.servers.postgres, scenario.database)
                var last = ""
                for _ in 1...2 {
                    last = try await eventually("an auditor's session") { [last] in
                        let found = try await postgres.psql(sessions, database: database)
                        return found.isEmpty || found == last ? nil : found
                    }
                    let pid = last.trimmingCharacters(in: .newlines)
                    try await scenario.execute("SELECT pg_terminate_backend(\(pid), 10000)")
                }
                _ = try await eventually("a third session") { [last] in
                    let found = try await postgres.psql(sessions, database: database)
                    return found.isEmpty || found == last ? nil : found
                }
                try await scenario.plant([], 1, .global)
                while let line = try await output.next(), !line.contains(scenario.key(1)) {}
                try execution.send(signal: .interrupt)
            }
            #expect(seen.terminationStatus == .exited(1))
            let lines = seen.standardError.split(separator: "\n")
            #expect((1...2).contains(lines.count) && lines.allSatisfy { $0.hasSuffix("; trying again") }, "\(lines)")
        }
    }
}

/// The line of sums.
private struct Sums: Decodable {
    struct Tally: Decodable {
        var checked: Int
        var consistent: Int
        var in_flight: Int
        var inconsistent: Int
        var undecided: Int
        var not_served: Int
    }

    var audit: String
    var selection: String
    var well: Bool?
    var wrong_rate_bound: Double
    var confidence: Double
    var nines: Double
    var total: Tally
    var caches: [String: Tally]
    var reasons: [String: Int]
}

/// The line of an entry.
private struct EntryLine: Decodable {
    struct Generations: Decodable {
        var namespace: String
        var entity: String
        var variant: String?
    }
    struct Head: Decodable {
        var trust: String
        var snapshot: String?
    }
    struct Row: Decodable { var id: Int64 }
    struct Difference: Decodable {
        var only_cached: [Int64]
        var only_in_database: [Int64]
    }
    struct Journal: Decodable { var rows: Int }
    struct Change: Decodable, Equatable {
        var certain: Bool
        var later: Bool
        var stream_id: String
        var application: String
    }
    struct Changes: Decodable, Equatable {
        var records: Int
        var newest: [Change]
    }

    var audit: String
    var verdict: String
    var cache: String
    var key: String
    var field: String
    var stamp: Generations
    var generations: Generations
    var head: Head
    var cached: [Row]
    var database: [Row]
    var difference: Difference
    var journal: Journal
    var changes: Changes?
    var changes_unknown: String?
    var repaired_by_change: String?
}
