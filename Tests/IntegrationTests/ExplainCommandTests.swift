// `freshet explain` as a person and a script meet it.

import ChangeFeed
import Foundation
import Freshet
import Keyspace
import LocalServices
import Postgres
import Redis
import Subprocess
import Testing

@Suite struct ExplainCommandTests {
    /// Detector 1 with workflow 10 global and 11 in environment 5, cached, and the flags to ask about it with.
    private func withCache(
        _ body: @Sendable (Scenario, RunningWorker, [String]) async throws -> Void
    ) async throws {
        try await Scenario.run { scenario in
            try await scenario.insert(detectors: [1], workflows: [(10, nil), (11, 5)])
            try await scenario.admitAuditor()
            let worker = try await scenario.startWorker()
            try await scenario.drain(worker)
            try await scenario.warm([1], [.environment(5)])
            try await body(scenario, worker, flags(scenario))
        }
    }

    private func flags(_ scenario: Scenario, detector: Int64 = 1) -> [String] {
        let servers = scenario.servers
        return [
            "--detector", String(detector), "--redis", servers.redis.url, "--prefix", scenario.namespace.prefix,
            "--postgres",
            servers.postgres.connectionString(database: scenario.database, user: Servers.Roles.auditor),
        ]
    }

    private func explained(_ flags: [String], status: Int32 = 0) async throws -> Explained {
        let outcome = try await freshet(["explain", "--json"] + flags)
        #expect(outcome.status == .exited(status) && outcome.complaint.isEmpty, "\(outcome)")
        return try outcome.decoded(Explained.self)
    }

    @Test func `a key that is right is told with its generations and entries, and that both servers agree`()
        async throws
    {
        try await withCache { scenario, _, flags in
            let explained = try await explained(flags)
            #expect(explained.key == scenario.key(1) && explained.head.trust == "healthy")
            #expect(explained.head.switch == "on" && explained.wrong == false && explained.journal?.rows == 0)
            #expect(explained.entries.map(\.field) == ["e:-", "e:5"])
            for entry in explained.entries {
                #expect(entry.valid && entry.state == "valid" && entry.reason == nil)
                #expect(entry.agree == true && entry.verdict == nil && entry.cached == entry.database)
                #expect(entry.stamp?.entity == explained.generation)
                #expect(entry.stamp?.namespace == explained.head.generation)
                #expect(try #require(entry.bytes) > EntryCodec.overhead)
                #expect(try #require(entry.age_seconds) > 0)
            }
            #expect(explained.entries.map(\.cached) == [[10], [11]])
            let screen = try await freshet(["explain"] + flags)
            #expect(screen.status == .exited(0) && !screen.output.contains("\u{1B}"))
            for part in ["healthy", "environment 5", "workflow 11", "agree", scenario.key(1)] {
                #expect(screen.output.contains(part), "\(screen)")
            }
        }
    }

    @Test func `each reason for which a stored entry is not valid is named`() async throws {
        try await withCache { scenario, worker, flags in
            // What is set here must stay as it is.
            try await worker.stop()
            let head = scenario.headKey
            let flags = flags + ["--environment", "5"]
            let sound = try #require(try await scenario.entry(1, .environment(5)))
            let day = 25 * 3_600 * 1_000_000 as Int64

            func state(_ bytes: [UInt8], _ more: String...) async throws -> String? {
                try await scenario.command("HSET", .string(scenario.key(1)), "e:5", .bytes(bytes))
                let entry = try #require(try await explained(flags + more).entries.last)
                #expect(entry.field == "e:5" && entry.valid == (entry.state == "valid"))
                #expect(entry.valid == (entry.reason == nil))
                return entry.state
            }
            func stamped(_ change: (inout EntryStamp) -> Void) -> [UInt8] {
                var entry = sound
                change(&entry.stamp)
                return EntryCodec.encode(entry)
            }
            let bytes = EntryCodec.encode(sound)
            #expect(try await state(bytes, "--degraded-seconds", "3600") == "valid")
            let generation = Generation(counter: 1, nonce: 1)
            #expect(try await state(stamped { $0.namespace = generation }) == "stale_namespace")
            #expect(try await state(stamped { $0.entity = generation }) == "stale_entity")
            #expect(try await state(stamped { $0.variant = generation }) == "stale_variant")
            let old = stamped { $0.readAt = RedisTime(microseconds: $0.readAt.microseconds - day) }
            #expect(try await state(old) == "expired")
            #expect(try await state(Array("something".utf8)) == "damaged")
            #expect(try await state(bytes.dropLast() + [bytes[bytes.count - 1] ^ 1]) == "damaged")
            // A payload whose checksum is right and which is no set of workflows.
            let nonsense = EntryCodec.encode(Entry(stamp: sound.stamp, payload: [1, 2, 3]))
            #expect(try await state(nonsense, "--degraded-seconds", "3600") == "damaged")
            try await scenario.command("HDEL", .string(head), "vouched")
            #expect(try await state(bytes, "--degraded-seconds", "0") == "degraded")
            try await scenario.command("HSET", .string(head), "switch", "off")
            #expect(try await state(bytes) == "switched_off")
            try await scenario.command("HDEL", .string(scenario.key(1)), "e:5")
            #expect(try await explained(flags).entries.last?.state == "absent")
            try await scenario.command("DEL", .string(scenario.key(1)))
            try await scenario.command("SET", .string(scenario.key(1)), "something")
            #expect(try await explained(flags).foreign)
        }
    }

    @Test func `an entry that readers are served and the database contradicts is status 1`() async throws {
        try await withCache { scenario, _, flags in
            try await scenario.plant([], 1, .environment(5))
            let explained = try await explained(flags + ["--environment", "5"], status: 1)
            let entry = try #require(explained.entries.last)
            #expect(explained.wrong == true && entry.state == "valid" && entry.agree == false)
            #expect(entry.verdict == "inconsistent" && entry.cached == [] && entry.database == [11])
            let screen = try await freshet(["explain"] + flags)
            #expect(screen.status == .exited(1) && screen.output.contains("only in the database: 11"), "\(screen)")
        }
    }

    @Test func `the last changes that touched the key are told, and no others`() async throws {
        try await Scenario.run { scenario in
            try await scenario.insert(detectors: [1, 2], workflows: [(10, nil)])
            try await scenario.admitAuditor()
            try await WorkerProcess.run(scenario) { _ in
                try await scenario.waitUntil(.healthy)
                for (detector, application) in [(1, "touches"), (2, "another")] {
                    try await scenario.execute(
                        """
                        SET application_name = '\(application)';
                        UPDATE workflow_engine_detector SET name = 'new' WHERE id = \(detector)
                        """
                    )
                }
                let told = try await eventually("the history to have both") {
                    let flags = ["--redis", scenario.servers.redis.url, "--prefix", scenario.namespace.prefix]
                    let seen = try await freshet(["watch", "--once", "--application", "another"] + flags)
                    return seen.output.isEmpty ? nil : try await explained(self.flags(scenario))
                }
                #expect(told.changes.compactMap(\.application).contains("touches"))
                #expect(!told.changes.compactMap(\.application).contains("another"))
            }
        }
    }

    @Test func `of changes that are not listed in full those that touched the key come first, and others are marked`()
        async throws
    {
        try await Scenario.run { scenario in
            // 10, 20, … 310: more than a record lists.
            let detectors = (1...31).map { Int64($0) * 10 }
            try await scenario.insert(detectors: detectors, workflows: [])
            try await scenario.admitAuditor()
            try await WorkerProcess.run(scenario) { _ in
                try await scenario.waitUntil(.healthy)
                func change(by application: String, _ condition: String) async throws {
                    try await scenario.execute(
                        """
                        SET application_name = '\(application)';
                        UPDATE workflow_engine_detector SET name = '\(application)' \(condition)
                        """
                    )
                    let flags = ["--redis", scenario.servers.redis.url, "--prefix", scenario.namespace.prefix]
                    _ = try await eventually("the change to be in the history") {
                        let seen = try await freshet(["watch", "--once", "--application", application] + flags)
                        return seen.output.isEmpty ? nil : true
                    }
                }
                try await change(by: "rare", "WHERE id = 300")
                for number in 1...12 { try await change(by: "bulk \(number)", "") }

                func told(_ detector: Int64) async throws -> Explained {
                    try await explained(flags(scenario, detector: detector))
                }
                // Among what is not listed: each of them may have touched it.
                let late = try await told(300)
                #expect(late.changes.count == 10)
                #expect(late.changes.filter { $0.certain && $0.table == "detector" }.map(\.application) == ["rare"])
                #expect(late.changes.filter { !$0.certain }.allSatisfy { $0.application?.hasPrefix("bulk") == true })
                // Listed.
                let early = try await told(10)
                #expect(early.changes.count == 10 && early.changes.allSatisfy(\.certain))
                // Would have been listed, and is not: this detector does not exist.
                let none = try await told(15)
                #expect(!none.changes.contains { $0.application?.hasPrefix("bulk") == true }, "\(none.changes)")
                let beyond = try await told(99_999)
                #expect(!beyond.changes.isEmpty && !beyond.changes.contains { $0.application == "rare" })
                #expect(beyond.changes.allSatisfy { !$0.certain || $0.table == "namespace" }, "\(beyond.changes)")
                let screen = try await freshet(["explain"] + flags(scenario, detector: 300))
                let lines = screen.output.split(separator: "\n")
                #expect(lines.contains { $0.contains("bulk 12") && $0.hasSuffix("(perhaps)") }, "\(screen)")
                #expect(lines.contains { $0.contains("rare") && !$0.hasSuffix("(perhaps)") }, "\(screen)")
            }
        }
    }

    @Test func `without Postgres the command tells what Redis holds, and then that`() async throws {
        try await withCache { scenario, _, flags in
            let away = "postgresql://app:\(testSecret)@127.0.0.1:1/app"
            let outcome = try await freshet(["explain"] + flags + ["--postgres", away])
            #expect(outcome.status == .exited(69) && outcome.output.contains("environment 5"), "\(outcome)")
            #expect(outcome.output.contains("unknown") && !outcome.everything.contains(testSecret))
            let json = try await freshet(["explain", "--json"] + flags + ["--postgres", away])
            let explained = try json.decoded(Explained.self)
            #expect(explained.wrong == nil && explained.entries.allSatisfy { $0.agree == nil && $0.valid })
        }
    }
}

/// What `explain --json` prints.
private struct Explained: Decodable {
    struct Head: Decodable {
        var trust: String
        var `switch`: String
        var generation: String?
    }
    struct Stamp: Decodable {
        var namespace: String
        var entity: String
    }
    struct Entry: Decodable {
        var field: String
        var valid: Bool
        var state: String
        var reason: String?
        var bytes: Int?
        var age_seconds: Double?
        var stamp: Stamp?
        var cached: [Int64]?
        var database: [Int64]?
        var agree: Bool?
        var verdict: String?
    }
    struct Journal: Decodable { var rows: Int64 }
    struct Change: Decodable {
        var table: String
        var application: String?
        var certain: Bool
    }

    var key: String
    var head: Head
    var generation: String?
    var foreign: Bool
    var entries: [Entry]
    var changes: [Change]
    var journal: Journal?
    var wrong: Bool?
}
