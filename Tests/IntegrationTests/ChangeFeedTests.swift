// What a worker applied, as freshet watch and freshet top see it: the executables, on real servers.

import ChangeFeed
import Foundation
import Freshet
import Keyspace
import LocalServices
import Postgres
import Redis
import Subprocess
import Testing

#if canImport(FoundationNetworking)
    import FoundationNetworking
#endif

@Suite struct ChangeFeedTests {
    /// Detectors 1 and 2, workflow 10 global, 11 in environment 5, all linked; a worker's process that vouches, and the flags to
    /// reach its Redis.
    private func withWorker(
        redisOptions: [String: String]? = nil,
        _ body: @Sendable (Scenario, WorkerProcess, [String]) async throws -> Void
    ) async throws {
        let own = redisOptions == nil ? nil : try await Servers.start(redisOptions: redisOptions ?? [:])
        do {
            try await Scenario.run(on: own) { scenario in
                try await scenario.insert(detectors: [1, 2], workflows: [(10, nil), (11, 5)])
                try await WorkerProcess.run(scenario) { process in
                    try await scenario.waitUntil(.healthy)
                    try await scenario.warm([1, 2], [.environment(5), .environment(6)])
                    try await body(
                        scenario,
                        process,
                        ["--redis", scenario.servers.redis.url, "--prefix", scenario.namespace.prefix]
                    )
                }
            }
        } catch {
            await own?.destroy()
            throw error
        }
        await own?.destroy()
    }

    private func change(_ sql: String, by application: String, in scenario: Scenario) async throws {
        let writer = try await scenario.connect(user: Servers.Roles.writer)
        try await writer.run(script: "SET application_name = '\(application)'; \(sql)")
        await writer.close()
    }

    /// What `freshet watch` prints, line by line, until there are so many; then it is interrupted, and must end well.
    private func watch(_ arguments: [String], lines count: Int) async throws -> [String] {
        let result = try await Subprocess.run(
            .name("env"),
            arguments: Arguments(["--", freshetExecutable, "watch"] + arguments),
            environment: cleanEnvironment([:]),
            input: .none,
            output: .sequence,
            error: .string(limit: 65_536)
        ) { execution in
            var lines: [String] = []
            for try await line in execution.standardOutput.strings() {
                lines.append(line.trimmingCharacters(in: .newlines))
                if lines.count == count { try execution.send(signal: .interrupt) }
            }
            return lines
        }
        #expect(result.terminationStatus == .exited(0), "\(result.standardError)")
        #expect(result.standardError.isEmpty)
        return result.closureResult
    }

    private func record(_ line: String?) throws -> AppliedChange {
        let line = try #require(line)
        return try #require(ChangeStream.record(in: line.utf8), "\(line)")
    }

    @Test func `a change is seen with its application, its role, what it invalidated and how long that took`()
        async throws
    {
        try await withWorker { scenario, _, flags in
            async let seen = watch(
                ["--since", "1h", "--application", "mover", "--json"] + flags,
                lines: 1
            )
            try await change(
                "UPDATE workflow_engine_workflow SET environment_id = 6 WHERE id = 11",
                by: "mover",
                in: scenario
            )
            let record = try record(try await seen.first)
            #expect(record.namespace == "\(scenario.namespace)")
            #expect(record.table == "workflow" && record.operation == "update" && record.rows == 1)
            #expect(record.application == "mover" && record.user == Servers.Roles.writer)
            #expect(record.invalidated.entities.map(\.entity) == ["1", "2"])
            #expect(record.invalidated.entities.map(\.variants) == [["5", "6"], ["5", "6"]])
            #expect(!record.invalidated.isOfPass && record.bumps == 4)
            let latency = try #require(record.latencyMicroseconds)
            #expect(try latency > 0 && latency == record.atMicroseconds - #require(record.changedAtMicroseconds))
        }
    }

    @Test func `the history is filtered, bounded, and readable where nobody watches a terminal`() async throws {
        try await withWorker { scenario, _, flags in
            try await change("UPDATE workflow_engine_detector SET name = 'a' WHERE id = 1", by: "one", in: scenario)
            try await change("DELETE FROM workflow_engine_detectorworkflow", by: "two", in: scenario)
            try await change("UPDATE workflow_engine_detector SET name = 'b' WHERE id = 2", by: "two", in: scenario)
            _ = try await watch(["--since", "1h", "--application", "one", "two"] + flags, lines: 3)

            func history(_ arguments: String...) async throws -> [String] {
                let outcome = try await freshet(["watch", "--once"] + arguments + flags)
                #expect(outcome.status == .exited(0) && outcome.complaint.isEmpty, "\(outcome)")
                #expect(!outcome.output.contains("\u{1B}"))
                return outcome.output.split(separator: "\n").map(String.init)
            }
            let links = try await history("--table", "link", "--application", "two")
            #expect(links.count == 1)
            for part in ["link delete", "4 rows", "two (\(Servers.Roles.writer))", "1:global+5, 2:global+5"] {
                #expect(links.first?.contains(part) == true, "\(links)")
            }
            #expect(links.first?.contains(/\d m?s\b/) == true, "\(links)")
            #expect(try await history("--detector", "2", "--application", "one").isEmpty)
            let last = try await history("--last", "2", "--application", "one", "two", "--json")
            #expect(try last.map { try record($0).table } == ["link", "detector"])
            #expect(try await history("--cache", "datasources").isEmpty)
            #expect(try await history("--operation", "truncate").isEmpty)
        }
    }

    @Test func `the figures of top add up, by table, by application and by what was invalidated`() async throws {
        try await withWorker { scenario, _, flags in
            try await change("UPDATE workflow_engine_workflow SET name = 'a'", by: "one", in: scenario)
            try await change("UPDATE workflow_engine_detector SET name = 'a'", by: "two", in: scenario)
            try await change("UPDATE workflow_engine_detector SET name = 'b' WHERE id = 2", by: "two", in: scenario)
            let applications = ["--application", "one", "two"]
            _ = try await watch(["--since", "1h"] + applications + flags, lines: 3)

            func top(_ grouping: String) async throws -> Top {
                let outcome = try await freshet(
                    ["top", "--json", "--by", grouping, "--window", "1h"] + applications + flags
                )
                #expect(outcome.status == .exited(0) && outcome.complaint.isEmpty, "\(outcome)")
                return try outcome.decoded(Top.self)
            }
            for grouping in ["table", "application"] {
                let top = try await top(grouping)
                #expect(top.total.changes == 3 && top.total.rows == 5 && top.window_seconds == 3_600)
                #expect(top.rows.reduce(0) { $0 + $1.changes } == 3 && top.rows.reduce(0) { $0 + $1.rows } == 5)
                #expect(top.rows.reduce(0) { $0 + $1.bumps } == top.total.bumps)
                #expect(top.rows.map(\.changes) == [2, 1], "\(top.rows)")
                for row in top.rows {
                    #expect(row.latency_median_us > 0 && row.latency_median_us <= row.latency_p99_us)
                }
            }
            let scopes = try await top("scope")
            #expect(scopes.rows.map(\.name) == ["2", "1"] && scopes.rows.map(\.changes) == [3, 2])
            // On no terminal the screen is text, once.
            let screen = try await freshet(["top", "--by", "application", "--window", "1h"] + applications + flags)
            #expect(screen.status == .exited(0) && !screen.output.contains("\u{1B}"))
            #expect(screen.output.contains("3 changes, 5 rows"), "\(screen)")
        }
    }

    @Test func `with Redis full the worker goes on, and only the history is missing`() async throws {
        try await withWorker(redisOptions: ["maxmemory-policy": "noeviction"]) { scenario, process, flags in
            // What comes at the beginning is written, so that it is not missing for another reason.
            _ = try await watch(["--since", "1h", "--operation", "insert"] + flags, lines: 1)
            try await scenario.servers.redis.command("CONFIG", "SET", "maxmemory", "1")
            for number in 1...50 {
                try await change(
                    "UPDATE workflow_engine_workflow SET name = '\(number)' WHERE id = 10",
                    by: "full",
                    in: scenario
                )
            }
            _ = try await eventually("the journal to be empty") {
                try await scenario.journalDepth() == "0" ? true : nil
            }
            try await scenario.waitUntil(.healthy)
            #expect(try await scenario.read(1).global == .miss(.absent))
            // A pass is told behind its commit: two passes later, even of the last change that was tried.
            for _ in 0..<2 {
                let vouched = try await scenario.field("vouched", of: scenario.headKey)
                _ = try await eventually("another pass") {
                    try await scenario.field("vouched", of: scenario.headKey) == vouched ? nil : true
                }
            }
            try await scenario.servers.redis.command("CONFIG", "SET", "maxmemory", "0")
            let outcome = try await freshet(["watch", "--once", "--application", "full"] + flags)
            #expect(outcome.status == .exited(0) && outcome.output.isEmpty, "\(outcome)")
            try await change("UPDATE workflow_engine_detector SET name = 'z'", by: "again", in: scenario)
            _ = try await watch(["--since", "1h", "--application", "again"] + flags, lines: 1)
            let log = try await process.kill()
            #expect(log.contains("history of changes is not written") && log.contains("is written again"), "\(log)")
        }
    }

    @Test func `the stream is bounded, goes by itself, and is no entity to anybody`() async throws {
        try await withWorker { scenario, _, flags in
            try await change("UPDATE workflow_engine_detector SET name = 'a'", by: "one", in: scenario)
            _ = try await watch(["--since", "1h", "--application", "one"] + flags, lines: 1)
            let key = ChangeStream.key(of: scenario.namespace)
            #expect(key == "\(scenario.namespace.headKey(bucket: 0)).changes")
            #expect(scenario.namespace.subject(ofKey: key.utf8) == nil)
            let expiry = try await scenario.redis.send(RedisCommand("PTTL", .string(key)), key: key).int64
            #expect(try #require(expiry) > 6 * 86_400_000)
        }
    }

    @Test func `a worker that was told to keep no history keeps none`() async throws {
        try await Scenario.run { scenario in
            try await scenario.insert(detectors: [1], workflows: [(10, nil)])
            try await WorkerProcess.run(scenario, flags: ["--change-history", "0"]) { _ in
                try await scenario.waitUntil(.healthy)
                try await scenario.execute("UPDATE workflow_engine_detector SET name = 'a'")
                _ = try await eventually("the journal to be empty") {
                    try await scenario.journalDepth() == "0" ? true : nil
                }
            }
            let key = ChangeStream.key(of: scenario.namespace)
            #expect(try await scenario.redis.send(RedisCommand("EXISTS", .string(key)), key: key) == .integer(0))
        }
    }

    @Test func `a watcher goes on where it was when Redis comes back`() async throws {
        try await withWorker(redisOptions: [:]) { scenario, _, flags in
            let arguments = ["--since", "1h", "--application", "before", "after", "--json"] + flags
            let result = try await Subprocess.run(
                .name("env"),
                arguments: Arguments(["--", freshetExecutable, "watch"] + arguments),
                environment: cleanEnvironment([:]),
                input: .none,
                output: .sequence,
                error: .string(limit: 65_536)
            ) { execution in
                try await change("UPDATE workflow_engine_detector SET name = 'a'", by: "before", in: scenario)
                var applications: [String?] = []
                for try await line in execution.standardOutput.strings() {
                    applications.append(try record(line).application)
                    if applications.count == 1 {
                        // Every connection, in its midst.
                        try await scenario.servers.redis.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
                        try await change("UPDATE workflow_engine_detector SET name = 'b'", by: "after", in: scenario)
                    } else {
                        try execution.send(signal: .interrupt)
                    }
                }
                return applications
            }
            #expect(result.closureResult == ["before", "after"], "\(result.standardError)")
            #expect(result.terminationStatus == .exited(0))
        }
    }

    @Test func `a watcher is shown nothing again where Redis comes back with less, and everything where it is empty`()
        async throws
    {
        try await withWorker(redisOptions: [:]) { scenario, _, flags in
            let names = ["before", "lost", "after", "anew"]
            let arguments = ["--since", "1h", "--application"] + names + ["--json"] + flags
            let redis = scenario.servers.redis
            /// Only when it reads again, so that it finds less than it had seen.
            func watcherIsBack() async throws {
                _ = try await eventually("the watcher to read again") {
                    try await redis.command("CLIENT", "LIST").contains("cmd=xread") ? true : nil
                }
            }
            func change(by application: String) async throws {
                try await self.change(
                    "UPDATE workflow_engine_detector SET name = '\(application)'",
                    by: application,
                    in: scenario
                )
            }
            let result = try await Subprocess.run(
                .name("env"),
                arguments: Arguments(["--", freshetExecutable, "watch"] + arguments),
                environment: cleanEnvironment([:]),
                input: .none,
                output: .sequence,
                error: .string(limit: 65_536)
            ) { execution in
                try await change(by: "before")
                var applications: [String] = []
                var snapshot = ""
                for try await line in execution.standardOutput.strings() {
                    let application = try record(line).application ?? ""
                    applications.append(application)
                    switch application {
                    case "before" where applications.count == 1:
                        snapshot = try await redis.saveSnapshot()
                        try await change(by: "lost")
                    case "lost":
                        try await redis.restart(with: .snapshot(path: snapshot))
                        try await watcherIsBack()
                        try await change(by: "after")
                    case "after" where !applications.contains("anew"):
                        // Redis is empty now.
                        try await redis.restart()
                        try await watcherIsBack()
                        try await change(by: "anew")
                    case "anew": try execution.send(signal: .interrupt)
                    default: break
                    }
                }
                return applications
            }
            #expect(result.closureResult == names, "\(result.standardError)")
            #expect(result.terminationStatus == .exited(0))
        }
    }

    @Test func `a record is printed as it is stored, with what this version does not know`() async throws {
        try await Scenario.run { scenario in
            let key = ChangeStream.key(of: scenario.namespace)
            let stored = [
                #"{"v":1,"new_name":5,"namespace":"n","at_us":1,"table":"t","operation":"o","rows":1,"changes":1,"bumps":0,"#
                    + #""invalidated":{"everything":false,"entities":[],"entity_count":0,"count":0,"of_pass":false}}"#,
                // Not as it is written here, and JSON all the same.
                #"{ "v": 1, "rows" : 1 ,"# + "\n\t"
                    + #""namespace": "\u006e","at_us":1,"table":"t","operation":"o","changes":1,"bumps":0,"new":[1.50],"#
                    + #""invalidated":{"everything":true,"entities":[],"entity_count":0,"count":1,"of_pass":false,"x":null}}"#,
            ]
            for text in stored {
                let added = RedisCommand("XADD", .string(key), "*", "change", .string(text))
                _ = try await scenario.redis.send(added, key: key).get()
            }
            let flags = ["--redis", scenario.servers.redis.url, "--prefix", scenario.namespace.prefix]
            let outcome = try await freshet(["watch", "--once", "--json"] + flags)
            #expect(outcome.status == .exited(0) && outcome.complaint.isEmpty, "\(outcome)")
            #expect(
                outcome.output.split(separator: "\n")
                    == [stored[0][...], stored[1].replacing("\n\t", with: "  ")[...]],
                "\(outcome)"
            )
        }
    }

    @Test func `a worker's metrics are all described`() async throws {
        try await Scenario.run { scenario in
            // The loopback network is large: nobody else has this address.
            let address = "127.\((1...3).map { _ in String(Int.random(in: 1...254)) }.joined(separator: ".")):9464"
            try await WorkerProcess.run(scenario, flags: ["--http", address]) { _ in
                try await scenario.waitUntil(.healthy)
                let url = try #require(URL(string: "http://\(address)/metrics"))
                let text = String(decoding: try await URLSession.shared.data(from: url).0, as: UTF8.self)
                let families = text.matches(of: /(?m)^# HELP ([a-z_0-9]+) (.*)$/).map(\.output)
                #expect(families.contains { $0.1 == "freshet_change_history_lost_total" })
                // What is in no catalogue has only its name to say.
                #expect(families.filter { $0.1 == $0.2 }.map(\.1) == [])
            }
        }
    }

    @Test func `mistakes are one line`() async throws {
        try await freshet(["watch", "--table", "nosuch"]).isMistake(64, "--table nosuch: give detector, workflow,")
        try await freshet(["watch", "--table", "link", "Workflow"]).isMistake(64, "--table Workflow: give detector,")
        try await freshet(["top", "--operation", "nosuch"]).isMistake(64, "--operation nosuch: give insert, update,")
        try await freshet(["watch", "--since", "yesterday"]).isMistake(64, "yesterday")
        try await freshet(["watch", "--last", "0"]).isMistake(64, "--last 0")
        try await freshet(["watch", "--cache", "flows"]).isMistake(64, "flows")
        try await freshet(["top", "--by", "weekday"]).isMistake(64, "weekday")
        try await freshet(["top", "--interval", "0"]).isMistake(64, "--interval")
        try await freshet(["run", "--change-history", "-1"]).isMistake(64, "--change-history")
        try await freshet(["watch", "--redis", "redis://:\(testSecret)@127.0.0.1:1"]).isMistake(69, "127.0.0.1:1")
        try await freshet(["top", "--redis", "redis://:\(testSecret)@127.0.0.1:1"]).isMistake(69, "127.0.0.1:1")
        try await Scenario.run { scenario in
            let key = ChangeStream.key(of: scenario.namespace)
            _ = try await scenario.redis.send(RedisCommand("SET", .string(key), "something"), key: key).get()
            let flags = ["--redis", scenario.servers.redis.url, "--prefix", scenario.namespace.prefix]
            try await freshet(["watch"] + flags).isMistake(78, key)
        }
    }
}

/// What `top --json` prints.
private struct Top: Decodable {
    struct Row: Decodable {
        var name: String
        var changes: Int64
        var rows: Int64
        var bumps: Int64
        var latency_median_us: Int64
        var latency_p99_us: Int64
    }

    var window_seconds: Double
    var total: Row
    var rows: [Row]
}
