import LocalServices
import Logging
import Redis
import Testing

/// The Redis client against real servers: what only they can say about protocol, login, encryption and failure.
@Suite(.timeLimit(.minutes(5))) struct RedisClientTests {
    private let get = RedisCommand("GET", "key")

    /// Runs a test with a server of its own.
    private func withServer(
        options: [String: String] = [:],
        listensOnTCP: Bool = false,
        password: String? = nil,
        accessList: [String] = [],
        certificates: LocalCertificates? = nil,
        _ body: (LocalRedis) async throws -> Void
    ) async throws {
        let server = try await LocalRedis.start(
            options: options,
            listensOnTCP: listensOnTCP,
            password: password,
            accessList: accessList,
            certificates: certificates
        )
        do {
            try await body(server)
        } catch {
            await server.destroy()
            throw error
        }
        await server.destroy()
    }

    private func node(_ url: String, change: (inout RedisConfiguration) -> Void = { _ in }) throws -> RedisNode {
        var configuration = try RedisConfiguration(url: url)
        // Long, so that nothing passes or fails here because the machine is busy.
        configuration.commandTimeLimit = .seconds(60)
        configuration.connectTimeLimit = .seconds(60)
        change(&configuration)
        return RedisNode(configuration, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
    }

    /// The error of a first call; nil if it works.
    private func failure(
        _ url: String,
        change: (inout RedisConfiguration) -> Void = { _ in }
    ) async throws -> RedisError? {
        let node = try node(url, change: change)
        let failure = await error { try await node.send(RedisCommand("PING"), key: "") }
        await node.close()
        return failure
    }

    private func error(_ body: () async throws -> some Sendable) async -> RedisError? {
        do {
            _ = try await body()
            return nil
        } catch {
            return error as? RedisError
        }
    }

    // MARK: Reaching the server

    @Test func `a server is reached by TCP and by socket, and each database is one of its own`() async throws {
        try await withServer(listensOnTCP: true) { server in
            let tcp = try node(server.url(database: 3))
            let socket = try node("unix://\(server.socketPath)?db=3")
            let other = try node("unix://\(server.socketPath)")
            #expect(try await tcp.send(RedisCommand("SET", "key", "value"), key: "key") == .simple("OK"))
            #expect(try await socket.send(get, key: "key").string == "value")
            #expect(try await other.send(get, key: "key").isNull)
            #expect(try await other.send(RedisCommand("CLIENT", "GETNAME"), key: "").string == "freshet")
            for node in [tcp, socket, other] { await node.close() }
        }
    }

    @Test func `an encrypted server is verified by its name and by its address`() async throws {
        let certificates = try await LocalCertificates.make()
        defer { certificates.destroy() }
        try await withServer(certificates: certificates) { server in
            let byName = server.url.replacing("127.0.0.1", with: "localhost")
            #expect(try await failure(server.url) == nil)
            #expect(try await failure(byName) == nil)
            let untrusted = try await failure(byName.replacing("?cafile=\(certificates.authorityFile)", with: ""))
            #expect(untrusted?.code == .cannotConnect)
            #expect(untrusted?.message.contains("certificate is not trusted") == true)
            let plain = try await failure("redis://127.0.0.1:\(try #require(server.port))")
            #expect(plain?.message.contains("does it want TLS (rediss://)?") == true)
            let missing = try await failure("\(byName).missing")
            #expect(missing?.message.contains("cannot read the authorities' certificates from") == true)
        }
    }

    @Test func `a certificate for another name is refused`() async throws {
        let certificates = try await LocalCertificates.make(names: ["DNS:other.example"])
        defer { certificates.destroy() }
        try await withServer(certificates: certificates) { server in
            for url in [server.url, server.url.replacing("127.0.0.1", with: "localhost")] {
                let failure = try await failure(url)
                #expect(failure?.code == .cannotConnect)
                #expect(failure?.message.contains("certificate is for another name") == true)
            }
        }
    }

    @Test func `a server without TLS is given up within the time limit of the call`() async throws {
        try await withServer(listensOnTCP: true) { server in
            let url = server.url.replacing("redis://", with: "rediss://")
            let failure = try await failure(url) { $0.commandTimeLimit = .milliseconds(200) }
            #expect(failure?.code == .timedOut)
            #expect(failure?.message.hasSuffix("does it speak TLS?") == true)
        }
    }

    @Test func `a user logs in with a password of special characters, though not allowed to name the connection`()
        async throws
    {
        let users = ["user default off", "user ada on >s@c/r?t#%: ~* +@all -client"]
        try await withServer(listensOnTCP: true, accessList: users) { server in
            #expect(try await failure(server.url(user: "ada", password: "s@c/r?t#%:")) == nil)
            let wrong = try await failure(server.url(user: "ada", password: "hunter2"))
            #expect(wrong?.code == .authenticationFailed)
            #expect(wrong?.message.contains("user \"ada\"") == true)
            #expect(wrong?.message.contains("hunter2") == false)
            #expect(try await failure(server.url)?.code == .authenticationFailed)
        }
    }

    @Test func `the default user's password is wanted, and wanted right`() async throws {
        try await withServer(listensOnTCP: true, password: "secret") { server in
            #expect(try await failure(server.url) == nil)
            #expect(try await failure("unix://:secret@\(server.socketPath)") == nil)
            #expect(try await failure(server.url(password: "hunter2"))?.code == .authenticationFailed)
            let without = try await failure("unix://\(server.socketPath)")
            #expect(without?.code == .authenticationFailed)
            #expect(without?.message.contains("wants a password") == true)
        }
    }

    @Test func `a database that the server does not have is named`() async throws {
        try await withServer { server in
            let failure = try await failure(server.url(database: 99))
            #expect(failure?.code == .cannotConnect)
            #expect(failure?.message.contains("cannot use database 99") == true)
        }
    }

    @Test func `a server that is full of clients says so`() async throws {
        try await withServer(options: ["maxclients": "1"]) { server in
            let first = try node(server.url)
            _ = try await first.send(get, key: "key")
            #expect(try await failure(server.url)?.message.contains("max number of clients reached") == true)
            await first.close()
        }
    }

    // MARK: Commands

    @Test func `a pipeline of ten thousand commands, a large value and odd bytes come back as they went`() async throws
    {
        try await withServer { server in
            let node = try node(server.url)
            let bytes = (0..<1_000_000).map { UInt8(truncatingIfNeeded: $0) }
            var batch = RedisBatch(key: "key", commands: [RedisCommand("SET", "key", .bytes(bytes)), get])
            for number in 0..<10_000 {
                batch.append(RedisCommand("ECHO", .init(number)))
            }
            let replies = try await node.send([batch])
            #expect(replies.first?[1] == .bulk(bytes))
            #expect(replies.first?.dropFirst(2).map(\.int64) == (0..<10_000).map(Int64.init))
            await node.close()
        }
    }

    @Test func `many callers at once get each its own reply`() async throws {
        try await withServer { server in
            let node = try node(server.url)
            try await withThrowingTaskGroup { group in
                for number in 0..<2_000 {
                    group.addTask {
                        let batch = RedisBatch(
                            key: "",
                            commands: [RedisCommand("ECHO", .init(number)), RedisCommand("NONSENSE")],
                            isTransaction: number.isMultiple(of: 3)
                        )
                        let replies = try await node.send([batch])
                        let echo = number.isMultiple(of: 3) ? nil : Int64(number)
                        #expect(replies.first?.first?.int64 == echo)
                        #expect(replies.first?.last?.error?.code == "ERR")
                    }
                }
                try await group.waitForAll()
            }
            // One of all these callers: the other is that of the question.
            #expect(try await server.command("INFO", "clients").contains("connected_clients:2"))
            await node.close()
        }
    }

    @Test func `an error inside a transaction stands in its place, one in front of it aborts it`() async throws {
        try await withServer { server in
            let node = try node(server.url)
            let inside = RedisBatch(
                key: "key",
                commands: [
                    RedisCommand("SET", "key", 1), RedisCommand("LPUSH", "key", 1), RedisCommand("INCR", "key"),
                ],
                isTransaction: true
            )
            let inFront = RedisBatch(
                key: "key",
                commands: [RedisCommand("SET", "key", 9), RedisCommand("NONSENSE")],
                isTransaction: true
            )
            let replies = try await node.send([inside, inFront, RedisBatch(key: "key", commands: [get])])
            #expect(replies[0].map(\.error?.code) == [nil, .wrongType, nil])
            #expect(replies[0].last == .integer(2))
            #expect(replies[1].map(\.error?.code) == [.transactionAborted, .generic])
            #expect(replies[2].first?.int64 == 2)
            await node.close()
        }
    }

    @Test func `a full server and a replica refuse writes with their codes`() async throws {
        try await withServer(options: ["maxmemory": "1", "maxmemory-policy": "noeviction"]) { server in
            let node = try node(server.url)
            let batch = RedisBatch(key: "key", commands: [RedisCommand("SET", "key", 1), get])
            #expect(try await node.send([batch]).first?.map(\.error?.code) == [.outOfMemory, nil])
            try await server.command("REPLICAOF", "127.0.0.1", "1")
            #expect(try await node.send([batch]).first?.first?.error?.code == .readOnly)
            await node.close()
        }
    }

    @Test func `scripts work at first, by hash, after being forgotten and beside ones that are known`() async throws {
        try await withServer { server in
            let node = try node(server.url)
            let add = RedisScript(name: "add", source: "return redis.call('INCRBY', KEYS[1], ARGV[1])")
            let fail = RedisScript(name: "fail", source: "return redis.error_reply('MINE went wrong')")
            var batch = RedisBatch(key: "key", commands: [RedisCommand("SET", "key", 0)])
            batch.append(add, keys: ["key"], arguments: [1])
            batch.append(fail, keys: ["key"])
            batch.append(add, keys: ["key"], arguments: [10])
            for _ in 0..<3 {
                let replies = try await node.send([batch, batch]).map { $0.map { $0.error?.code.rawValue ?? "\($0)" } }
                #expect(replies == [["simple(\"OK\")", "integer(1)", "MINE", "integer(11)"]] + [replies[1]])
                try await server.command("SCRIPT", "FLUSH")
                // Of two forgotten scripts, one is known again by the time the pipeline runs.
                try await server.command("SCRIPT", "LOAD", fail.source)
            }
            await node.close()
        }
    }

    // MARK: Failure

    @Test func `a killed server fails the calls under way, and is used again once it is back`() async throws {
        try await withServer(listensOnTCP: true) { server in
            let node = try node(server.url)
            let script = RedisScript(name: "one", source: "return 1")
            let batch = RedisBatch(key: "key", commands: [.script(script, keys: [], arguments: [])])
            #expect(try await node.send([batch]) == [[.integer(1)]])
            try server.suspend()
            async let failure = error { try await node.send([batch]) }
            try await server.kill()
            // By connection lost, or refused where the call came after.
            #expect(await [.connectionLost, .cannotConnect].contains(failure?.code))
            try await server.startAgain()
            // A failed attempt is not repeated at once: calls fail with its reason until the pause is over.
            while let failure = await error({ try await node.send([RedisBatch(key: "", commands: [get])]) }) {
                #expect([.cannotConnect, .connectionLost].contains(failure.code))
                await Task.yield()
            }
            // The new server knows no script.
            #expect(try await node.send([batch]) == [[.integer(1)]])
            await node.close()
        }
    }

    @Test func `a server that stands still costs a caller its time limit and no more, and serves again later`()
        async throws
    {
        try await withServer { server in
            let node = try node(server.url)
            _ = try await node.send(get, key: "key")
            try server.suspend()
            let failures = await withTaskGroup { group in
                for _ in 0..<20 {
                    group.addTask {
                        await error { try await node.send(get, key: "key", timeLimit: .milliseconds(100)) }?.code
                    }
                }
                return await group.reduce(into: Set<RedisError.Code?>()) { $0.insert($1) }
            }
            // The first one's limit closes the connection for those behind it; later ones wait for a new one in vain.
            #expect(failures.contains(.timedOut))
            #expect(failures.subtracting([.timedOut, .connectionLost]).isEmpty)
            try server.resume()
            #expect(try await node.send(get, key: "key").isNull)
            await node.close()
        }
    }

    @Test func `cancelled callers return at once while the server stands still, and the others get their replies`()
        async throws
    {
        try await withServer { server in
            let node = try node(server.url)
            _ = try await node.send(get, key: "key")
            try server.suspend()
            let cancelled = (0..<100).map { _ in Task { await error { try await node.send(get, key: "key") } } }
            let kept = (0..<100).map { number in
                Task { try await node.send(RedisCommand("ECHO", .init(number)), key: "key").int64 }
            }
            for task in cancelled { task.cancel() }
            for task in cancelled { #expect(await task.value?.code == .cancelled) }
            try server.resume()
            for (number, task) in kept.enumerated() { #expect(try await task.value == Int64(number)) }
            await node.close()
        }
    }

    @Test func `closing leaves no connection at the server`() async throws {
        try await withServer { server in
            let node = try node(server.url)
            _ = try await node.send(get, key: "key")
            #expect(try await server.command("CLIENT", "LIST").contains("name=freshet"))
            await node.close()
            // The server takes note of it in its own time.
            while try await server.command("CLIENT", "LIST").contains("name=freshet") { await Task.yield() }
            #expect(await error { try await node.send(get, key: "key") }?.code == .closed)
        }
    }
}
