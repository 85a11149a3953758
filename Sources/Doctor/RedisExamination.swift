// How the facts of Redis are gathered. Nothing is written: the one script that runs returns a number, and what the user may do is
// asked with `redis.acl_check_cmd`, which executes nothing.

import Keyspace
import Redis

/// Asks a Redis for everything that can be known of it.
struct RedisExamination {
    let redis: any RedisClient
    let configuration: RedisConfiguration
    let namespace: CacheNamespace

    /// Looks at a server.
    ///
    /// - Throws: `RedisError` where the connection fails; what a command is refused is a fact.
    func facts() async throws -> RedisFacts {
        var facts = RedisFacts()
        facts.address = RedisFacts.Address(configuration)
        facts.clock = try await clock()
        facts.user = try await read(RedisCommand("ACL", "WHOAMI")) { $0.string }
        facts.info = try await read(RedisCommand("INFO")) { $0.string.map(Self.fields) }
        facts.settings = try await settings()
        facts.scriptError = try await send(RedisCommand("EVAL", "return 1", "0")).error?.description
        facts.rights = try await rights()
        return facts
    }

    private func send(_ command: RedisCommand) async throws(RedisError) -> RedisReply {
        try await redis.send(command, key: namespace.headKey(bucket: 0))
    }

    private func read<Value: Sendable>(
        _ command: RedisCommand,
        _ value: (RedisReply) -> Value?
    ) async throws(RedisError) -> Checked<Value> {
        let reply = try await send(command)
        if let error = reply.error { return .unknown("\(error)") }
        return value(reply).map { .known($0) } ?? .unknown("\(command.name) answered something else")
    }

    private func clock() async throws(RedisError) -> Checked<RedisFacts.Clock> {
        let before = WallClock.now
        let time = try await read(RedisCommand("TIME")) { $0.serverTimeInMicroseconds }
        let after = WallClock.now
        switch time {
        case .known(let theirs):
            return .known(
                RedisFacts.Clock(
                    difference: .microseconds(theirs - (before + (after - before) / 2)),
                    error: .microseconds((after - before) / 2)
                )
            )
        case .unknown(let reason): return .unknown(reason)
        }
    }

    private static func fields(_ info: String) -> [String: String] {
        var fields: [String: String] = [:]
        for line in info.split(whereSeparator: \.isNewline) where !line.hasPrefix("#") {
            let parts = line.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
            if parts.count == 2 { fields[String(parts[0])] = String(parts[1]) }
        }
        return fields
    }

    /// The parameters that matter.
    private static let parameters = [
        "maxmemory-policy", "save", "appendonly", "hash-max-listpack-value", "stop-writes-on-bgsave-error",
    ]

    private func settings() async throws(RedisError) -> Checked<[String: String]> {
        var settings: [String: String] = [:]
        // One by one: several in one command want Redis 7.
        for name in Self.parameters {
            let found = try await read(RedisCommand("CONFIG", "GET", .string(name))) { reply -> String? in
                guard let pair = reply.array else { return nil }
                return pair.count == 2 ? pair[1].string : ""
            }
            switch found {
            case .known(let value): settings[name] = value
            case .unknown(let reason): return .unknown(reason)
            }
        }
        return .known(settings)
    }

    // MARK: Rights

    /// What the worker sends, by itself and in its scripts; and what a user of Freshet has no business with.
    ///
    /// `%1` is a head, `%2` the key that tells of a bump, `%3` the key of an entity, `%4` one that is not Freshet's, and
    /// `%5` the stream of changes.
    private static let commands: [(purpose: RedisFacts.Right.Purpose, parts: [String])] =
        [
            ["TIME"], ["HMGET", "%1", "mark"], ["HGET", "%1", "gen"], ["EVAL", "return 1", "1", "%1"],
            ["EVALSHA", "0", "1", "%1"], ["SCRIPT", "LOAD", "return 1"], ["HDEL", "%1", "-"],
            ["HSET", "%1", "mark", "x"],
            ["UNLINK", "%1"], ["SET", "%2", "x"], ["HGET", "%3", "g"], ["HLEN", "%3"], ["HSET", "%3", "g", "x"],
            ["HDEL", "%3", "e:-"], ["UNLINK", "%3"], ["PEXPIRE", "%3", "1"], ["MULTI"], ["EXEC"], ["SELECT", "0"],
            ["CLIENT", "SETNAME", "x"], ["XADD", "%5", "*", "change", "x"], ["PEXPIRE", "%5", "1"],
        ].map { (.worker, $0) }
        + [
            ["FLUSHALL"], ["CONFIG", "SET", "maxmemory", "0"], ["KEYS", "*"], ["SHUTDOWN"], ["ACL", "SETUSER", "x"],
            ["DEBUG", "SLEEP", "0"], ["GET", "%4"], ["DEL", "%4"],
        ].map { (.stranger, $0) }

    private func rights() async throws(RedisError) -> Checked<[RedisFacts.Right]> {
        let bucket = 0
        let keys = [
            "%1": namespace.headKey(bucket: bucket), "%2": namespace.bumpKey(bucket: bucket),
            "%3": "\(namespace.entityKeyPrefix(bucket: bucket))1", "%4": "somebody-elses-key",
            "%5": "\(namespace.headKey(bucket: bucket)).changes",
        ]
        func argument(_ part: String) -> String {
            let text = keys[part] ?? part
            return "'\(text.replacing("\\", with: "\\\\").replacing("'", with: "\\'"))'"
        }
        // Without KEYS: what the script may do with them is the question, not whether it may be called with them.
        let calls = Self.commands.map { "may(\($0.parts.map(argument).joined(separator: ", ")))" }
        let script = """
            local function may(...) return redis.acl_check_cmd(...) and 1 or 0 end
            return {\(calls.joined(separator: ", "))}
            """
        let reply = try await send(RedisCommand("EVAL", .string(script), "0"))
        if let error = reply.error {
            return .unknown(
                error.message.contains("acl_check_cmd")
                    ? "Redis tells a user's rights from 7.0 on" : "\(error)"
            )
        }
        guard let answers = reply.array, answers.count == Self.commands.count else {
            return .unknown("EVAL answered something else")
        }
        return .known(
            zip(Self.commands, answers).map { command, answer in
                let shown =
                    command.parts.prefix(["SCRIPT", "CONFIG", "CLIENT", "ACL"].contains(command.parts[0]) ? 2 : 1)
                    + command.parts.dropFirst().filter { keys[$0] != nil }.map { keys[$0] ?? $0 }
                return RedisFacts.Right(
                    purpose: command.purpose,
                    command: shown.joined(separator: " "),
                    isGranted: answer.int64 == 1
                )
            }
        )
    }

    // MARK: Heads

    /// The head of each cache.
    func heads(_ caches: [String]) async throws -> [String: Checked<RedisFacts.CacheHead>] {
        var heads: [String: Checked<RedisFacts.CacheHead>] = [:]
        for cache in caches {
            heads[cache] = try await head(namespaceOf(cache).headKey(bucket: 0))
        }
        return heads
    }

    private func namespaceOf(_ cache: String) -> CacheNamespace {
        cache == Diagnosis.firstCache ? namespace : namespace.sibling(named: cache)
    }

    private func head(_ key: String) async throws -> Checked<RedisFacts.CacheHead> {
        let fields = Head.readerFields + ["mark"]
        let replies = try await redis.send([
            RedisBatch(
                key: key,
                commands: [
                    RedisCommand("TIME"),
                    RedisCommand("HMGET", arguments: ([key] + fields).map { RedisArgument.string($0) }),
                ]
            )
        ])
        guard let replies = replies.first, replies.count == 2 else { return .unknown("no answer to HMGET") }
        guard let time = replies[0].serverTimeInMicroseconds else {
            return .unknown(replies[0].error.map { "\($0)" } ?? "no answer to TIME")
        }
        var head = RedisFacts.CacheHead()
        head.now = RedisTime(microseconds: time)
        if let error = replies[1].error {
            guard error.code == .wrongType else { return .unknown("\(error)") }
            head.isDamaged = true
            return .known(head)
        }
        let values = (replies[1].array ?? []).map(\.string)
        guard values.count == fields.count else { return .unknown("HMGET answered something else") }
        head.head = Head(fields: Array(values.dropLast()))
        head.mark = values.last ?? nil
        return .known(head)
    }
}

extension RedisFacts.Address {
    /// What matters of a configuration, without its secrets.
    init(_ configuration: RedisConfiguration) {
        url = "\(configuration)"
        isEncrypted = configuration.tls != nil
        database = configuration.database
        var words = ["redis-cli"]
        switch configuration.endpoint {
        case .unix(let path):
            words += ["-s", Self.shellWord(path)]
            isLocal = true
        case .tcp(let host, let port):
            isLocal = host == "localhost" || host == "::1" || host.hasPrefix("127.")
            if host != "127.0.0.1" { words += ["-h", Self.shellWord(host)] }
            if port != 6_379 { words += ["-p", "\(port)"] }
        }
        if let tls = configuration.tls {
            words.append("--tls")
            if let file = tls.authorityFile { words += ["--cacert", Self.shellWord(file)] }
        }
        if let user = configuration.username { words += ["--user", Self.shellWord(user)] }
        if database != 0 { words += ["-n", "\(database)"] }
        commandLine = words.joined(separator: " ")
    }

    /// A word as a shell takes it.
    static func shellWord(_ text: String) -> String {
        let plain = text.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"):
                true
            default: "/._-:@%+=,".utf8.contains(byte)
            }
        }
        return plain && !text.isEmpty ? text : "'\(text.replacing("'", with: "'\\''"))'"
    }
}
