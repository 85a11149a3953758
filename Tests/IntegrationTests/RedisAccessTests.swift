// The users of deploy/redis/freshet.acl on a real Redis: everything that Freshet does, it does as one of them without a single
// command being refused, which Redis itself keeps a log of; and what is beyond it is refused.

import Doctor
import Freshet
import Keyspace
import LocalServices
import Postgres
import Redis
import Subprocess
import Testing

@Suite struct RedisAccessTests {
    private static let password = "acl-passw0rd"

    /// A scenario on a Redis that knows the users, for the prefix of the scenario.
    private func withUsers(
        _ body: @Sendable (Scenario, LocalRedis) async throws -> Void
    ) async throws {
        let redis = try await LocalRedis.start(listensOnTCP: true, logger: testLogger)
        let shared = try await Servers.shared()
        do {
            try await Scenario.run(on: Servers(postgres: shared.postgres, redis: redis)) { scenario in
                for line in try Repository.text("deploy/redis/freshet.acl").split(separator: "\n") {
                    let words = line.replacing("~freshet:", with: "~\(scenario.namespace.prefix):")
                        .split(separator: " ").map(String.init)
                    #expect(words.first == "user")
                    let rules = words.dropFirst() + [">\(Self.password)"]
                    _ = try await scenario.redis.send(
                        RedisCommand("ACL", arguments: ["SETUSER"] + rules.map { .string($0) }),
                        key: scenario.headKey
                    ).get()
                }
                try await body(scenario, redis)
            }
        } catch {
            await redis.destroy()
            throw error
        }
        await redis.destroy()
    }

    private func url(_ access: RedisAccess, _ redis: LocalRedis) -> String {
        redis.url(user: access.userName, password: Self.password)
    }

    @Test func `the file has the rules that the doctor knows`() throws {
        let lines = try Repository.text("deploy/redis/freshet.acl").split(separator: "\n").map(String.init)
        #expect(lines == RedisAccess.allCases.map { $0.line() })
        #expect(!lines.contains { $0.contains(">") || $0.contains("nopass") })
    }

    @Test func `Redis takes the file as it is, and nobody can log in until there is a password`() async throws {
        let lines = try Repository.text("deploy/redis/freshet.acl").split(separator: "\n").map(String.init)
        let redis = try await LocalRedis.start(listensOnTCP: true, accessList: lines, logger: testLogger)
        do {
            for access in RedisAccess.allCases {
                let node = RedisNode(
                    try RedisConfiguration(url: redis.url(user: access.userName, password: "guess")),
                    logger: testLogger
                )
                await #expect(throws: RedisError.self) { try await node.send(RedisCommand("TIME"), key: "x") }
                await node.close()
            }
        } catch {
            await redis.destroy()
            throw error
        }
        await redis.destroy()
    }

    @Test func `worker, reader, near cache, auditor and doctor do all their work as their users`() async throws {
        try await withUsers { scenario, redis in
            let servers = scenario.servers
            try await scenario.insert(detectors: [1, 2, 3], workflows: [(10, nil), (11, 5)])
            try await scenario.admitAuditor()
            @Sendable func flags(_ role: String, _ access: RedisAccess) -> [String] {
                [
                    "--prefix", scenario.namespace.prefix, "--redis", url(access, redis), "--postgres",
                    servers.postgres.connectionString(database: scenario.database, user: role),
                ]
            }
            let worker = flags(Servers.Roles.worker, .worker)
            try await whileRunning(["run"] + worker) { _ in
                let node = RedisNode(try RedisConfiguration(url: url(.reader, redis)), logger: testLogger)
                let reader = try scenario.reader(redis: node)
                _ = try await eventually("a promise") { try await scenario.trust() == .healthy ? true : nil }
                // Miss, claim, fill, hit; bumps of an entry, an entity and everything; misses again.
                for change in [
                    "SELECT 1", "UPDATE workflow_engine_workflow SET environment_id = 6 WHERE id = 11",
                    "UPDATE workflow_engine_detector SET name = 'x' WHERE id = 1", "SELECT freshet.invalidate_all()",
                ] {
                    try await scenario.execute(change)
                    let token = try await scenario.admin.query("SELECT freshet.token()").requiredString(0, 0)
                    for _ in 1...2 {
                        let answer = try await reader.workflows(
                            ofDetectors: [1, 2, 3],
                            in: .environment(5),
                            after: ReadToken(token)
                        )
                        #expect(answer.trust == .healthy)
                    }
                    _ = try await eventually("a hit") {
                        let found = try await reader.workflows(ofDetectors: [1], in: .environment(5)).detectors.first
                        return found?.global == .hit && found?.environment == .hit ? true : nil
                    }
                }
                await node.close()
                try await scenario.withNearReader(url: url(.reader, redis)) { near in
                    try await near.warm(1)
                    try await scenario.execute("UPDATE workflow_engine_workflow SET environment_id = 7 WHERE id = 11")
                    try await near.coolsDown()
                }
                let status = try await freshet(["status"] + worker)
                #expect(status.status == .exited(0), "\(status)")
                for position in ["off", "on"] {
                    #expect(try await freshet(["cache", position] + worker).status == .exited(0))
                }
                let lookup = try await freshet(["lookup", "--detector", "1"] + flags(Servers.Roles.reader, .reader))
                #expect(lookup.status == .exited(0), "\(lookup)")
                let audit = try await freshet(["audit", "--all"] + flags(Servers.Roles.auditor, .auditor))
                #expect(audit.status == .exited(0), "\(audit)")
                let explain = try await freshet(
                    ["explain", "--detector", "1"] + flags(Servers.Roles.auditor, .auditor)
                )
                #expect(explain.status == .exited(0), "\(explain)")
                // Of a wrong entry the auditor tells the changes, too.
                try await scenario.warm([1], [.global])
                try await scenario.plant([], 1, .global)
                let wrong = try await freshet(
                    ["audit", "--all", "--json"] + flags(Servers.Roles.auditor, .auditor)
                )
                #expect(wrong.status == .exited(1), "\(wrong)")
                #expect(wrong.output.contains(#""changes_unknown":null,"repaired_by_change":null"#), "\(wrong)")
                let log = try await redis.command("ACL", "LOG")
                #expect(log.isEmpty, "\(log)")

                // The doctor asks for what it may not be given; it says so, and finds no fault with the worker's user.
                let asWorker = try await freshet(["doctor", "--json"] + worker).decoded(DoctorOutcome.self)
                #expect(asWorker.well, "\(asWorker.problems)")
                #expect(asWorker.findings.contains { $0.check == "redis.rights" && $0.severity == "well" })
                #expect(asWorker.findings.contains { $0.check == "redis.excess_rights" && $0.severity == "well" })
                #expect(asWorker.findings.contains { $0.check == "redis.memory" && $0.severity == "unchecked" })
                try await redis.command("ACL", "LOG", "RESET")
                let asDoctor = try await freshet(["doctor", "--json"] + flags(Servers.Roles.worker, .doctor))
                let report = try asDoctor.decoded(DoctorOutcome.self)
                #expect(report.well, "\(report.problems)")
                #expect(
                    report.findings.filter { $0.check.hasPrefix("redis.") && $0.severity == "unchecked" }.map(\.check)
                        == ["redis.rights"]
                )
                let afterDoctor = try await redis.command("ACL", "LOG")
                #expect(afterDoctor.isEmpty, "\(afterDoctor)")
            }
        }
    }

    @Test func `nobody can do more`() async throws {
        try await withUsers { scenario, redis in
            let entity = scenario.key(1)
            let stream = "\(scenario.headKey).changes"
            let everybody: [[String]] = [
                ["FLUSHALL"], ["FLUSHDB"], ["KEYS", "*"], ["CONFIG", "SET", "maxmemory", "1"], ["SHUTDOWN"],
                ["DEBUG", "SLEEP", "0"], ["ACL", "LIST"], ["ACL", "SETUSER", "x"], ["REPLICAOF", "NO", "ONE"],
                ["CLIENT", "KILL", "ID", "1"], ["CLIENT", "PAUSE", "1"], ["SCRIPT", "FLUSH"], ["MONITOR"], ["SAVE"],
                ["PUBLISH", "x", "y"], ["SUBSCRIBE", "x"], ["GET", "session:1"], ["SET", "session:1", "x"],
                ["DEL", "session:1"], ["HSET", "other:{0}", "gen", "x"], ["HMGET", "other:{0}", "gen"],
                ["EVAL", "return redis.call('GET', 'session:1')", "0"],
                ["EVAL", "return redis.call('GET', KEYS[1])", "1", "session:1"], ["RENAME", entity, "x"],
                ["MIGRATE", "host", "1", entity, "0", "1"], ["DUMP", entity], ["FUNCTION", "LIST"],
            ]
            let own: [(RedisAccess, [[String]])] = [
                (
                    .worker,
                    [
                        ["SCAN", "0"], ["GET", scenario.headKey], ["CLIENT", "LIST"], ["INFO"], ["CONFIG", "GET", "*"],
                    ]
                ),
                (.reader, [["SCAN", "0"], ["INFO"], ["CONFIG", "GET", "*"], ["XADD", stream, "*", "a", "b"]]),
                (
                    .auditor,
                    [
                        ["HSET", entity, "g", "x"], ["UNLINK", entity], ["HDEL", scenario.headKey, "mark"], ["INFO"],
                        ["EVAL", "return 1", "0"],
                    ]
                ),
                (
                    .watcher,
                    [
                        ["XADD", stream, "*", "a", "b"], ["HMGET", entity, "g"], ["DEL", stream],
                        ["XRANGE", "x", "-", "+"],
                    ]
                ),
                (
                    .doctor,
                    [
                        ["HSET", scenario.headKey, "switch", "off"], ["CONFIG", "REWRITE"],
                        ["EVAL", "return redis.call('HSET', KEYS[1], 'switch', 'off')", "1", scenario.headKey],
                    ]
                ),
            ]
            for (access, further) in own {
                let node = RedisNode(try RedisConfiguration(url: url(access, redis)), logger: testLogger)
                for command in everybody + further {
                    let reply = try await node.send(
                        RedisCommand(command[0], arguments: command.dropFirst().map { .string($0) }),
                        key: scenario.headKey
                    )
                    // In a script the refusal is the text of another error.
                    let refusal = reply.error.map { "\($0)" } ?? "nothing: \(reply)"
                    #expect(
                        refusal.hasPrefix("NOPERM") || refusal.contains("ACL failure in script")
                            || refusal.contains("The user executing the script can't"),
                        "\(access) \(command): \(refusal)"
                    )
                }
                await node.close()
            }
            // What the stream is for.
            let worker = RedisNode(try RedisConfiguration(url: url(.worker, redis)), logger: testLogger)
            let watcher = RedisNode(try RedisConfiguration(url: url(.watcher, redis)), logger: testLogger)
            _ = try await worker.send(RedisCommand("XADD", .string(stream), "*", "change", "x"), key: stream).get()
            _ = try await worker.send(RedisCommand("PEXPIRE", .string(stream), "1000000"), key: stream).get()
            let read = try await watcher.send(RedisCommand("XREVRANGE", .string(stream), "+", "-"), key: stream).get()
            #expect(read.array?.count == 1)
            await worker.close()
            await watcher.close()
        }
    }
}
