// The executable as a person meets it: run as a process, judged by what it prints and how it ends.

import Foundation
import Keyspace
import LocalServices
import NIOCore
import NIOPosix
import Postgres
import Subprocess
import Testing

@Suite struct CommandLineTests {
    // MARK: Mistakes, without a server

    static let usageMistakes: [(arguments: [String], hint: String)] = [
        (["nonsense"], "nonsense"),
        (["lookup"], "--detector"),
        (["lookup", "--detector", "one"], "one"),
        (["lookup", "--detector", "1", "--environment", "x"], "--environment"),
        (["lookup", "--detector", "1", "--workflow-table", "a; DROP"], "--workflow-table"),
        (["status", "--jason"], "--jason"),
        (["status", "redis://:\(testSecret)@cache.example"], "***"),
        (["run", "--log-level", "loud"], "loud"),
        (["run", "--prefix", "a b"], "a b"),
        (["run", "--lease-seconds", "soon"], "soon"),
        (["run", "--lease-seconds", "0"], "--lease-seconds"),
        (["invalidate"], "--all"),
        (["invalidate", "--all", "--detector", "1"], "--detector"),
        (["invalidate", "--all", "--global"], "--global"),
        (["invalidate", "--detector", "1", "--environment", "2", "--global"], "--global"),
        (["migrate", "--uninstall", "--no-attach"], "--uninstall"),
        (["audit", "--all", "--sample", "5"], "--all"),
        (["audit", "--sample", "0"], "--sample 0"),
        (["audit", "--rate", "0"], "--rate"),
        (["run", "--audit-rate", "5000"], "--audit-rate"),
        (["run", "--http", "9464"], "9464"),
        (["run", "--http", "::1:9464"], "::1:9464"),
        (["run", "--http", "127.0.0.1:99999"], "99999"),
        (["run", "--http-page", "maybe"], "maybe"),
    ]

    @Test(arguments: usageMistakes)
    func `a mistake in the command line is one line and status 64`(
        _ mistake: (arguments: [String], hint: String)
    ) async throws {
        try await freshet(mistake.arguments).isMistake(64, mistake.hint)
    }

    static let settingMistakes: [(arguments: [String], environment: [String: String], hint: String)] = [
        (["status", "--redis", "http://:\(testSecret)@cache.example"], [:], "--redis"),
        (["run", "--redis", "redis://:\(testSecret)@cache.example:port"], [:], "port"),
        (["status"], ["FRESHET_REDIS": "redis://app:\(testSecret)@cache.example/x"], "FRESHET_REDIS"),
        (["run", "--postgres", "postgresql://app:\(testSecret)@db.example/app?sslmode=perhaps"], [:], "perhaps"),
        (["status"], ["FRESHET_POSTGRES": "postgresql://app:\(testSecret)@db.example:port/app"], "port"),
        (["run"], ["FRESHET_LEASE_SECONDS": "soon"], "FRESHET_LEASE_SECONDS \"soon\""),
        (["run"], ["FRESHET_DEGRADED_SECONDS": "-1"], "FRESHET_DEGRADED_SECONDS"),
        (["run"], ["FRESHET_AUDIT_RATE": "-1"], "FRESHET_AUDIT_RATE"),
        (["run"], ["FRESHET_LOG_LEVEL": "loud"], "FRESHET_LOG_LEVEL \"loud\""),
        (["run"], ["FRESHET_NAMESPACE": "{x}"], "FRESHET_NAMESPACE"),
        (["run", "--config", "/nonexistent/freshet.json"], [:], "/nonexistent/freshet.json"),
    ]

    @Test(arguments: settingMistakes)
    func `a mistake in the settings is one line and status 78`(
        _ mistake: (arguments: [String], environment: [String: String], hint: String)
    ) async throws {
        try await freshet(mistake.arguments, mistake.environment).isMistake(78, mistake.hint)
    }

    static let fileMistakes: [(text: String, hint: String)] = [
        ("{", "no JSON object"),
        ("[1]", "no JSON object"),
        (#"{"redis-url": "redis://:\#(testSecret)@cache.example"}"#, "redis-url"),
        (#"{"redis": 6379}"#, "redis"),
        (#"{"redis": "cache.example:\#(testSecret)"}"#, "scheme"),
        (#"{"lease-seconds": "soon"}"#, "soon"),
        (#"{"log-level": "loud"}"#, "loud"),
    ]

    @Test(arguments: fileMistakes)
    func `a mistake in the file is one line and status 78`(_ mistake: (text: String, hint: String)) async throws {
        try await withFile(mistake.text) { path in
            let outcome = try await freshet(["status", "--config", path])
            try outcome.isMistake(78, mistake.hint)
            #expect(outcome.complaint.contains(path))
        }
    }

    @Test func `flags win over the environment and the environment over the file`() async throws {
        try await withFile(#"{"log-level": "from-file"}"#) { path in
            let both = ["FRESHET_LOG_LEVEL": "from-environment"]
            let file = ["status", "--config", path]
            try await freshet(file + ["--log-level", "from-flag"], both).isMistake(64, "from-flag")
            try await freshet(file, both).isMistake(78, "from-environment")
            try await freshet(file, ["FRESHET_LOG_LEVEL": ""]).isMistake(78, "from-file")
        }
    }

    @Test func `a server that is away is one line and status 69`() async throws {
        for command in [
            ["status"], ["migrate"], ["invalidate", "--all"], ["lookup", "--detector", "1"], ["audit"],
        ] {
            let outcome = try await freshet(
                command + [
                    "--postgres", "postgresql://app:\(testSecret)@127.0.0.1:1/app", "--redis", "redis://127.0.0.1:1",
                ]
            )
            #expect(outcome.status == .exited(69), "\(command): \(outcome)")
            #expect(outcome.output.isEmpty)
            #expect(outcome.complaint.contains("127.0.0.1") && !outcome.everything.contains(testSecret))
        }
    }

    @Test func `help shows an example, and the version stands alone`() async throws {
        for command in [
            "demo", "migrate", "run", "lookup", "invalidate", "cache", "status", "doctor", "audit", "watch", "top",
            "explain",
        ] {
            let help = try await freshet([command, "--help"])
            #expect(help.status == .exited(0) && help.complaint.isEmpty)
            #expect(help.output.contains("$ freshet \(command)") || help.output.contains("freshet \(command)\n"))
        }
        let version = try await freshet(["--version"])
        #expect(version.status == .exited(0))
        #expect(version.output.split(separator: "\n").count == 1)
        #expect(try await freshet([]).status == .exited(0))
    }

    // MARK: Mistakes that a server notices

    @Test func `a wrong password is status 77 and never shown`() async throws {
        let postgres = try await LocalPostgres.start(listensOnTCP: true, password: "right", logger: testLogger)
        let redis = try await LocalRedis.start(listensOnTCP: true, password: "right", logger: testLogger)
        do {
            let wrong = try postgres.tcpConnectionString(password: testSecret)
            for command in [["run"], ["status"], ["migrate"], ["lookup", "--detector", "1"]] {
                try await freshet(command + ["--postgres", wrong, "--redis", redis.url]).isMistake(77, "password")
            }
            let right = postgres.connectionString()
            #expect(try await freshet(["migrate", "--no-attach", "--postgres", right]).status == .exited(0))
            let wrongRedis = redis.url(password: testSecret)
            for command in [["run"], ["status"]] {
                try await freshet(command + ["--postgres", right, "--redis", wrongRedis]).isMistake(77, "password")
            }
        } catch {
            await postgres.destroy()
            await redis.destroy()
            throw error
        }
        await postgres.destroy()
        await redis.destroy()
    }

    @Test func `a missing database, schema, table or privilege says what to do`() async throws {
        let servers = try await Servers.shared()
        let empty = "t\(UInt64.random(in: .min ... .max))"
        try await servers.postgres.createDatabase(empty)
        let redis = ["--redis", servers.redis.url, "--prefix", empty]

        let nowhere = servers.postgres.connectionString(database: "nowhere")
        try await freshet(["run", "--postgres", nowhere] + redis).isMistake(78, "nowhere")

        let bare = servers.postgres.connectionString(database: empty)
        for command in [["run"], ["status"], ["invalidate", "--all"], ["lookup", "--detector", "1"], ["audit"]] {
            try await freshet(command + ["--postgres", bare] + redis).isMistake(78, "freshet migrate")
        }
        try await freshet(["migrate", "--postgres", bare]).isMistake(78, "workflow_engine_detector")
        try await freshet(["lookup", "--detector", "1", "--postgres", bare] + redis).isMistake(78, "--workflow-table")

        let stranger = servers.postgres.connectionString(database: empty, user: Servers.Roles.writer)
        for command in [["run"], ["status"], ["invalidate", "--all"]] {
            try await freshet(command + ["--postgres", stranger] + redis).isMistake(77, "freshet_worker")
        }
        try await freshet(["audit", "--postgres", stranger] + redis).isMistake(77, "freshet_auditor")
    }

    @Test func `a transaction pooler in front of the worker is status 78`() async throws {
        let servers = try await Servers.shared()
        try await Scenario.run { scenario in
            try await withPooler(of: servers.postgres.socketDirectory, port: servers.postgres.port) { host in
                let pooled = "host=\(host) port=5432 dbname=\(scenario.database) user=\(Servers.Roles.worker)"
                try await freshet(["run", "--postgres", pooled, "--redis", servers.redis.url]).isMistake(78, "pooler")
            }
        }
    }

    // MARK: The journey

    @Test func `migrate, run, look up, invalidate and ask for the status`() async throws {
        try await Scenario.run(.cascading) { scenario in
            let servers = scenario.servers
            let redis = ["--redis", servers.redis.url, "--prefix", scenario.namespace.prefix]
            let owner = ["--postgres", servers.postgres.connectionString(database: scenario.database)]
            let worker = [
                "--postgres",
                servers.postgres.connectionString(database: scenario.database, user: Servers.Roles.worker),
            ]
            let reader = [
                "--postgres",
                servers.postgres.connectionString(database: scenario.database, user: Servers.Roles.reader),
            ]
            try await scenario.insert(detectors: [1, 2], workflows: [(10, nil), (11, 7), (12, 8)])
            try await scenario.execute(
                #"UPDATE workflow_engine_workflow SET config = '{"a": [1, null]}' WHERE id = 10"#
            )

            let again = try await freshet(["migrate"] + owner)
            #expect(again.status == .exited(0) && again.output == "up to date\n")
            let idle = try await freshet(["status", "--json"] + worker + redis)
            #expect(idle.status == .exited(1))
            #expect(try idle.decoded(Status.self).leader.pid == nil)

            try await whileRunning(["run"] + worker + redis) {
                let status = try await eventually("the status to be well") {
                    let outcome = try await freshet(["status", "--json"] + worker + redis)
                    guard outcome.status == .exited(0) else { return Optional<Status>.none }
                    let status = try outcome.decoded(Status.self)
                    return status.journal.rows == 0 ? status : nil
                }
                #expect(status.lease.trust == "healthy")
                #expect(status.leader.pid != nil && status.namespace.generation != nil)
                #expect(status.tables.count == 3 && status.tables.allSatisfy(\.triggers_enabled))

                let lookup = ["lookup", "--detector", "2", "1", "--environment", "7", "--json"] + reader + redis
                let first = try await freshet(lookup).decoded(Lookup.self)
                #expect(first.trust == "healthy" && first.workflows == [10, 11])
                #expect(first.detectors.map(\.id) == [1, 2])
                #expect(first.detectors.allSatisfy { $0.global == "miss" && $0.environment == "miss" })
                let second = try await freshet(lookup)
                #expect(
                    try second.decoded(Lookup.self).detectors.allSatisfy {
                        $0.global == "hit" && $0.environment == "hit"
                    }
                )
                #expect(second.output.contains(#""config":{"a": [1, null]}"#))
                let global = try await freshet(["lookup", "--detector", "1", "--json"] + reader + redis).decoded(
                    Lookup.self
                )
                #expect(global.detectors.first?.environment == nil && global.workflows == [10])

                let invalidated = try await freshet(["invalidate", "--detector", "1", "--environment", "7"] + worker)
                #expect(invalidated.status == .exited(0) && !invalidated.output.isEmpty)
                let third = try await eventually("the entry to be invalid") {
                    let answer = try await freshet(lookup).decoded(Lookup.self)
                    return answer.detectors.first?.environment == "miss" ? answer : nil
                }
                #expect(third.detectors.map(\.global) == ["hit", "hit"])
                #expect(third.detectors.last?.environment == "hit")
            }

            try await scenario.execute("ALTER TABLE workflow_engine_workflow DISABLE TRIGGER ALL")
            let broken = try await freshet(["status", "--json"] + worker + redis)
            #expect(broken.status == .exited(1))
            #expect(try broken.decoded(Status.self).tables.contains { !$0.triggers_enabled })
        }
    }

    @Test func `a further cache is attached where it is asked for, served by the same worker and shown by the status`()
        async throws
    {
        try await DataSourceStage.run(isAttached: false) { stage in
            let scenario = stage.scenario
            let owner = ["--postgres", scenario.servers.postgres.connectionString(database: scenario.database)]
            let worker = [
                "--redis", scenario.servers.redis.url, "--prefix", scenario.namespace.prefix, "--postgres",
                scenario.servers.postgres.connectionString(database: scenario.database, user: Servers.Roles.worker),
            ]
            #expect(try await freshet(["migrate"] + owner).output == "up to date\n")
            let alone = try await freshet(["migrate", "--datasource-table", "x"] + owner)
            #expect(alone.status == .exited(64))
            #expect(alone.complaint.contains("--attach datasources"))
            let further = ["migrate", "--attach", "datasources"]
            let missing = try await freshet(further + ["--datasource-table", "absent"] + owner)
            #expect(missing.status == .exited(78))
            #expect(missing.complaint.contains("--datasource-table"))
            let script = try await freshet(further + ["--dry-run"] + owner)
            #expect(script.output.contains("freshet.attach_datasources("))
            let attached = try await freshet(further + owner)
            #expect(attached.status == .exited(0))
            #expect(attached.output.hasPrefix("attached: workflow_engine_datasource, "), "\(attached)")
            #expect(try await freshet(further + owner).output == "up to date\n")

            let taken = try await freshet(["run", "--namespace", "datasources"] + worker)
            #expect(taken.status == .exited(78))
            #expect(taken.complaint.contains("--namespace datasources"))
            try await whileRunning(["run"] + worker) {
                let status = try await eventually("the status to be well") {
                    let outcome = try await freshet(["status", "--json"] + worker)
                    return outcome.status == .exited(0) ? try outcome.decoded(Status.self) : nil
                }
                #expect(status.tables.count == 6 && status.tables.allSatisfy(\.triggers_enabled))
                #expect(status.further_caches.map(\.name) == ["\(stage.namespace)"])
                #expect(status.further_caches.map(\.trust) == ["healthy"])
                #expect(status.further_caches.allSatisfy { $0.generation != nil })
                let screen = try await freshet(["status"] + worker).output
                #expect(screen.contains("\(stage.namespace)"))
            }
        }
    }

    @Test func `status and lookup answer while Redis is away`() async throws {
        try await Scenario.run { scenario in
            let away = ["--redis", "redis://127.0.0.1:1"]
            try await scenario.insert(detectors: [1], workflows: [(10, nil)])
            let database = scenario.servers.postgres.connectionString(database: scenario.database)
            let status = try await freshet(["status", "--json", "--postgres", database] + away)
            #expect(status.status == .exited(1))
            #expect(try status.decoded(Status.self).lease.trust == "unreachable")
            let lookup = try await freshet(["lookup", "--detector", "1", "--json", "--postgres", database] + away)
            #expect(lookup.status == .exited(0))
            let answer = try lookup.decoded(Lookup.self)
            #expect(answer.trust == "unreachable" && answer.workflows == [10])
        }
    }

    @Test func `the dry run is SQL that psql runs`() async throws {
        // Its roles belong to the cluster: not on the shared server.
        let server = try await LocalPostgres.start()
        let target = ["--postgres", server.connectionString()]
        let script = try await freshet(["migrate", "--no-attach", "--dry-run"] + target)
        #expect(script.status == .exited(0))
        try await server.psql(script.output)
        #expect(try await freshet(["migrate", "--no-attach"] + target).output == "up to date\n")
        let removal = try await freshet(["migrate", "--uninstall", "--dry-run"] + target)
        try await server.psql(removal.output)
        try await freshet(["status"] + target).isMistake(78, "freshet migrate")
        await server.destroy()
    }

    @Test func `the worker waits for servers that are away and leaves when it is told to`() async throws {
        let arguments = [
            "run", "--postgres", "postgresql://app:\(testSecret)@127.0.0.1:1/app", "--redis",
            "redis://:\(testSecret)@127.0.0.1:1",
        ]
        try await whileRunning(arguments, until: "Working") { process in
            // Everybody can read this.
            let shown = try String(contentsOfFile: "/proc/\(process)/cmdline", encoding: .utf8)
            #expect(shown.contains("postgresql://app:***") && !shown.contains(testSecret))
        }
    }

    // MARK: The demonstration

    @Test func `the demonstration shows what it says and leaves nothing behind`() async throws {
        try await withFolder { folder in
            let outcome = try await freshet(["demo", "--once"], ["TMPDIR": folder])
            #expect(outcome.status == .exited(0), "\(outcome)")
            #expect(outcome.complaint.isEmpty)
            #expect(!outcome.output.contains("\u{1B}"), "no colour where nobody looks")
            #expect(outcome.output.contains("answers compared, all equal"))
            #expect(try FileManager.default.contentsOfDirectory(atPath: folder).isEmpty)
        }
    }

    @Test func `an interrupted demonstration leaves nothing behind either`() async throws {
        try await withFolder { folder in
            let result = try await Subprocess.run(
                .name("env"),
                arguments: Arguments(["--", freshetExecutable, "demo"]),
                environment: cleanEnvironment(["TMPDIR": folder]),
                input: .none,
                output: .sequence,
                error: .discarded
            ) { execution in
                var isAsked = false
                for try await line in execution.standardOutput.strings() where !isAsked && line.contains("UPDATE") {
                    isAsked = true
                    try execution.send(signal: .interrupt)
                }
            }
            #expect(result.terminationStatus == .exited(1))
            #expect(try FileManager.default.contentsOfDirectory(atPath: folder).isEmpty)
        }
    }
}

// MARK: Running it

/// Runs the executable beside `body`, which begins when a line of the log says `signal`; then ends it with SIGTERM.
func whileRunning(
    _ arguments: [String],
    until signal: String = "Leading",
    _ body: @escaping @Sendable (Int32) async throws -> Void
) async throws {
    let result = try await Subprocess.run(
        .name("env"),
        arguments: Arguments(["--", freshetExecutable] + arguments),
        environment: cleanEnvironment([:]),
        input: .none,
        output: .discarded,
        error: .sequence
    ) { execution in
        var log: [String] = []
        for try await line in execution.standardError.strings() {
            log.append(line)
            guard line.contains(signal), !log.dropLast().contains(where: { $0.contains(signal) }) else { continue }
            do {
                try await body(execution.processIdentifier.value)
            } catch {
                try execution.send(signal: .terminate)
                throw error
            }
            try execution.send(signal: .terminate)
        }
        return log
    }
    #expect(result.terminationStatus == .exited(0), "\(result.closureResult)")
    #expect(result.closureResult.contains { $0.contains(signal) }, "\(result.closureResult)")
    #expect(!result.closureResult.contains { $0.contains(testSecret) })
}

func whileRunning(_ arguments: [String], _ body: @escaping @Sendable () async throws -> Void) async throws {
    try await whileRunning(arguments) { _ in try await body() }
}

/// What `status --json` has at the least.
private struct Status: Decodable, Sendable {
    struct Journal: Decodable { var rows: Int64 }
    struct Lease: Decodable { var trust: String }
    struct Leader: Decodable { var pid: Int32? }
    struct Namespace: Decodable { var generation: String? }
    struct Cache: Decodable {
        var name: String
        var generation: String?
        var trust: String
    }
    struct Table: Decodable {
        var name: String
        var triggers_enabled: Bool
    }

    var journal: Journal
    var further_caches: [Cache]
    var lease: Lease
    var leader: Leader
    var namespace: Namespace
    var tables: [Table]
}

/// What `lookup --json` has at the least.
private struct Lookup: Decodable, Sendable {
    struct Workflow: Decodable {
        var id: Int64
        var environment_id: Int64?
        var name: String
        var enabled: Bool
    }
    struct Detector: Decodable {
        var id: Int64
        var global: String
        var environment: String?
        var workflows: [Workflow]
    }

    var trust: String
    var workflows: [Int64]
    var detectors: [Detector]
}

// MARK: Files and sockets

private func withFolder(_ body: (String) async throws -> Void) async throws {
    // In /tmp whatever TMPDIR says: the address of a socket has room for 107 bytes.
    var template = Array("/tmp/freshet-test-XXXXXX".utf8CString)
    try #require(mkdtemp(&template) != nil)
    let path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    // Postgres runs as another user where the tests run as root.
    try #require(chmod(path, 0o755) == 0)
    do {
        try await body(path)
    } catch {
        try FileManager.default.removeItem(atPath: path)
        throw error
    }
    try FileManager.default.removeItem(atPath: path)
}

private func withFile(_ text: String, _ body: (String) async throws -> Void) async throws {
    try await withFolder { folder in
        let path = "\(folder)/freshet.json"
        try text.write(toFile: path, atomically: true, encoding: .utf8)
        try await body(path)
    }
}

/// Something that answers like a connection pooler: what it says of the session is not what the session says of itself.
private func withPooler(of folder: String, port: Int, _ body: (String) async throws -> Void) async throws {
    try await withFolder { front in
        let group = MultiThreadedEventLoopGroup.singleton
        let listener = try await ServerBootstrap(group: group)
            .childChannelOption(.autoRead, value: false)
            .childChannelInitializer { client in
                ClientBootstrap(group: client.eventLoop)
                    .channelInitializer { server in
                        server.eventLoop.makeCompletedFuture {
                            try server.pipeline.syncOperations.addHandler(Forwarder(to: client, hidesBackend: true))
                        }
                    }
                    .connect(unixDomainSocketPath: "\(folder)/.s.PGSQL.\(port)")
                    .flatMapThrowing { server in
                        try client.pipeline.syncOperations.addHandler(Forwarder(to: server, hidesBackend: false))
                    }
                    .flatMap { client.setOption(.autoRead, value: true) }
            }
            .bind(unixDomainSocketPath: "\(front)/.s.PGSQL.5432")
            .get()
        do {
            try await body(front)
        } catch {
            try await listener.close()
            throw error
        }
        try await listener.close()
    }
}

/// Forwards what arrives, and, if asked, puts another process identifier into BackendKeyData.
private final class Forwarder: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    private let other: any Channel
    private var hidesBackend: Bool
    private var pending = ByteBuffer()

    init(to other: any Channel, hidesBackend: Bool) {
        self.other = other
        self.hidesBackend = hidesBackend
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var bytes = unwrapInboundIn(data)
        guard hidesBackend else {
            other.writeAndFlush(bytes, promise: nil)
            return
        }
        pending.writeBuffer(&bytes)
        // Whole messages only: a letter, and a length that counts itself.
        while let kind = pending.getInteger(at: pending.readerIndex, as: UInt8.self),
            let length = pending.getInteger(at: pending.readerIndex + 1, as: UInt32.self),
            var message = pending.readSlice(length: Int(length) + 1)
        {
            if kind == UInt8(ascii: "K") {
                message.setInteger(UInt32(4_711), at: message.readerIndex + 5)
            }
            other.write(message, promise: nil)
        }
        other.flush()
    }

    func channelInactive(context: ChannelHandlerContext) {
        other.close(promise: nil)
    }
}
