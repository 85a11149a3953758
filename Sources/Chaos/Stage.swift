import Glibc
import History
import LocalServices
import Logging
import Migrations
import Postgres
import Synchronization

/// Everything that runs: the servers, the lines to them, and the processes of the load.
final class Stage: Sendable {
    struct Settings: Sendable {
        var seed: UInt64
        var lease: Duration
        var degradedAge: Duration
        var cache: CacheKind
        /// Where records go.
        var folder: String
    }

    /// A client's process and its ways.
    private struct Client: Sendable {
        var program: LocalProgram
        var redis: Line
        var postgres: [Line]
        /// Its host's time of day; nil where that cannot be set.
        var clock: SteppableClock?
        /// Files, without the number of the start.
        var records: [String]
    }

    let settings: Settings
    let redis: RedisPair
    let postgres: PostgresPair
    private let clients: [Fault.Client: Client]
    /// What the clients' clocks are kept beside.
    private let clock: SteppableClock?
    private let redisPlace: Destination
    private let postgresPlaces: [Destination]

    private init(
        settings: Settings,
        redis: RedisPair,
        postgres: PostgresPair,
        clients: [Fault.Client: Client],
        clock: SteppableClock?,
        redisPlace: Destination,
        postgresPlaces: [Destination]
    ) {
        self.settings = settings
        self.redis = redis
        self.postgres = postgres
        self.clients = clients
        self.clock = clock
        self.redisPlace = redisPlace
        self.postgresPlaces = postgresPlaces
    }

    // MARK: Setting up

    static func set(_ settings: Settings) async throws -> Stage {
        let redisPlace = Destination()
        let places = [Destination(), Destination()]
        async let redis = RedisPair.start(to: redisPlace)
        let postgres = try await PostgresPair.start(to: places[0], and: places[1], furnish: furnish)
        let clock = try await SteppableClock.make()
        var clients: [Fault.Client: Client] = [:]
        for name in Fault.Client.allCases {
            clients[name] = try await client(name, settings, redisPlace, places, try clock?.another(for: name.name))
        }
        return Stage(
            settings: settings,
            redis: try await redis,
            postgres: postgres,
            clients: clients,
            clock: clock,
            redisPlace: redisPlace,
            postgresPlaces: places
        )
    }

    /// Whether the clocks of Redis, of Postgres and of the clients can be set.
    var setsClocks: Bool {
        get async {
            guard clock != nil else { return false }
            return await redis.setsClock
        }
    }

    private static func furnish(_ postgres: LocalPostgres) async throws {
        try await postgres.createDatabase(ChaosData.database)
        let tables = ApplicationTables.statements(cascading: true) + ChaosData.tables
        try await postgres.psql(tables, database: ChaosData.database)
        let administrator = PostgresConfiguration(
            connectionString: postgres.connectionString(database: ChaosData.database)
        )
        let migrator = Migrator(configuration: administrator, logger: .client("migrator"))
        _ = try await migrator.migrate(tables: AttachedTables())
        try await postgres.psql(ChaosData.roles, database: ChaosData.database)
    }

    private static func client(
        _ name: Fault.Client,
        _ settings: Settings,
        _ redisPlace: Destination,
        _ places: [Destination],
        _ clock: SteppableClock?
    ) async throws -> Client {
        let redis = Line(to: redisPlace)
        let postgres = places.map { Line(to: $0) }
        let url = "redis://127.0.0.1:\(try await redis.start())"
        var ports: [String] = []
        for line in postgres { ports.append("\(try await line.start())") }
        let user =
            switch name {
            case .worker1, .worker2: ChaosData.worker
            case .readerShared, .readerAlone, .readerNear: ChaosData.reader
            case .writer: ChaosData.writer
            }
        let connection = """
            host=127.0.0.1,127.0.0.1 port=\(ports.joined(separator: ",")) dbname=\(ChaosData.database) user=\(user) \
            target_session_attrs=read-write sslmode=disable gssencmode=disable
            """
        let records = (name == .writer ? ["written", "read"] : ["read"]).map { "\(settings.folder)/\(name.name).\($0)" }
        let folder = try executableFolder()
        var arguments: [String]
        switch name {
        case .worker1, .worker2:
            let lease = settings.lease.components
            arguments = [
                "run", "--http", "off", "--lease-seconds", "\(lease.seconds)", "--postgres", connection, "--redis", url,
            ]
        case .readerShared, .readerAlone, .readerNear, .writer:
            let degraded = settings.degradedAge / .milliseconds(1)
            arguments = [
                name == .writer ? "writer" : "reader", "--name", name.name, "--postgres", connection, "--redis", url,
                "--record", records[0], "--seed", "\(settings.seed &+ UInt64(name.rawValue) &* 1_000)",
                "--degraded-milliseconds", "\(Int(degraded))", "--cache", settings.cache.rawValue,
            ]
            if name == .writer {
                arguments += ["--reads", records[1]]
            } else {
                arguments += ["--profile", String(name.name.dropFirst("reader-".count))]
            }
        }
        let isWorker = Fault.Client.workers.contains(name)
        let program = try LocalProgram(
            executable: "\(folder)/\(isWorker ? "freshet" : "Chaos")",
            arguments: arguments,
            environment: clock?.environment ?? [:]
        )
        return Client(
            program: program,
            redis: redis,
            postgres: postgres,
            clock: clock,
            records: isWorker ? [] : records
        )
    }

    /// Where this executable lies, and beside it `freshet`.
    private static func executableFolder() throws -> String {
        var buffer = [CChar](repeating: 0, count: Int(PATH_MAX))
        let length = readlink("/proc/self/exe", &buffer, buffer.count)
        guard length > 0 else { throw RecordFailure(path: "/proc/self/exe", number: errno) }
        let path = String(decoding: buffer[..<length].map { UInt8(bitPattern: $0) }, as: UTF8.self)
        return path.split(separator: "/", omittingEmptySubsequences: false).dropLast().joined(separator: "/")
    }

    /// Starts all processes: the writer, whose first transaction fills the tables, last.
    func start() async throws {
        for name in Fault.Client.allCases { try await program(name).start() }
    }

    func destroy() async {
        for client in clients.values {
            await client.program.destroy()
            for line in client.postgres + [client.redis] { try? await line.close() }
        }
        await postgres.destroy()
        await redis.destroy()
        clock?.destroy()
    }

    private func program(_ name: Fault.Client) throws -> LocalProgram {
        guard let client = clients[name] else { throw StageError(description: "\(name.name) was not started") }
        return client.program
    }

    // MARK: Faults

    /// Does it, waits, and undoes it.
    func make(_ planned: PlannedFault) async throws {
        switch planned.fault {
        case .redisKilled, .redisRestored, .redisSuspended, .redisFlushed, .redisEvicts, .redisFull, .redisDiskFull,
            .redisPromoted, .redisDemoted, .redisClock:
            try await redis.make(planned.fault, lasting: planned.lasts) {
                for client in clients.values { client.redis.cut() }
            }
        case .postgresKilled, .postgresStopped, .postgresSuspended, .backendKilled, .sessionsTerminated, .standbyAway,
            .standbyPromoted, .postgresClock:
            try await postgres.make(planned.fault, lasting: planned.lasts) { place in
                guard let index = postgresPlaces.firstIndex(where: { $0 === place }) else { return }
                for client in clients.values { client.postgres[index].cut() }
            }
        case .killed(let name):
            try await kill([name], for: planned.lasts)
        case .bothWorkersKilled:
            try await kill(Fault.Client.workers, for: planned.lasts)
        case .suspended(let name):
            try program(name).suspend()
            try await Task.sleep(for: planned.lasts)
            try program(name).resume()
        case .clock(let name, let seconds):
            guard let clock = clients[name]?.clock else { return }
            try clock.set(aheadBySeconds: seconds)
            try await Task.sleep(for: planned.lasts)
            try clock.set(aheadBySeconds: 0)
        case .connections(let name, let server, let disruption):
            guard let client = clients[name] else { return }
            let lines = server == .redis ? [client.redis] : client.postgres
            switch disruption {
            case .cut: for line in lines { line.cut() }
            case .held:
                for line in lines { line.hold() }
                try await Task.sleep(for: planned.lasts)
                for line in lines { line.open() }
            case .silent:
                for line in lines { line.silence() }
                try await Task.sleep(for: planned.lasts)
                for line in lines { line.open() }
            }
        }
    }

    private func kill(_ names: [Fault.Client], for duration: Duration) async throws {
        for name in names { try await program(name).kill() }
        try await Task.sleep(for: duration)
        for name in names { try await program(name).start() }
    }

    /// Fails where a process has ended by itself.
    func checkProcesses() throws {
        for (name, client) in clients {
            guard let ending = client.program.ending else { continue }
            throw StageError(description: "\(name.name) has ended by itself (\(ending)):\n  \(try lastWords(of: name))")
        }
    }

    // MARK: The end

    /// Lets a process finish what it does.
    func stop(_ names: [Fault.Client]) async throws {
        for name in names {
            if let ending = try await program(name).stop() {
                let words = try lastWords(of: name)
                throw StageError(description: "\(name.name) did not leave in order (\(ending)):\n  \(words)")
            }
        }
    }

    /// What the writer recorded, in all its starts.
    func written() throws -> [WriterRecord] {
        guard let writer = clients[.writer] else { return [] }
        return try RecordFile.paths(of: writer.records[0]).flatMap { try WriterLog.records(in: $0) }
    }

    /// The files that were read to, one for each start.
    var reads: [(name: String, path: String)] {
        Fault.Client.allCases.flatMap { name -> [(name: String, path: String)] in
            guard let records = clients[name]?.records.last else { return [] }
            return RecordFile.paths(of: records).map { (name: name.name, path: $0) }
        }
    }

    private func lastWords(of name: Fault.Client) throws -> String {
        try log(of: name).split(whereSeparator: \.isNewline).suffix(5).joined(separator: "\n  ")
    }

    /// What a process has said.
    func log(of name: Fault.Client) throws -> String { try program(name).log() }
}

/// What must not happen to the stage itself.
struct StageError: Error, CustomStringConvertible {
    var description: String
}
