// A Redis server of our own. Like LocalPostgres: a folder and at most one running `Daemon`; the configuration is one file,
// written anew at every start. The server always listens on its unix socket, which is how we talk to it.

import Glibc
public import Logging
import Synchronization

/// A private Redis server in a folder of its own, for demonstrations and tests.
///
/// It listens on a unix socket in that folder and, if asked, on a TCP port of 127.0.0.1, with or without TLS. It ends with
/// this process, however that ends. It saves nothing unless told to.
///
/// One task at a time may call what starts or stops it.
public final class LocalRedis: Sendable {
    /// What a server that is started again finds.
    public enum Contents: Sendable {
        /// Nothing: what it had is deleted.
        case nothing
        /// What it had saved by itself, if anything.
        case saved
        /// A snapshot made by ``LocalRedis/saveSnapshot(to:)``.
        case snapshot(path: String)
    }

    /// How long starting, stopping and a resynchronisation may take.
    public static let timeLimit: Duration = .seconds(30)

    /// The configuration unless told otherwise.
    public static let defaultOptions: [String: String] = [
        "save": "\"\"",
        "appendonly": "no",
        "databases": "16",
        // A replica gets its data at once; the default waits 5 s for others to join it.
        "repl-diskless-sync-delay": "0",
        // DEBUG SLEEP and its like, for tests.
        "enable-debug-command": "local",
    ]

    /// The user that this type itself connects as where an access list is given.
    private static let ownUser = "freshet-local-services"
    private static let socketName = "redis.sock"
    private static let snapshotName = "dump.rdb"
    private static let accessListName = "users.acl"

    private struct State {
        var options: [String: String]
        var port: Int?
        var daemon: Daemon?
    }

    private let folder: ServiceFolder
    private let listensOnTCP: Bool
    private let ownPassword: String?
    private let hasAccessList: Bool
    private let environment: [String: String]
    private let logger: Logger
    private let state: Mutex<State>

    /// The password of the default user, if one is demanded.
    public let password: String?
    /// The certificates, if the TCP port speaks TLS.
    public let certificates: LocalCertificates?

    private init(
        folder: ServiceFolder,
        options: [String: String],
        listensOnTCP: Bool,
        password: String?,
        hasAccessList: Bool,
        certificates: LocalCertificates?,
        environment: [String: String],
        logger: Logger
    ) {
        self.folder = folder
        self.listensOnTCP = listensOnTCP
        self.password = password
        self.hasAccessList = hasAccessList
        self.ownPassword = hasAccessList ? "\(UInt64.random(in: .min ... .max))" : password
        self.certificates = certificates
        self.environment = environment
        self.logger = logger
        self.state = Mutex(State(options: options))
    }

    // MARK: Starting

    /// Starts a new server.
    ///
    /// - Parameters:
    ///   - options: lines of redis.conf, over ``defaultOptions``; values as they are written there.
    ///   - listensOnTCP: also listen on a free port of 127.0.0.1; implied by `certificates`.
    ///   - password: what the default user has to give.
    ///   - accessList: lines of an ACL file (`user reader on >secret ~* +@read`), instead of `password`.
    ///   - certificates: speak TLS, and only TLS, on the TCP port.
    ///   - contents: a snapshot to begin with.
    ///   - environment: variables that the server gets to see, such as those of a ``SteppableClock``.
    /// - Throws: ``LocalServiceError``.
    public static func start(
        options: [String: String] = [:],
        listensOnTCP: Bool = false,
        password: String? = nil,
        accessList: [String] = [],
        certificates: LocalCertificates? = nil,
        contents: Contents = .nothing,
        environment: [String: String] = [:],
        logger: Logger = LocalServices.logger
    ) async throws -> LocalRedis {
        guard password == nil || accessList.isEmpty else {
            throw LocalServiceError(
                .misuse,
                "a Redis with an access list takes its passwords from there: leave out one"
            )
        }
        let server = LocalRedis(
            folder: try ServiceFolder(account: .current),
            options: defaultOptions.merging(options) { _, new in new },
            listensOnTCP: listensOnTCP || certificates != nil,
            password: password,
            hasAccessList: !accessList.isEmpty,
            certificates: certificates,
            environment: environment,
            logger: logger
        )
        do {
            if let ownPassword = server.ownPassword, server.hasAccessList {
                let lines = accessList + ["user \(ownUser) on >\(ownPassword) ~* &* +@all"]
                try server.folder.write(lines.joined(separator: "\n") + "\n", to: accessListName)
            }
            try server.place(contents)
            try await server.launchOnFreePort()
        } catch {
            await server.destroy()
            throw error
        }
        return server
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
            throw LocalServiceError(.misuse, "Redis in \(folder.path) is running already: stop it first")
        }
        let (options, port) = state.withLock { ($0.options, $0.port) }
        var lines = [
            "bind 127.0.0.1",
            "port \(certificates == nil ? port ?? 0 : 0)",
            "unixsocket \(socketPath)",
            "unixsocketperm 700",
            "dir \(folder.path)",
            "dbfilename \(Self.snapshotName)",
            "daemonize no",
            "supervised systemd",
        ]
        if let certificates {
            lines += [
                "tls-port \(port ?? 0)",
                "tls-cert-file \(certificates.certificateFile)",
                "tls-key-file \(certificates.keyFile)",
                "tls-ca-cert-file \(certificates.authorityFile)",
                "tls-auth-clients no",
            ]
        }
        if let password { lines.append("requirepass \(Self.quoted(password))") }
        if hasAccessList { lines.append("aclfile \(folder.file(Self.accessListName))") }
        lines += options.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }
        try folder.write(lines.joined(separator: "\n") + "\n", to: "redis.conf")

        let daemon: Daemon
        daemon = try await Daemon.launch(
            Daemon.Launch(
                executable: try Self.findServer(),
                arguments: [folder.file("redis.conf")],
                environment: environment,
                account: .current,
                endSignal: .kill,
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
            "Redis is ready",
            metadata: ["folder": "\(folder.path)", "process": "\(daemon.processIdentifier)"]
        )
    }

    private static func findServer() throws(LocalServiceError) -> String {
        let folders = (Tool.environment["PATH"] ?? "").split(separator: ":") + ["/usr/bin", "/usr/local/bin"]
        for folder in folders where access("\(folder)/redis-server", X_OK) == 0 {
            return "\(folder)/redis-server"
        }
        throw LocalServiceError(.notInstalled, "redis-server is not installed: apt-get install redis-server")
    }

    private func place(_ contents: Contents) throws(LocalServiceError) {
        switch contents {
        case .saved:
            break
        case .nothing:
            try folder.removeFile(Self.snapshotName)
            _ = removeTree(folder.file("appendonlydir"))
        case .snapshot(let path):
            try folder.copy(path, to: Self.snapshotName)
        }
    }

    /// A value in the syntax of redis.conf.
    static func quoted(_ value: String) -> String {
        "\"\(value.replacing("\\", with: "\\\\").replacing("\"", with: "\\\""))\""
    }

    // MARK: Where it is

    /// The path of the unix socket.
    public var socketPath: String { folder.file(Self.socketName) }

    /// The TCP port of 127.0.0.1, if the server has one.
    public var port: Int? { state.withLock { $0.port } }

    /// The process identifier of the server; nil while stopped.
    public var processIdentifier: Int32? { state.withLock { $0.daemon?.processIdentifier } }

    /// What the server wrote to its log so far.
    public func log() throws -> String { String(decoding: try readFile(folder.file(Daemon.logName)), as: UTF8.self) }

    /// The URL: `rediss:` or `redis:` where there is a port, with the password that is demanded; `unix:` otherwise.
    public var url: String { url() }

    /// The URL for a user and database.
    ///
    /// A unix socket takes no user and no password in its URL.
    public func url(user: String? = nil, password: String? = nil, database: Int? = nil) -> String {
        guard let port else { return "unix://\(socketPath)" + (database.map { "?db=\($0)" } ?? "") }
        var authority = ""
        if let password = password ?? self.password {
            authority = "\(Self.percentEncoded(user ?? "")):\(Self.percentEncoded(password))@"
        }
        let path = database.map { "/\($0)" } ?? ""
        guard let certificates else { return "redis://\(authority)127.0.0.1:\(port)\(path)" }
        return "rediss://\(authority)127.0.0.1:\(port)\(path)?cafile=\(certificates.authorityFile)"
    }

    static func percentEncoded(_ text: String) -> String {
        let plain = Set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~".utf8)
        let digits = Array("0123456789ABCDEF")
        return text.utf8.reduce(into: "") { result, byte in
            if plain.contains(byte) {
                result.append(Character(UnicodeScalar(byte)))
            } else {
                result += "%\(digits[Int(byte >> 4)])\(digits[Int(byte & 15)])"
            }
        }
    }

    // MARK: Stopping and starting again

    private func runningDaemon() throws(LocalServiceError) -> Daemon {
        guard let daemon = state.withLock({ $0.daemon }) else {
            throw LocalServiceError(.notRunning, "Redis in \(folder.path) is not running: start it again first")
        }
        return daemon
    }

    /// Stops the server in order (SIGTERM): it saves if it has save points.
    public func stop() async throws {
        let daemon = try runningDaemon()
        daemon.send(SIGTERM)
        _ = try await daemon.ended(within: Self.timeLimit)
        state.withLock { $0.daemon = nil }
    }

    /// Kills the server with SIGKILL.
    public func kill() async throws {
        let daemon = try runningDaemon()
        daemon.kill()
        _ = try await daemon.ended(within: Self.timeLimit)
        state.withLock { $0.daemon = nil }
    }

    /// Starts a stopped server with the same port, and waits until it takes connections.
    ///
    /// - Parameters:
    ///   - contents: what it finds; nothing by default.
    ///   - options: lines of redis.conf to change for this and later runs.
    public func startAgain(with contents: Contents = .nothing, options: [String: String] = [:]) async throws {
        try place(contents)
        state.withLock { $0.options.merge(options) { _, new in new } }
        try await launch()
    }

    /// Kills the server and starts it again.
    public func restart(with contents: Contents = .nothing) async throws {
        try await kill()
        try await startAgain(with: contents)
    }

    /// Stops the process where it stands (SIGSTOP): connections stay open and nothing answers.
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
            daemon.kill()
            do {
                _ = try await daemon.ended(within: .seconds(5))
            } catch {
                logger.error("Redis could not be ended", metadata: ["error": "\(error)"])
            }
        }
        folder.remove()
    }

    // MARK: Commands, snapshots and replication

    /// Runs one command through redis-cli over the unix socket and returns what it printed, without the last newline.
    ///
    /// - Throws: ``LocalServiceError`` with the server's error line.
    @discardableResult
    public func command(_ arguments: String...) async throws -> String {
        try await command(arguments)
    }

    private func command(_ arguments: [String]) async throws -> String {
        var options = ["-s", socketPath, "-e", "--no-auth-warning"]
        if hasAccessList { options += ["--user", Self.ownUser] }
        let answer = try await Tool.run(
            "redis-cli",
            options + arguments,
            environment: ownPassword.map { ["REDISCLI_AUTH": $0] } ?? [:],
            package: "redis-tools"
        )
        return answer.hasSuffix("\n") ? String(answer.dropLast()) : answer
    }

    /// Saves all data as it is now to a file, for ``Contents/snapshot(path:)``.
    ///
    /// Without a path the file is in this server's folder.
    ///
    /// - Returns: the path.
    @discardableResult
    public func saveSnapshot(to path: String? = nil) async throws -> String {
        // A child that saves for a replica is in the way for a moment; Redis tells nobody when it has ended.
        let deadline = ContinuousClock.now + Self.timeLimit
        while true {
            do {
                try await command("SAVE")
                break
            } catch let error as LocalServiceError
                where error.message.contains("already in progress") && ContinuousClock.now < deadline
            {
                try await Task.sleep(for: .milliseconds(10))
            }
        }
        let target = path ?? folder.file("snapshot-\(UInt32.random(in: .min ... .max)).rdb")
        _ = try await Tool.run("cp", ["--", folder.file(Self.snapshotName), target], package: "coreutils")
        // So that a later start with what was saved does not find what this call left.
        try folder.removeFile(Self.snapshotName)
        return target
    }

    /// Lets the server try to save, and fail, until it refuses writes (MISCONF): as on a full disk.
    ///
    /// It takes a second from the next change on. The server needs `enable-protected-configs`.
    public func makeSavingFail() async throws {
        let gone = folder.file("gone")
        guard mkdir(gone, 0o700) == 0 else {
            throw LocalServiceError(.systemCallFailed, "\(gone) could not be made: \(describe(errno))")
        }
        try await command("CONFIG", "SET", "dir", gone)
        // The server stays in a folder that is not there any more: nothing can be created in it.
        guard rmdir(gone) == 0 else {
            throw LocalServiceError(.systemCallFailed, "\(gone) could not be removed: \(describe(errno))")
        }
        try await command("CONFIG", "SET", "save", "1 1")
    }

    /// Undoes ``makeSavingFail()``.
    public func letSavingWork() async throws {
        try await command("CONFIG", "SET", "save", "")
        try await command("CONFIG", "SET", "dir", folder.path)
    }

    /// Keeps the server at the limit of its memory for a time: it evicts, or with the policy `noeviction` refuses to write (OOM).
    ///
    /// What connections take counts as well, and they come and go. So the limit is lowered whenever it has not been felt, ten times a
    /// second, because Redis tells nobody.
    ///
    /// - Returns: How many keys were evicted, and commands refused, meanwhile.
    @discardableResult
    public func limitMemory(
        policy: String,
        for duration: Duration
    ) async throws -> (evictedKeys: Int, refusedCommands: Int) {
        let end = ContinuousClock.now + duration
        let before = try await figures()
        var last = before
        try await command("CONFIG", "SET", "maxmemory-policy", policy)
        while true {
            let now = try await figures()
            if now.evictedKeys == last.evictedKeys, now.refusedCommands == last.refusedCommands {
                try await command("CONFIG", "SET", "maxmemory", "\(max(1, now.usedBytes - Self.overshoot))")
            }
            last = now
            let left = end - ContinuousClock.now
            guard left > .zero else { break }
            try await Task.sleep(for: min(left, .milliseconds(100)))
        }
        let after = try await figures()
        try await command("CONFIG", "SET", "maxmemory", "0")
        try await command("CONFIG", "SET", "maxmemory-policy", "noeviction")
        return (after.evictedKeys - before.evictedKeys, after.refusedCommands - before.refusedCommands)
    }

    /// More than the connection takes that asks what is used, in bytes.
    private static let overshoot = 98_304

    /// What the server says of its memory, and of what it did for want of it.
    private func figures() async throws -> (usedBytes: Int, evictedKeys: Int, refusedCommands: Int) {
        let lines = try await command("INFO", "everything").split(whereSeparator: \.isNewline)
        func figure(_ name: String) -> Int {
            lines.lazy.filter { $0.hasPrefix(name) }.compactMap { Int($0.dropFirst(name.count)) }.first ?? 0
        }
        return (figure("used_memory:"), figure("evicted_keys:"), figure("errorstat_OOM:count="))
    }

    /// Makes this server a replica of another, in place, and waits until it has the other's data; nil makes it a primary.
    ///
    /// Clients of this server stay connected. The other one needs a TCP port without TLS.
    public func replicate(_ primary: LocalRedis?) async throws {
        guard let primary else {
            try await command("REPLICAOF", "NO", "ONE")
            return
        }
        guard let port = primary.port, primary.certificates == nil else {
            throw LocalServiceError(.misuse, "a Redis can only replicate one with a plain TCP port: use listensOnTCP")
        }
        if let password = primary.ownPassword {
            try await command("CONFIG", "SET", "masterauth", password)
            if primary.hasAccessList { try await command("CONFIG", "SET", "masteruser", Self.ownUser) }
        }
        try await command("REPLICAOF", "127.0.0.1", "\(port)")
        // Redis tells nobody when a replica has caught up; ROLE says so when asked, and the loop is bounded.
        let deadline = ContinuousClock.now + Self.timeLimit
        while true {
            let role = try await command("ROLE").split(separator: "\n")
            if role.count > 3, role[0] == "slave", role[3] == "connected" { return }
            guard ContinuousClock.now < deadline else {
                throw LocalServiceError(
                    .timedOut,
                    "Redis in \(folder.path) did not synchronise within \(Self.timeLimit): it is \(role)"
                )
            }
            try await Task.sleep(for: .milliseconds(10))
        }
    }
}
