import Dispatch
import Foundation
import Glibc
import LocalServices
import Logging
import Postgres
import Synchronization
import Testing

/// A server for all tests of this file that leave it standing.
private let shared = Task { try await LocalPostgres.start(listensOnTCP: true) }

private func connect(
    _ server: LocalPostgres,
    application: String = "test",
    queryTimeLimit: Duration = .seconds(30),
    logger: Logger = Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() })
) async throws -> PostgresConnection {
    let configuration = PostgresConfiguration(
        connectionString: server.connectionString(),
        applicationName: application,
        queryTimeLimit: queryTimeLimit
    )
    return try await PostgresConnection.connect(configuration, logger: logger)
}

/// The entries of a directory of /proc/self.
private func ownEntries(_ kind: String) -> Int {
    guard let directory = opendir("/proc/self/\(kind)") else { return -1 }
    defer { closedir(directory) }
    var count = 0
    while readdir(directory) != nil { count += 1 }
    return count
}

extension PostgresConnection {
    fileprivate func int(_ sql: String, _ parameters: [PostgresParameter] = []) async throws -> Int64 {
        let result = try await query(sql, parameters)
        return try result.requiredInt64(0, 0)
    }

    fileprivate func failure(_ sql: String, timeLimit: Duration? = nil) async -> PostgresError? {
        await #expect(throws: PostgresError.self) { _ = try await query(sql, timeLimit: timeLimit) }
    }

    /// Waits until the session of this process id executes a statement.
    fileprivate func waitUntilBusy(_ other: Int32) async throws {
        let sql = "SELECT count(*) FROM pg_stat_activity WHERE pid = $1 AND state = 'active' AND wait_event IS NOT NULL"
        while try await int(sql, [PostgresParameter(other)]) == 0 { await Task.yield() }
    }
}

@Suite struct PostgresConnectionTests {
    // MARK: Statements

    @Test func `values go to the server and come back as they were`() async throws {
        let connection = try await connect(try await shared.value)
        let result = try await connection.query(
            "SELECT $1::bigint AS a, $2::text AS b, $3::bool AS c, $4::bigint[] AS d, $5::text[] AS e, $6::float8 AS f, "
                + "$7::bigint AS g, '{}'::bigint[] AS h",
            [
                -9_223_372_036_854_775_808, "it's \\ \"quoted\" 😀\n", true, .array([1, nil, 3] as [Int64?]),
                .array(["", nil, "NULL", "a,b", "{\"x\\y\"}"] as [String?]), 0.1, nil,
            ]
        )
        #expect(result.rowCount == 1)
        #expect(result.columnCount == 8)
        #expect(try result.int64(0, 0) == .min)
        #expect(result.string(0, 1) == "it's \\ \"quoted\" 😀\n")
        #expect(try result.bool(0, 2) == true)
        #expect(try result.int64Array(0, 3) == [1, nil, 3])
        #expect(try result.stringArray(0, 4) == ["", nil, "NULL", "a,b", "{\"x\\y\"}"])
        #expect(try result.double(0, 5) == 0.1)
        #expect(try result.int64(0, 6) == nil)
        #expect(result.isNull(0, 6) == true)
        #expect(try result.int64Array(0, 7) == [])
        #expect(result.columnIndex(named: "d") == 3)
        #expect(result.columnIndex(named: "D") == nil)
        var code: PostgresError.Code?
        do { _ = try result.int64(0, 1) } catch { code = error.code }
        #expect(code == .badResult)
        do { _ = try result.requiredInt64(0, 6) } catch { code = error.code }
        #expect(code == .badResult)
        await connection.close()
    }

    @Test func `the number of rows affected and the command are told`() async throws {
        let connection = try await connect(try await shared.value)
        try await connection.run(script: "CREATE TEMP TABLE t (id int); INSERT INTO t VALUES (1), (2)")
        let result = try await connection.query("INSERT INTO t SELECT generate_series(3, 7)")
        #expect(result.affectedRows == 5)
        #expect(result.commandTag == "INSERT 0 5")
        #expect(result.rowCount == 0)
        #expect(try await connection.int("SELECT count(*) FROM t") == 7)
    }

    @Test func `prepared statements are executed by their name`() async throws {
        let connection = try await connect(try await shared.value)
        try await connection.prepare("double", "SELECT 2 * $1::bigint")
        for number in 1...3 as ClosedRange<Int64> {
            let result = try await connection.execute(prepared: "double", [PostgresParameter(number)])
            #expect(try result.int64(0, 0) == 2 * number)
        }
        let error = await #expect(throws: PostgresError.self) { _ = try await connection.execute(prepared: "nothing") }
        #expect(error?.sqlState == .invalidStatementName)
    }

    @Test func `a refused statement says why and leaves the connection as it was`() async throws {
        let connection = try await connect(try await shared.value)
        let error = await connection.failure("SELECT * FROM nothing")
        #expect(error?.code == .server)
        #expect(error?.sqlState == .undefinedTable)
        #expect(error?.message.contains("relation \"nothing\" does not exist") == true)
        #expect(error?.file == #fileID)
        let inScript = await #expect(throws: PostgresError.self) {
            try await connection.run(script: "CREATE TEMP TABLE half (id int); SELECT 1/0; SELECT 1")
        }
        #expect(inScript?.sqlState?.rawValue == "22012")
        #expect(await connection.failure("SELECT * FROM half")?.sqlState == .undefinedTable)
        #expect(try await connection.int("SELECT 1") == 1)
    }

    @Test func `the transaction status is known`() async throws {
        let connection = try await connect(try await shared.value)
        #expect(await connection.transactionStatus == .idle)
        _ = try await connection.query("BEGIN")
        #expect(await connection.transactionStatus == .inTransaction)
        _ = await connection.failure("SELECT 1/0")
        #expect(await connection.transactionStatus == .inFailedTransaction)
        _ = try await connection.query("ROLLBACK")
        #expect(await connection.transactionStatus == .idle)
        await connection.close()
        #expect(await connection.transactionStatus == .unknown)
    }

    @Test func `large statements and large results pass in both directions`() async throws {
        let connection = try await connect(try await shared.value)
        let text = String(repeating: "0123456789abcdef", count: 1_000_000)
        let result = try await connection.query("SELECT $1::text, length($1)", [PostgresParameter(text)])
        #expect(result.string(0, 0) == text)
        let ids = PostgresParameter.array(Int64(1)...100_000)
        #expect(
            try await connection.int("SELECT sum(id)::bigint FROM unnest($1::bigint[]) AS id", [ids]) == 5_000_050_000
        )
        let rows = try await connection.query("SELECT generate_series(1, 100000)")
        #expect(rows.rowCount == 100_000)
        #expect(try rows.int64(99_999, 0) == 100_000)
    }

    @Test func `statements of many tasks take turns on one connection`() async throws {
        let connection = try await connect(try await shared.value)
        try await withThrowingTaskGroup { group in
            for number in 0..<200 as Range<Int64> {
                group.addTask { try await connection.int("SELECT $1::bigint", [PostgresParameter(number)]) == number }
            }
            for try await isRight in group { #expect(isRight) }
        }
    }

    @Test func `COPY with the client ends the connection instead of hanging it`() async throws {
        let server = try await shared.value
        for sql in ["COPY (SELECT 1) TO STDOUT", "COPY pg_catalog.pg_am FROM STDIN"] {
            let connection = try await connect(server)
            let error = await #expect(throws: PostgresError.self) {
                try await connection.run(script: "SET allow_system_table_mods = on; " + sql)
            }
            #expect(error?.code == .badResult)
            #expect(await connection.isClosed)
        }
    }

    @Test func `a NUL character is refused before anything is sent`() async throws {
        let connection = try await connect(try await shared.value)
        #expect(await connection.failure("SELECT 'a\0b'")?.code == .invalidParameter)
        let error = await #expect(throws: PostgresError.self) { _ = try await connection.query("SELECT $1", ["a\0b"]) }
        #expect(error?.code == .invalidParameter)
        #expect(try await connection.int("SELECT 1") == 1)
    }

    // MARK: Time limits and cancellation

    @Test func `a statement that takes too long is stopped and the connection stays usable`() async throws {
        let connection = try await connect(try await shared.value)
        let error = await connection.failure("SELECT pg_sleep(600)", timeLimit: .milliseconds(50))
        #expect(error?.code == .timedOut)
        #expect(error?.sqlState == .queryCanceled)
        #expect(try await connection.int("SELECT 1") == 1)
    }

    @Test func `a cancelled statement is stopped on the server and the connection stays usable`() async throws {
        let server = try await shared.value
        let connection = try await connect(server)
        let observer = try await connect(server)
        let task = Task { _ = try await connection.query("SELECT pg_sleep(600)") }
        try await observer.waitUntilBusy(connection.backendPID)
        task.cancel()
        let error = await #expect(throws: PostgresError.self) { try await task.value }
        #expect(error?.code == .cancelled)
        #expect(error?.sqlState == .queryCanceled)
        #expect(try await connection.int("SELECT 1") == 1)
    }

    @Test func `a cancel request never hits the statement after the cancelled one`() async throws {
        let connection = try await connect(try await shared.value)
        for _ in 0..<300 {
            let task = Task { _ = try await connection.query("SELECT 1") }
            task.cancel()
            // Cancelled or done, both are right.
            _ = await task.result
            #expect(try await connection.int("SELECT 2") == 2)
        }
    }

    @Test func `who waits for a turn can be cancelled, or time out, without harm to the others`() async throws {
        let server = try await shared.value
        let connection = try await connect(server)
        let observer = try await connect(server)
        let first = Task { _ = try await connection.query("SELECT pg_advisory_lock_shared(1), pg_sleep(600)") }
        try await observer.waitUntilBusy(connection.backendPID)
        let cancelled = Task { try await connection.int("SELECT 2") }
        cancelled.cancel()
        let error = await #expect(throws: PostgresError.self) { try await cancelled.value }
        #expect(error?.code == .cancelled)
        let late = await connection.failure("SELECT 3", timeLimit: .milliseconds(20))
        #expect(late?.code == .timedOut)
        async let next = connection.int("SELECT 4")
        first.cancel()
        #expect(try await next == 4)
        _ = await first.result
    }

    @Test func `a server that does not answer is given up, and nothing is left behind`() async throws {
        let server = try await LocalPostgres.start()
        let connection = try await connect(server)
        try server.suspend()
        let error = await connection.failure("SELECT 1", timeLimit: .milliseconds(50))
        #expect(error?.code == .timedOut)
        #expect(await connection.isClosed)
        #expect(await connection.failure("SELECT 1") != nil)
        try server.resume()
        await server.destroy()
    }

    @Test func `closing ends what is under way`() async throws {
        let server = try await shared.value
        let connection = try await connect(server)
        let observer = try await connect(server)
        let statement = Task { _ = try await connection.query("SELECT pg_sleep(600)") }
        try await observer.waitUntilBusy(connection.backendPID)
        let queued = Task { _ = try await connection.query("SELECT 1") }
        let listening = Task { _ = try await connection.nextNotification(until: .now + .seconds(600)) }
        await connection.close()
        await connection.close()
        for task in [statement, queued, listening] {
            let error = await #expect(throws: PostgresError.self) { try await task.value }
            #expect(error?.code == .closed)
        }
    }

    /// In a process of its own: other tests have threads and descriptors, too.
    @Test func `connections leave no thread and no descriptor behind`() async throws {
        try await runThisProgram(filter: "PostgresConnectionTests.*in a process of their own", [Self.isAlone: "1"])
    }

    private static let isAlone = "FRESHET_TEST_CONNECTIONS_ALONE"

    @Test(.enabled(if: ProcessInfo.processInfo.environment[isAlone] != nil))
    func `connections in a process of their own`() async throws {
        let server = try await LocalPostgres.start()
        func use() async throws {
            let connection = try await connect(server)
            _ = await connection.failure("SELECT pg_sleep(600)", timeLimit: .milliseconds(5))
            let task = Task { _ = try await connection.query("SELECT pg_sleep(600)") }
            task.cancel()
            _ = await task.result
            let waiting = Task { _ = try await connection.nextNotification(until: .now + .seconds(600)) }
            waiting.cancel()
            _ = await waiting.result
        }
        try await use()
        // The pool's threads come and go; a leak would only ever grow.
        var lowest = (threads: Int.max, descriptors: Int.max)
        let before = (threads: ownEntries("task"), descriptors: ownEntries("fd"))
        for _ in 0..<40 { try await use() }
        for _ in 0..<2_000 {
            lowest = (min(lowest.threads, ownEntries("task")), min(lowest.descriptors, ownEntries("fd")))
            if lowest.threads < before.threads + 20, lowest.descriptors < before.descriptors + 40 { break }
            await Task.yield()
        }
        #expect(lowest.threads < before.threads + 20)
        #expect(lowest.descriptors < before.descriptors + 40)
        await server.destroy()
    }

    // MARK: Notifications

    @Test func `a notification wakes who waits for it`() async throws {
        let server = try await shared.value
        let listener = try await connect(server)
        let sender = try await connect(server)
        _ = try await listener.query("LISTEN wake")
        async let waiting = listener.nextNotification(until: .now + .seconds(60))
        _ = try await sender.query("SELECT pg_notify('wake', 'now')")
        let notification = try await waiting
        #expect(
            notification == PostgresNotification(channel: "wake", payload: "now", backendPID: sender.backendPID)
        )
    }

    @Test func `notifications that arrive during statements are kept, in order`() async throws {
        let server = try await shared.value
        let listener = try await connect(server)
        let sender = try await connect(server)
        _ = try await listener.query("LISTEN during")
        for number in 0..<5 { _ = try await sender.query("SELECT pg_notify('during', '\(number)')") }
        _ = try await listener.query("SELECT 1")
        for number in 5..<10 { _ = try await sender.query("SELECT pg_notify('during', '\(number)')") }
        var payloads: [String] = []
        for _ in 0..<10 {
            payloads.append(try await listener.nextNotification(until: .now + .seconds(60))?.payload ?? "none")
        }
        #expect(payloads == (0..<10).map { "\($0)" })
        #expect(try await listener.nextNotification(until: .now) == nil)
    }

    @Test func `a statement can be executed while another task waits for a notification`() async throws {
        let server = try await shared.value
        let listener = try await connect(server)
        _ = try await listener.query("LISTEN own")
        async let waiting = listener.nextNotification(until: .now + .seconds(60))
        #expect(try await listener.int("SELECT 1") == 1)
        _ = try await listener.query("NOTIFY own")
        #expect(try await waiting?.channel == "own")
    }

    @Test func `who looks for notifications never keeps the answer of a statement`() async throws {
        let limit: Duration = .seconds(10)
        let connection = try await connect(try await shared.value, queryTimeLimit: limit)
        let looking = Task {
            while !Task.isCancelled { _ = try await connection.nextNotification(until: .now) }
        }
        var slowest: Duration = .zero
        for _ in 0..<500 where slowest < limit {
            let started = ContinuousClock.now
            _ = try await connection.query("SELECT 1")
            slowest = max(slowest, .now - started)
        }
        // A statement whose answer was kept from it would find it at its time limit only.
        #expect(slowest < limit)
        looking.cancel()
        _ = await looking.result
    }

    @Test func `no notification is lost between many statements and many waits`() async throws {
        let server = try await shared.value
        let listener = try await connect(server)
        let sender = try await connect(server)
        _ = try await listener.query("LISTEN flood")
        async let busy: Void = {
            for _ in 0..<300 { _ = try await listener.query("SELECT 1") }
        }()
        async let sending: Void = {
            for number in 0..<300 { _ = try await sender.query("SELECT pg_notify('flood', '\(number)')") }
        }()
        var payloads: [String] = []
        while payloads.count < 300, let next = try await listener.nextNotification(until: .now + .seconds(60)) {
            payloads.append(next.payload)
        }
        #expect(payloads == (0..<300).map { "\($0)" })
        _ = try await (busy, sending)
    }

    @Test func `of notifications that nobody asks for only the newest are kept, until discarded`() async throws {
        let server = try await shared.value
        let listener = try await connect(server)
        _ = try await listener.query("LISTEN unasked")
        let limit = PostgresConnection.notificationLimit
        _ = try await listener.query(
            "SELECT pg_notify('unasked', number::text) FROM generate_series(1, \(limit + 500)) AS number"
        )
        #expect(try await listener.nextNotification(until: .now + .seconds(60))?.payload == "501")
        _ = await listener.takeNotifications()
        #expect(try await listener.nextNotification(until: .now) == nil)
        _ = try await listener.query("NOTIFY unasked")
        #expect(try await listener.nextNotification(until: .now + .seconds(60))?.payload == "")
    }

    @Test func `waiting for a notification ends at the deadline and at a cancellation`() async throws {
        let connection = try await connect(try await shared.value)
        #expect(try await connection.nextNotification(until: .now + .milliseconds(5)) == nil)
        for _ in 0..<50 {
            let task = Task { _ = try await connection.nextNotification(until: .now + .seconds(600)) }
            task.cancel()
            let error = await #expect(throws: PostgresError.self) { try await task.value }
            #expect(error?.code == .cancelled)
        }
        #expect(try await connection.int("SELECT 1") == 1)
    }

    // MARK: Threads

    /// Continuations resume on the pool where no executor is preferred, and each answer would take two threads more.
    @Test func `an answer needs no thread of the pool`() async throws {
        let connection = try await connect(try await shared.value)
        let probe = Probe(connection)
        let isAnswered = await withCheckedContinuation { continuation in
            // Not on the pool, every thread of which is held while Postgres takes its time.
            DispatchQueue(label: "test").async {
                Task { try await probe.ask() }
                probe.sent.wait()
                let (held, released) = (DispatchSemaphore(value: 0), DispatchSemaphore(value: 0))
                let threads = ProcessInfo.processInfo.activeProcessorCount
                // More than there are, because the pool grows where its threads stand still.
                for _ in 0..<(8 * threads) {
                    Task {
                        held.signal()
                        Self.block(on: released)
                    }
                }
                for _ in 0..<threads { held.wait() }
                let isAnswered = probe.answered.wait(timeout: .now() + .seconds(30)) == .success
                for _ in 0..<(8 * threads) { released.signal() }
                continuation.resume(returning: isAnswered)
            }
        }
        #expect(isAnswered)
        await connection.close()
    }

    @Test(.timeLimit(.minutes(2)))
    func `a connection that is closed leaves nobody waiting, however it meets them`() async throws {
        for _ in 0..<100 {
            let connection = try await connect(try await shared.value)
            // The backend goes on until its statement has ended.
            let waiting = (0..<3).map { _ in Task { _ = try await connection.query("SELECT pg_sleep(0.1)") } }
            let listening = Task { try await connection.nextNotification(until: .now + .seconds(300)) }
            let closing = Task { await connection.close() }
            await closing.value
            // Whoever is not found waits for the 30 s that a statement may take, or for ever.
            let rest = await ContinuousClock().measure {
                for task in waiting { _ = await task.result }
                await #expect(throws: PostgresError.self) { _ = try await listening.value }
            }
            #expect(rest < .seconds(10))
        }
    }

    private static func block(on semaphore: DispatchSemaphore) { semaphore.wait() }

    /// Asks on the connection's own thread.
    private actor Probe {
        nonisolated let sent = DispatchSemaphore(value: 0)
        nonisolated let answered = DispatchSemaphore(value: 0)
        private nonisolated let connection: PostgresConnection
        nonisolated var unownedExecutor: UnownedSerialExecutor { connection.unownedExecutor }

        init(_ connection: PostgresConnection) { self.connection = connection }

        func ask() async throws {
            sent.signal()
            _ = try await connection.query("SELECT pg_sleep(0.3)")
            answered.signal()
        }
    }

    // MARK: The end of a connection

    @Test func `who waits for a notification learns that the session was terminated, and why`() async throws {
        let server = try await shared.value
        let listener = try await connect(server)
        let other = try await connect(server)
        let task = Task { _ = try await listener.nextNotification(until: .now + .seconds(600)) }
        _ = try await other.query("SELECT pg_terminate_backend($1)", [PostgresParameter(listener.backendPID)])
        let error = await #expect(throws: PostgresError.self) { try await task.value }
        #expect(error?.code == .connectionLost)
        #expect(error?.sqlState == .adminShutdown)
        #expect(error?.isRetryable == true)
        #expect(await !listener.isUsable)
        #expect(await listener.failure("SELECT 1")?.code == .connectionLost)
    }

    @Test func `a statement whose session is terminated learns why`() async throws {
        let server = try await shared.value
        let connection = try await connect(server)
        let other = try await connect(server)
        let task = Task { _ = try await connection.query("SELECT pg_sleep(600)") }
        try await other.waitUntilBusy(connection.backendPID)
        _ = try await other.query("SELECT pg_terminate_backend($1)", [PostgresParameter(connection.backendPID)])
        let error = await #expect(throws: PostgresError.self) { try await task.value }
        #expect(error?.code == .connectionLost)
        #expect(error?.sqlState == .adminShutdown)
        #expect(await connection.isClosed)
    }

    @Test func `an idle connection to a server that went away is found out`() async throws {
        let server = try await LocalPostgres.start()
        let connection = try await connect(server)
        try await server.stop(.immediate)
        #expect(await !connection.isUsable)
        let again = await #expect(throws: PostgresError.self) { _ = try await connect(server) }
        #expect(again?.code == .cannotConnect)
        await server.destroy()
    }

    // MARK: Connecting

    @Test func `the session has the name, the encoding and the process id that it says`() async throws {
        let connection = try await connect(try await shared.value, application: "who I am")
        let result = try await connection.query(
            "SELECT current_setting('application_name'), current_setting('client_encoding'), pg_backend_pid()"
        )
        #expect(result.string(0, 0) == "who I am")
        #expect(result.string(0, 1) == "UTF8")
        #expect(try result.int64(0, 2) == Int64(connection.backendPID))
        #expect(connection.serverVersion / 10_000 >= 15)
    }

    @Test func `each reason of a refused connection has its code`() async throws {
        let certificates = try await LocalCertificates.make()
        let strangers = try await LocalCertificates.make()
        let server = try await LocalPostgres.start(
            settings: ["max_connections": "7", "superuser_reserved_connections": "3"],
            listensOnTCP: true,
            password: "s3cret word",
            certificates: certificates
        )
        func failure(_ string: String) async -> PostgresError? {
            let error = await #expect(throws: PostgresError.self) {
                _ = try await PostgresConnection.connect(
                    PostgresConfiguration(connectionString: string),
                    logger: Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() })
                )
            }
            #expect(error?.message.contains("s3cret") == false)
            #expect(error?.message.contains("\n") == false)
            return error
        }
        let good = try server.tcpConnectionString()
        let connection = try await PostgresConnection.connect(
            PostgresConfiguration(connectionString: good),
            logger: Logger(label: "test")
        )
        #expect(await connection.isEncrypted)
        await connection.close()
        let password = await failure(try server.tcpConnectionString(password: "s3cret wrong"))
        #expect(password?.code == .authenticationFailed)
        #expect(password?.sqlState == .invalidPassword)
        #expect(await failure(good + " sslmode=disable")?.sqlState == .invalidAuthorization)
        let database = await failure(try server.tcpConnectionString(database: "nothing"))
        #expect(database?.code == .databaseMissing)
        #expect(database?.sqlState == .invalidCatalogName)
        #expect(await failure(good + " sslrootcert=\(strangers.authorityFile)")?.code == .tlsFailed)
        #expect(await failure(good + " sslrootcert=/nowhere")?.code == .tlsFailed)
        let socket = server.connectionString()
        #expect(await failure(socket + " user=nobody_here")?.code == .authenticationFailed)
        try await server.psql("CREATE ROLE plain LOGIN")
        var held: [PostgresConnection] = []
        var refusal: PostgresError?
        // No fixed number, for sessions that were closed before may still be on their way out.
        while refusal == nil, held.count < 8 {
            do {
                held.append(
                    try await PostgresConnection.connect(
                        PostgresConfiguration(connectionString: socket + " user=plain"),
                        logger: Logger(label: "test")
                    )
                )
            } catch let error as PostgresError {
                refusal = error
            }
        }
        #expect(refusal?.code == .tooManyConnections)
        await server.destroy()
        certificates.destroy()
        strangers.destroy()
    }

    @Test func `of several hosts the one that takes writes is chosen`() async throws {
        let primary = try await LocalPostgres.start(listensOnTCP: true)
        let standby = try await primary.createStandby()
        var configuration = PostgresConfiguration(
            connectionString: "host=127.0.0.1,127.0.0.1,127.0.0.1 port=1,\(standby.port),\(primary.port) "
                + "user=postgres dbname=postgres",
            requiresReadWrite: true
        )
        let connection = try await PostgresConnection.connect(configuration, logger: Logger(label: "test"))
        let result = try await connection.query("SELECT pg_is_in_recovery()")
        #expect(try result.bool(0, 0) == false)
        configuration.connectionString = standby.connectionString()
        let error = await #expect(throws: PostgresError.self) {
            _ = try await PostgresConnection.connect(configuration, logger: Logger(label: "test"))
        }
        #expect(error?.code == .unsuitableServer)
        await standby.destroy()
        await primary.destroy()
    }

    @Test func `notices go to the log and nowhere else`() async throws {
        let records = RecordingLog()
        let connection = try await connect(
            try await shared.value,
            logger: Logger(label: "test", factory: { _ in records })
        )
        try await connection.run(script: "DO $$ BEGIN RAISE WARNING 'look here'; END $$")
        #expect(records.lines.withLock { $0 } == ["debug look here"])
    }

    // MARK: The pool

    @Test func `a pool lends connections, rolls back what was left open and replaces what broke`() async throws {
        let server = try await LocalPostgres.start()
        let pool = PostgresPool(
            configuration: PostgresConfiguration(connectionString: server.connectionString()),
            maximumConnections: 2,
            logger: Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() })
        )
        struct Mishap: Error {}
        let first = try await pool.withConnection { $0.backendPID }
        await #expect(throws: Mishap.self) {
            try await pool.withConnection { connection in
                _ = try await connection.query("BEGIN")
                _ = try await connection.query("CREATE TABLE left_open (id int)")
                throw Mishap()
            }
        }
        try await pool.withConnection { connection in
            #expect(connection.backendPID == first)
            #expect(await connection.transactionStatus == .idle)
        }
        _ = try await server.psql("SELECT pg_terminate_backend(\(first), 60000)")
        #expect(try await pool.withConnection { try await $0.int("SELECT 1") } == 1)
        try await server.restart(.immediate)
        #expect(try await pool.withConnection { try await $0.int("SELECT 1") } == 1)
        try await withThrowingTaskGroup { group in
            for _ in 0..<50 {
                group.addTask { try await pool.withConnection { try await $0.int("SELECT 1") } }
            }
            for try await value in group { #expect(value == 1) }
        }
        #expect(
            try await server.psql(
                "SELECT count(*) <= 2 FROM pg_stat_activity WHERE application_name = 'freshet'"
            ) == "t\n"
        )
        await pool.close()
        await server.destroy()
    }
}

/// Keeps what is logged.
private final class RecordingLog: LogHandler, Sendable {
    let lines = Mutex<[String]>([])

    var logLevel: Logger.Level {
        get { .trace }
        set {}
    }
    var metadata: Logger.Metadata {
        get { [:] }
        set {}
    }

    subscript(metadataKey _: String) -> Logger.Metadata.Value? {
        get { nil }
        set {}
    }

    func log(event: LogEvent) {
        lines.withLock { $0.append("\(event.level) \(event.metadata?["message"].map { "\($0)" } ?? "")") }
    }
}
