// A Postgres server of our own.
//
// Its state is a folder (data, socket, log, certificates) and at most one running `Daemon`. The configuration is Postgres'
// own file with one line appended that includes ours, which is written anew at every start: so settings can change between
// runs, ALTER SYSTEM still wins over ours, and a standby that came as a copy of its primary gets its own.

import Glibc
public import Logging
import Synchronization

/// A private Postgres server in a folder of its own, for demonstrations and tests.
///
/// It listens on a unix socket in that folder and, if asked, on a TCP port of 127.0.0.1. It ends with this process, however
/// that ends. The superuser is `postgres`. Where this process is root, the server runs as the user `postgres`.
///
/// One task at a time may call what starts or stops it.
public final class LocalPostgres: Sendable {
    /// How a server is told to stop.
    public enum StopMode: Sendable {
        /// Waits for clients to leave.
        case smart
        /// Ends sessions, rolls back, and shuts down in order.
        case fast
        /// Leaves at once; the next start is a crash recovery.
        case immediate

        fileprivate var signal: Int32 {
            switch self {
            case .smart: SIGTERM
            case .fast: SIGINT
            case .immediate: SIGQUIT
            }
        }
    }

    /// How long starting, stopping and a crash recovery may take.
    public static let timeLimit: Duration = .seconds(60)

    /// What a server for tests sets unless told otherwise.
    ///
    /// Durability is off: no crash of the machine is survived, but one of the server is.
    public static let defaultSettings: [String: String] = [
        "fsync": "off",
        "full_page_writes": "off",
        "shared_buffers": "32MB",
        "max_wal_size": "256MB",
        "timezone": "UTC",
        "log_timezone": "UTC",
        "log_line_prefix": "%m [%p] %q%u@%d %a ",
        // In the data directory, so that nothing stays in /dev/shm after SIGKILL.
        "dynamic_shared_memory_type": "mmap",
    ]

    private struct State {
        var settings: [String: String]
        var port: Int
        var daemon: Daemon?
    }

    private let folder: ServiceFolder
    private let account: ServiceAccount
    private let installation: PostgresInstallation
    private let listensOnTCP: Bool
    private let password: String?
    private let certificates: LocalCertificates?
    private let environment: [String: String]
    private let logger: Logger
    private let state: Mutex<State>

    private init(
        folder: ServiceFolder,
        account: ServiceAccount,
        installation: PostgresInstallation,
        settings: [String: String],
        listensOnTCP: Bool,
        password: String?,
        certificates: LocalCertificates?,
        environment: [String: String],
        logger: Logger
    ) {
        self.folder = folder
        self.account = account
        self.installation = installation
        self.listensOnTCP = listensOnTCP
        self.password = password
        self.certificates = certificates
        self.environment = environment
        self.logger = logger
        self.state = Mutex(State(settings: settings, port: 5432))
    }

    // MARK: Starting

    /// Starts a new, empty server.
    ///
    /// - Parameters:
    ///   - settings: entries of postgresql.conf, over ``defaultSettings``. Values are quoted for you.
    ///   - listensOnTCP: also listen on a free port of 127.0.0.1.
    ///   - password: the password of `postgres`, demanded over TCP (scram-sha-256). Without it TCP trusts everyone.
    ///   - certificates: speak TLS over TCP, and only TLS.
    ///   - hba: lines of pg_hba.conf that come before the usual ones.
    ///   - hasOwnIdentity: make a new cluster (1 s) instead of a copy. Copies share one system identifier.
    ///   - environment: variables that the server and its standbys get to see, such as those of a ``SteppableClock``.
    /// - Throws: ``LocalServiceError``.
    public static func start(
        settings: [String: String] = [:],
        listensOnTCP: Bool = false,
        password: String? = nil,
        certificates: LocalCertificates? = nil,
        hba: [String] = [],
        hasOwnIdentity: Bool = false,
        environment: [String: String] = [:],
        logger: Logger = LocalServices.logger
    ) async throws -> LocalPostgres {
        let account = try ServiceAccount.forPostgres()
        let template = try await PostgresTemplate.shared.make(account: account)
        let folder = try ServiceFolder(account: account)
        let server = LocalPostgres(
            folder: folder,
            account: account,
            installation: template.installation,
            settings: defaultSettings.merging(settings) { _, new in new },
            listensOnTCP: listensOnTCP,
            password: password,
            certificates: certificates,
            environment: environment,
            logger: logger
        )
        do {
            if hasOwnIdentity {
                try await PostgresTemplate.initialise(
                    server.dataDirectory,
                    installation: template.installation,
                    account: account
                )
            } else {
                _ = try await Tool.run(
                    "cp",
                    ["--archive", "--reflink=auto", template.data, server.dataDirectory],
                    as: account,
                    package: "coreutils"
                )
            }
            let configuration = String(decoding: try readFile("\(server.dataDirectory)/postgresql.conf"), as: UTF8.self)
            try folder.write("\(configuration)\ninclude 'local.conf'\n", to: "data/postgresql.conf")
            try server.writeAuthentication(hba: hba)
            try await server.launchOnFreePort()
            if let password {
                try await server.psql("ALTER ROLE postgres PASSWORD '\(password.replacing("'", with: "''"))'")
            }
        } catch {
            await server.destroy()
            throw error
        }
        return server
    }

    private func writeAuthentication(hba: [String]) throws(LocalServiceError) {
        let method = password == nil ? "trust" : "scram-sha-256"
        let type = certificates == nil ? "host" : "hostssl"
        let lines =
            hba + [
                "local all all trust",
                "local replication all trust",
                "\(type) all all 127.0.0.1/32 \(method)",
                "\(type) replication all 127.0.0.1/32 \(method)",
            ]
        try folder.write(lines.joined(separator: "\n") + "\n", to: "data/pg_hba.conf")
        if let certificates {
            try folder.copy(certificates.certificateFile, to: "server.crt")
            try folder.copy(certificates.keyFile, to: "server.key")
        }
    }

    private func launchOnFreePort() async throws {
        guard listensOnTCP else { return try await launch() }
        for attempt in 1... {
            let port = try FreePort.find()
            state.withLock { $0.port = port }
            do {
                return try await launch()
            } catch let error as LocalServiceError where error.code == .addressInUse && attempt < FreePort.attempts {
                logger.debug("port was taken in between, trying another", metadata: ["port": "\(port)"])
            }
        }
    }

    private func launch() async throws {
        guard state.withLock({ $0.daemon == nil }) else {
            throw LocalServiceError(.misuse, "Postgres in \(folder.path) is running already: stop it first")
        }
        var (settings, port) = state.withLock { ($0.settings, $0.port) }
        settings["port"] = "\(port)"
        settings["unix_socket_directories"] = folder.path
        settings["listen_addresses"] = listensOnTCP ? "127.0.0.1" : ""
        if certificates != nil {
            settings["ssl"] = "on"
            settings["ssl_cert_file"] = folder.file("server.crt")
            settings["ssl_key_file"] = folder.file("server.key")
        }
        let lines = settings.sorted { $0.key < $1.key }
            .map { "\($0.key) = '\($0.value.replacing("'", with: "''"))'\n" }
        try folder.write(lines.joined(), to: "data/local.conf")

        let daemon = try await Daemon.launch(
            Daemon.Launch(
                executable: installation.program("postgres"),
                arguments: ["-D", dataDirectory],
                environment: environment,
                account: account,
                endSignal: .quit,
                folder: folder
            )
        )
        do {
            try await daemon.ready(within: Self.timeLimit)
        } catch {
            daemon.kill()
            _ = try await daemon.ended(within: Self.timeLimit)
            throw error
        }
        state.withLock { $0.daemon = daemon }
        logger.debug(
            "Postgres is ready",
            metadata: ["folder": "\(folder.path)", "process": "\(daemon.processIdentifier)"]
        )
    }

    // MARK: Where it is

    /// The folder of the unix socket: libpq's `host`.
    public var socketDirectory: String { folder.path }

    /// The port, which also names the unix socket.
    public var port: Int { state.withLock { $0.port } }

    /// The data directory.
    public var dataDirectory: String { folder.file("data") }

    /// The process identifier of the postmaster; nil while stopped.
    public var processIdentifier: Int32? { state.withLock { $0.daemon?.processIdentifier } }

    /// What the server wrote to its log so far.
    public func log() throws -> String { String(decoding: try readFile(folder.file(Daemon.logName)), as: UTF8.self) }

    /// A connection string over the unix socket, for libpq and everything built on it.
    public func connectionString(database: String = "postgres", user: String? = nil) -> String {
        Self.connectionString([
            ("host", socketDirectory), ("port", "\(port)"), ("dbname", database), ("user", user ?? "postgres"),
        ])
    }

    /// A connection string over TCP; with certificates it verifies the server in full.
    ///
    /// - Throws: ``LocalServiceError`` if the server does not listen on TCP.
    public func tcpConnectionString(
        database: String = "postgres",
        user: String? = nil,
        password: String? = nil
    ) throws -> String {
        guard listensOnTCP else {
            throw LocalServiceError(.misuse, "Postgres in \(folder.path) has no TCP port: start it with listensOnTCP")
        }
        var parts = [("host", "127.0.0.1"), ("port", "\(port)"), ("dbname", database), ("user", user ?? "postgres")]
        if let password = password ?? self.password { parts.append(("password", password)) }
        if let certificates {
            parts += [("sslmode", "verify-full"), ("sslrootcert", certificates.authorityFile)]
        } else {
            parts.append(("sslmode", "disable"))
        }
        return Self.connectionString(parts)
    }

    static func connectionString(_ parts: [(String, String)]) -> String {
        parts.map { name, value in
            let isPlain = !value.isEmpty && value.allSatisfy { $0.isLetter || $0.isNumber || "/._-".contains($0) }
            let quoted = value.replacing("\\", with: "\\\\").replacing("'", with: "\\'")
            return isPlain ? "\(name)=\(value)" : "\(name)='\(quoted)'"
        }.joined(separator: " ")
    }

    // MARK: Stopping and starting again

    private func runningDaemon() throws(LocalServiceError) -> Daemon {
        guard let daemon = state.withLock({ $0.daemon }) else {
            throw LocalServiceError(.notRunning, "Postgres in \(folder.path) is not running: start it again first")
        }
        return daemon
    }

    /// Stops the server and waits until its last process has gone.
    public func stop(_ mode: StopMode = .fast) async throws {
        let daemon = try runningDaemon()
        daemon.send(mode.signal)
        _ = try await daemon.ended(within: Self.timeLimit)
        state.withLock { $0.daemon = nil }
    }

    /// Starts a stopped server on its data, with the same port, and waits until it takes connections.
    ///
    /// - Parameter settings: entries of postgresql.conf to change for this and later runs.
    public func startAgain(settings: [String: String] = [:]) async throws {
        state.withLock { $0.settings.merge(settings) { _, new in new } }
        try await launch()
    }

    /// Stops the server and starts it again.
    public func restart(_ mode: StopMode = .fast, settings: [String: String] = [:]) async throws {
        try await stop(mode)
        try await startAgain(settings: settings)
    }

    /// Kills the postmaster and every backend with SIGKILL.
    ///
    /// The next start is a crash recovery.
    public func kill() async throws {
        let daemon = try runningDaemon()
        daemon.kill()
        _ = try await daemon.ended(within: Self.timeLimit)
        state.withLock { $0.daemon = nil }
    }

    /// Kills one backend with SIGKILL and waits until the server has recovered from it.
    ///
    /// Postgres then ends all other sessions too, and replays its log.
    public func crash(backend: Int32) async throws {
        let daemon = try runningDaemon()
        let times = daemon.progress.timesReady
        guard Glibc.kill(backend, SIGKILL) == 0 else {
            throw LocalServiceError(.systemCallFailed, "backend \(backend) could not be killed: \(describe(errno))")
        }
        try await daemon.ready(moreOftenThan: times, within: Self.timeLimit)
    }

    /// Stops every process of the server where it stands (SIGSTOP): connections stay open and nothing answers.
    public func suspend() throws {
        try runningDaemon().suspend()
    }

    /// Lets a suspended server go on (SIGCONT).
    public func resume() throws {
        try runningDaemon().resume()
    }

    /// Ends the server, however it is doing, and deletes its folder.
    ///
    /// Idempotent; works in a cancelled task.
    public func destroy() async {
        if let daemon = state.withLock({ $0.daemon.take() }) {
            daemon.end()
            do {
                _ = try await daemon.ended(within: .seconds(5))
            } catch {
                daemon.kill()
                do {
                    _ = try await daemon.ended(within: .seconds(5))
                } catch {
                    logger.error("Postgres could not be ended", metadata: ["error": "\(error)"])
                }
            }
        }
        removeSharedMemory()
        folder.remove()
    }

    /// Removes the few bytes of System V shared memory that a killed server leaves until the next start, if there is none.
    private func removeSharedMemory() {
        guard let lock = try? readFile("\(dataDirectory)/postmaster.pid") else { return }
        let lines = String(decoding: lock, as: UTF8.self).split(separator: "\n", omittingEmptySubsequences: false)
        // The line holds the key and the identifier.
        if lines.count > 6, let identifier = lines[6].split(separator: " ").last.flatMap({ Int32($0) }) {
            _ = shmctl(identifier, IPC_RMID, nil)
        }
    }

    // MARK: Databases and SQL

    /// Runs SQL through psql, statement by statement, and returns what it printed: rows unaligned, columns parted by `|`.
    ///
    /// - Throws: ``LocalServiceError`` with psql's first error line.
    @discardableResult
    public func psql(_ sql: String, database: String = "postgres", user: String = "postgres") async throws -> String {
        let script = "psql-\(UInt64.random(in: .min ... .max)).sql"
        try folder.write(sql, to: script)
        let result: Result<String, any Error>
        do {
            result = .success(
                try await Tool.run(
                    "psql",
                    [
                        "--no-psqlrc", "--quiet", "--no-align", "--tuples-only", "--set=ON_ERROR_STOP=1",
                        "--dbname", connectionString(database: database, user: user),
                        "--file=\(folder.file(script))",
                    ],
                    package: "postgresql-client"
                )
            )
        } catch {
            result = .failure(error)
        }
        try folder.removeFile(script)
        return try result.get()
    }

    /// Creates a database, as a copy of `template` where one is given (which nobody may be connected to).
    public func createDatabase(_ name: String, template: String? = nil) async throws {
        let source = template.map { " TEMPLATE \(Self.identifier($0))" } ?? ""
        try await psql("CREATE DATABASE \(Self.identifier(name))\(source)")
    }

    /// Drops a database, ending the sessions in it.
    public func dropDatabase(_ name: String) async throws {
        try await psql("DROP DATABASE IF EXISTS \(Self.identifier(name)) WITH (FORCE)")
    }

    static func identifier(_ name: String) -> String { "\"\(name.replacing("\"", with: "\"\""))\"" }

    // MARK: Replication

    /// Starts a hot standby of this server: a base backup, then streaming replication.
    ///
    /// - Parameter settings: entries of postgresql.conf for the standby, over this server's own.
    public func createStandby(settings: [String: String] = [:]) async throws -> LocalPostgres {
        let copy = try ServiceFolder(account: account)
        let standby = LocalPostgres(
            folder: copy,
            account: account,
            installation: installation,
            settings: state.withLock { $0.settings }.merging(settings) { _, new in new },
            listensOnTCP: listensOnTCP,
            password: password,
            certificates: certificates,
            environment: environment,
            logger: logger
        )
        do {
            _ = try await Tool.run(
                installation.program("pg_basebackup"),
                [
                    "--dbname", connectionString(), "--pgdata", standby.dataDirectory, "--write-recovery-conf",
                    "--wal-method=stream", "--checkpoint=fast", "--no-sync",
                ],
                as: account,
                package: "postgresql"
            )
            try standby.writeAuthentication(hba: [])
            try await standby.launchOnFreePort()
        } catch {
            await standby.destroy()
            throw error
        }
        return standby
    }

    /// Waits until this standby has replayed everything that `primary` has written by now.
    public func catchUp(with primary: LocalPostgres) async throws {
        let position = try await primary.psql("SELECT pg_current_wal_flush_lsn()").prefix { $0 != "\n" }
        // Postgres has no call that waits for a replay position; the loop is bounded.
        let loop = """
            DO $$
            BEGIN
                FOR attempt IN 1..6000 LOOP
                    IF pg_last_wal_replay_lsn() >= '\(position)' THEN RETURN; END IF;
                    PERFORM pg_sleep(0.01);
                END LOOP;
                RAISE EXCEPTION 'not replayed within 60 s: \(position)';
            END $$
            """
        try await psql(loop)
    }

    /// Makes a standby a primary of its own, on a new timeline, and waits until it takes writes.
    public func promote() async throws {
        let answer = try await psql("SELECT pg_promote(true, 60)")
        guard answer.hasPrefix("t") else {
            throw LocalServiceError(.timedOut, "the standby in \(folder.path) was not promoted within 60 s")
        }
    }
}
