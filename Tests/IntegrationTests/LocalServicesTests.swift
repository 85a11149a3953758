import FoundationEssentials
import Glibc
import LocalServices
import Testing

@Suite struct LocalServicesTests {
    // MARK: Postgres

    @Test func `a Postgres server takes connections as soon as it is started and leaves nothing behind`() async throws {
        let server = try await LocalPostgres.start(settings: ["max_prepared_transactions": "7"])
        #expect(try await server.psql("SHOW max_prepared_transactions; SHOW fsync") == "7\noff\n")
        let process = try #require(server.processIdentifier)
        let folder = server.socketDirectory
        await server.destroy()
        #expect(kill(process, 0) != 0)
        #expect(!FileManager.default.fileExists(atPath: folder))
        await server.destroy()
    }

    @Test(arguments: [LocalPostgres.StopMode.smart, .fast, .immediate])
    func `a stopped Postgres is started again with its data, its port and new settings`(
        mode: LocalPostgres.StopMode
    ) async throws {
        let server = try await LocalPostgres.start(listensOnTCP: true)
        try await server.psql("CREATE TABLE kept AS SELECT 1 AS id")
        let port = server.port
        try await server.stop(mode)
        // A script longer than a pipe holds: psql ends without having read it.
        let script = "SELECT 1 -- " + String(repeating: "x", count: 1 << 20)
        await #expect(throws: LocalServiceError.self) { try await server.psql(script) }
        #expect(server.processIdentifier == nil)
        try await server.startAgain(settings: ["work_mem": "5MB"])
        #expect(server.port == port)
        #expect(try await server.psql("SELECT id FROM kept; SHOW work_mem") == "1\n5MB\n")
        await server.destroy()
    }

    @Test func `a killed Postgres recovers, and unlogged tables are empty after it`() async throws {
        let server = try await LocalPostgres.start()
        try await server.psql("CREATE TABLE kept AS SELECT 1; CREATE UNLOGGED TABLE lost AS SELECT 1")
        try await server.kill()
        try await server.startAgain()
        #expect(try await server.psql("SELECT count(*) FROM kept; SELECT count(*) FROM lost") == "1\n0\n")
        await server.destroy()
    }

    @Test func `after the crash of one backend the server is awaited until it has recovered`() async throws {
        let server = try await LocalPostgres.start()
        try await server.psql("CREATE UNLOGGED TABLE lost AS SELECT 1")
        let walWriter = try await server.psql(
            "SELECT pid FROM pg_stat_activity WHERE backend_type = 'walwriter'"
        )
        try await server.crash(backend: try #require(Int32(walWriter.dropLast())))
        #expect(try await server.psql("SELECT count(*) FROM lost") == "0\n")
        await server.destroy()
    }

    @Test func `a suspended Postgres can be destroyed`() async throws {
        let server = try await LocalPostgres.start()
        let process = try #require(server.processIdentifier)
        try server.suspend()
        #expect(try processState(process) == "T")
        try server.resume()
        #expect(try await server.psql("SELECT 1") == "1\n")
        try server.suspend()
        await server.destroy()
        #expect(!FileManager.default.fileExists(atPath: server.socketDirectory))
    }

    @Test func `a standby follows its primary and takes writes once promoted`() async throws {
        let primary = try await LocalPostgres.start()
        let standby = try await primary.createStandby()
        try await primary.psql("CREATE TABLE followed AS SELECT 1 AS id")
        try await standby.catchUp(with: primary)
        #expect(try await standby.psql("SELECT id FROM followed; SELECT pg_is_in_recovery()") == "1\nt\n")
        try await standby.promote()
        try await standby.psql("INSERT INTO followed VALUES (2)")
        #expect(
            try await standby.psql(
                "SELECT count(*) FROM followed; SELECT left(pg_walfile_name(pg_current_wal_lsn()), 8)"
            )
                == "2\n00000002\n"
        )
        await standby.destroy()
        await primary.destroy()
    }

    @Test func `TCP with a password and TLS refuses what it should`() async throws {
        let certificates = try await LocalCertificates.make()
        let strangers = try await LocalCertificates.make()
        let server = try await LocalPostgres.start(
            listensOnTCP: true,
            password: "it's secret",
            certificates: certificates
        )
        let good = try server.tcpConnectionString()
        #expect(try await psql(good, "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()") == "t\n")
        await #expect(throws: (any Error).self) {
            try await psql(try server.tcpConnectionString(password: "wrong"), "SELECT 1")
        }
        await #expect(throws: (any Error).self) { try await psql(good + " sslmode=disable", "SELECT 1") }
        await #expect(throws: (any Error).self) {
            try await psql(good + " sslrootcert=\(strangers.authorityFile)", "SELECT 1")
        }
        await server.destroy()
        certificates.destroy()
        strangers.destroy()
    }

    @Test func `copies share a system identifier and a server of its own has another`() async throws {
        let identifier = "SELECT system_identifier FROM pg_control_system()"
        async let first = LocalPostgres.start()
        async let second = LocalPostgres.start()
        async let third = LocalPostgres.start(hasOwnIdentity: true)
        let servers = try await [first, second, third]
        var identifiers: [String] = []
        for server in servers { identifiers.append(try await server.psql(identifier)) }
        #expect(identifiers[0] == identifiers[1])
        #expect(identifiers[0] != identifiers[2])
        for server in servers { await server.destroy() }
    }

    @Test func `a database is created from a template`() async throws {
        let server = try await LocalPostgres.start()
        try await server.createDatabase("a \"base\"")
        try await server.psql("CREATE TABLE here AS SELECT 5 AS id", database: "a \"base\"")
        try await server.createDatabase("copy", template: "a \"base\"")
        #expect(try await server.psql("SELECT id FROM here", database: "copy") == "5\n")
        try await server.dropDatabase("copy")
        await #expect(throws: LocalServiceError.self) { try await server.psql("SELECT 1", database: "copy") }
        await server.destroy()
    }

    @Test func `a wrong setting is reported with the server's own words`() async throws {
        let error = await #expect(throws: LocalServiceError.self) {
            _ = try await LocalPostgres.start(settings: ["no_such_setting": "1"])
        }
        #expect(error?.code == .cannotStart)
        #expect(error?.message.contains("\n") == false)
        #expect(error?.message.contains("no_such_setting") == true || error?.message.contains("local.conf") == true)
    }

    // MARK: Redis

    @Test func `a Redis server answers on its socket, and a new run of it is empty unless told otherwise`() async throws
    {
        let server = try await LocalRedis.start(listensOnTCP: true)
        let port = server.port
        try await server.command("SET", "k", "old")
        let snapshot = try await server.saveSnapshot()
        try await server.command("SET", "k", "new")
        try await server.restart()
        #expect(try await server.command("EXISTS", "k") == "0")
        try await server.restart(with: .snapshot(path: snapshot))
        #expect(try await server.command("GET", "k") == "old")
        #expect(server.port == port)
        try await server.stop()
        #expect(server.processIdentifier == nil)
        try await server.startAgain(with: .snapshot(path: snapshot), options: ["maxmemory": "10mb"])
        #expect(try await server.command("CONFIG", "GET", "maxmemory") == "maxmemory\n10485760")
        let socket = server.socketPath
        await server.destroy()
        #expect(!FileManager.default.fileExists(atPath: socket))
    }

    @Test func `a Redis becomes a replica and a primary again in place`() async throws {
        let server = try await LocalRedis.start(password: "one")
        let other = try await LocalRedis.start(listensOnTCP: true, password: "two words\"")
        try await server.command("SET", "k", "mine")
        try await other.command("SET", "k", "theirs")
        try await server.replicate(other)
        #expect(try await server.command("GET", "k") == "theirs")
        await #expect(throws: LocalServiceError.self) { try await server.command("SET", "k", "mine") }
        try await server.replicate(nil)
        try await server.command("SET", "k", "mine")
        await server.destroy()
        await other.destroy()
    }

    @Test func `Redis speaks TLS and demands the passwords of its access list`() async throws {
        let certificates = try await LocalCertificates.make()
        let server = try await LocalRedis.start(
            accessList: ["user default off", "user reader on >s3cret ~* +@read +@connection"],
            certificates: certificates
        )
        let port = try #require(server.port)
        #expect(
            server.url(user: "reader", password: "s3:ret", database: 2)
                == "rediss://reader:s3%3Aret@127.0.0.1:\(port)/2?cafile=\(certificates.authorityFile)"
        )
        let arguments = ["-p", "\(port)", "--tls", "--cacert", certificates.authorityFile, "-e", "--no-auth-warning"]
        let ping = arguments + ["--user", "reader", "--pass", "s3cret", "PING"]
        #expect(try await run("redis-cli", ping) == "PONG\n")
        await #expect(throws: (any Error).self) {
            try await run("redis-cli", arguments + ["--user", "reader", "--pass", "s3cret", "SET", "a", "b"])
        }
        await #expect(throws: (any Error).self) { try await run("redis-cli", arguments + ["PING"]) }
        #expect(try await server.command("PING") == "PONG")
        await server.destroy()
        certificates.destroy()
    }

    @Test func `a suspended Redis can be resumed and destroyed`() async throws {
        let server = try await LocalRedis.start()
        try server.suspend()
        #expect(try processState(try #require(server.processIdentifier)) == "T")
        try server.resume()
        #expect(try await server.command("PING") == "PONG")
        try server.suspend()
        await server.destroy()
    }
}

/// The letter of a process in /proc: `T` is stopped.
private func processState(_ process: Int32) throws -> String {
    let text = try String(contentsOfFile: "/proc/\(process)/stat", encoding: .utf8)
    return String(text.split(separator: ")").last?.split(separator: " ").first ?? "")
}

@discardableResult
private func psql(_ connection: String, _ sql: String) async throws -> String {
    try await run("psql", ["--no-psqlrc", "--no-align", "--tuples-only", "--dbname", connection, "--command", sql])
}
