// Nothing secret in anything that comes out: every command, with secrets in all its settings, against servers that are well, that
// refuse the password, that are away, and with settings that cannot be read, at the log level that tells most. The commands are read
// from the help, so that a new one is not forgotten.

import Foundation
import LocalServices
import Postgres
import Subprocess
import Testing

@Suite struct SecretTests {
    /// What all secrets here have in common; each has something in it that a URL must escape.
    private static let mark = "5ecr3t"
    private static let postgresPassword = "Pg5ecr3t@a/b?c"
    private static let redisPassword = "Rd5ecr3t@a/b?c"
    private static let wrongPassword = "Wr5ecr3t@a/b?c"

    /// What each command wants beside the settings; the others want nothing.
    private static let arguments: [String: [[String]]] = [
        "lookup": [["--detector", "1"]],
        "invalidate": [["--detector", "1"], ["--all"]],
        "cache": [["on"]],
        "migrate": [[], ["--dry-run"]],
        "status": [[], ["--json"]],
        "doctor": [["--all"], ["--json"]],
        "audit": [["--all", "--json"]],
        "explain": [["--detector", "1"]],
    ]

    /// The commands that do not end by themselves.
    private static let endless: Set = ["run", "watch", "top"]

    /// The settings that are secret, in one situation.
    private struct Situation {
        var name: String
        var postgres: String
        var redis: String

        var environment: [String: String] {
            [
                "FRESHET_POSTGRES": postgres, "FRESHET_REDIS": redis, "FRESHET_AUDIT_POSTGRES": postgres,
                "PGPASSWORD": SecretTests.wrongPassword, "FRESHET_AUDIT_RATE": "5",
            ]
        }

        var flags: [String] { ["--postgres", postgres, "--redis", redis] }
        var file: String { #"{"postgres": "\#(postgres)", "redis": "\#(redis)", "audit-postgres": "\#(postgres)"}"# }
    }

    private static func escaped(_ text: String) -> String {
        text.addingPercentEncoding(withAllowedCharacters: .alphanumerics) ?? ""
    }

    private func situations(_ postgres: LocalPostgres, _ redis: LocalRedis) throws -> [Situation] {
        func database(_ password: String, port: Int = postgres.port) -> String {
            "postgresql://postgres:\(Self.escaped(password))@127.0.0.1:\(port)/app?sslmode=disable"
        }
        let cache = { (password: String) in redis.url(password: password) }
        return [
            Situation(name: "well", postgres: database(Self.postgresPassword), redis: cache(Self.redisPassword)),
            Situation(
                name: "Postgres refuses",
                postgres: database(Self.wrongPassword),
                redis: cache(Self.redisPassword)
            ),
            Situation(
                name: "Redis refuses",
                postgres: database(Self.postgresPassword),
                redis: cache(Self.wrongPassword)
            ),
            Situation(
                name: "away",
                postgres: database(Self.postgresPassword, port: 1),
                redis: "redis://:\(Self.escaped(Self.redisPassword))@127.0.0.1:1"
            ),
            Situation(
                name: "no database",
                postgres:
                    "host=127.0.0.1 port=\(postgres.port) dbname=nowhere user=postgres password='\(Self.postgresPassword)'",
                redis: cache(Self.redisPassword)
            ),
            Situation(
                name: "no URLs",
                postgres: "postgresql://postgres:\(Self.postgresPassword)@127.0.0.1:port/app",
                redis: "redis://:\(Self.redisPassword)@127.0.0.1:port"
            ),
            Situation(
                name: "no scheme",
                postgres: "host=127.0.0.1 password = \(Self.postgresPassword) nonsense",
                redis: "http://user:\(Self.redisPassword)@cache.example"
            ),
        ]
    }

    private func withServers(
        _ body: @Sendable (LocalPostgres, LocalRedis) async throws -> Void
    ) async throws {
        let postgres = try await LocalPostgres.start(
            listensOnTCP: true,
            password: Self.postgresPassword,
            logger: testLogger
        )
        let redis = try await LocalRedis.start(listensOnTCP: true, password: Self.redisPassword, logger: testLogger)
        do {
            try await postgres.createDatabase("app")
            try await postgres.psql(
                "\(ApplicationTables.statements(cascading: true))",
                database: "app"
            )
            let here = postgres.connectionString(database: "app")
            #expect(try await freshet(["migrate", "--postgres", here]).status == .exited(0))
            try await body(postgres, redis)
        } catch {
            await postgres.destroy()
            await redis.destroy()
            throw error
        }
        await postgres.destroy()
        await redis.destroy()
    }

    /// The subcommands, by the help.
    private func commands() async throws -> [String] {
        let help = try await freshet(["--help"]).output
        let section = try #require(help.components(separatedBy: "SUBCOMMANDS:").last)
        let names = section.split(separator: "\n").compactMap { line -> String? in
            guard line.hasPrefix("  "), !line.hasPrefix("   ") else { return nil }
            return line.split(separator: " ").first.map(String.init)
        }
        #expect(Set(names).isSuperset(of: ["run", "status", "doctor", "audit", "migrate"]), "\(help)")
        // It takes no servers from outside.
        return names.filter { $0 != "demo" && $0 != "help" && $0 != "See" }
    }

    /// All that a command writes until its end.
    ///
    /// The end comes by itself or, of one that has none, by a signal three seconds after its first line, or after the first with a
    /// certain word in it. One that has not ended after two minutes, or 20 s after a signal, is killed.
    private func everything(
        _ arguments: [String],
        _ environment: [String: String],
        until word: String? = nil
    ) async throws -> String {
        let endless = arguments.first.map(Self.endless.contains) ?? false
        let result = try await Subprocess.run(
            .name("timeout"),
            arguments: Arguments(
                ["--kill-after=20", "120", "sh", "-c", #"exec "$@" 2>&1"#, "sh", freshetExecutable] + arguments
            ),
            environment: cleanEnvironment(environment),
            input: .none,
            output: .sequence,
            error: .discarded
        ) { execution in
            var lines: [String] = []
            var isEnding = false
            try await withThrowingTaskGroup(of: Void.self) { tasks in
                for try await line in execution.standardOutput.strings() {
                    lines.append(line)
                    guard endless, !isEnding, word.map(line.contains) ?? true else { continue }
                    isEnding = true
                    tasks.addTask {
                        try await Task.sleep(for: .seconds(3))
                        try execution.send(signal: .terminate)
                    }
                }
                // It has ended, perhaps before its time.
                tasks.cancelAll()
            }
            return lines
        }
        // 124 where it ended when the time was over; killed, and timeout with it, where it did not end even then.
        let untimely: [TerminationStatus] = [.exited(124), .exited(137), .signaled(SIGKILL)]
        #expect(!untimely.contains(result.terminationStatus), "\(arguments.first ?? ""): no end of its own")
        return result.closureResult.joined(separator: "\n")
    }

    /// Runs a command with the settings of a situation in its environment, in its flags, and in a file.
    private func expectNoSecret(_ command: [String], _ situation: Situation, _ file: String) async throws {
        let arguments = command + ["--log-level", "trace"]
        let isWorking = command == ["run"] && situation.name == "well"
        let word = isWorking ? "Working" : nil
        let outputs = [
            try await everything(arguments, situation.environment, until: word),
            try await everything(arguments + situation.flags, [:], until: word),
            try await everything(arguments + ["--config", file], [:], until: word),
        ]
        for output in outputs {
            #expect(!output.isEmpty, "\(situation.name): \(command)")
            #expect(!output.contains(Self.mark), "\(situation.name): \(command): \(output)")
        }
        if isWorking {
            #expect(outputs.allSatisfy { $0.contains("Working") && $0.contains(" debug ") })
        }
    }

    @Test func `no command shows a secret, whatever becomes of it and wherever the setting comes from`() async throws {
        try await withServers { postgres, redis in
            let names = try await commands()
            for situation in try situations(postgres, redis) {
                let file = "\(NSTemporaryDirectory())/freshet-secrets-\(UInt64.random(in: .min ... .max)).json"
                try situation.file.write(toFile: file, atomically: true, encoding: .utf8)
                defer { try? FileManager.default.removeItem(atPath: file) }
                // Most wait for servers most of the time, so they wait together.
                try await withThrowingTaskGroup(of: Void.self) { tasks in
                    for name in names {
                        for further in Self.arguments[name] ?? [[]] {
                            tasks.addTask { try await expectNoSecret([name] + further, situation, file) }
                        }
                    }
                    try await tasks.waitForAll()
                }
            }
            for name in names {
                let help = try await everything([name, "--help"], try situations(postgres, redis)[0].environment)
                #expect(!help.isEmpty && !help.contains(Self.mark))
            }
        }
    }

    @Test func `what others can see of a process has no secret in it`() async throws {
        try await withServers { postgres, redis in
            let situation = try situations(postgres, redis)[0]
            let arguments = ["run", "--audit-postgres", situation.postgres] + situation.flags
            try await whileRunning(arguments, until: "Working") { process in
                for name in ["cmdline", "comm", "stat"] {
                    let text = try String(
                        decoding: Data(contentsOf: URL(filePath: "/proc/\(process)/\(name)")),
                        as: UTF8.self
                    )
                    #expect(!text.contains(Self.mark), "\(name): \(text)")
                }
                // What Postgres and Redis show of their clients.
                let sessions = try await postgres.psql("SELECT * FROM pg_stat_activity", database: "app")
                #expect(!sessions.contains(Self.mark))
                let clients = try await eventually("a client of Redis") {
                    let clients = try await redis.command("CLIENT", "LIST")
                    return clients.contains("freshet") ? clients : nil
                }
                #expect(!clients.contains(Self.mark))
            }
        }
    }
}
