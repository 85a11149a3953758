// What a user of Redis needs, by what it is for. deploy/redis/freshet.acl has the same lines for the default prefix, and a test
// compares the two; another runs everything under them.

/// The users that Freshet suggests, as rules of `ACL SETUSER`.
package enum RedisAccess: String, CaseIterable, Sendable {
    /// `freshet run`, `freshet cache`, `freshet status`.
    case worker
    /// A service with the library, with and without a near cache; `freshet lookup`.
    case reader
    /// `freshet audit`, `freshet explain`.
    case auditor
    /// Who only reads the stream of changes.
    case watcher
    /// `freshet doctor`, where it should see more than the worker's user may.
    case doctor

    /// The name that the file gives it.
    package var userName: String { "freshet_\(rawValue)" }

    /// The commands, as rules, with those that scripts call.
    ///
    /// `AUTH` needs none.
    private var commands: [String] {
        switch self {
        case .worker:
            [
                "+client|setname", "+eval", "+evalsha", "+exec", "+hdel", "+hget", "+hlen", "+hmget", "+hset", "+multi",
                "+pexpire", "+script|load", "+select", "+set", "+time", "+unlink", "+xadd",
            ]
        case .reader:
            [
                "+client|caching", "+client|id", "+client|list", "+client|setname", "+client|tracking", "+eval",
                "+evalsha", "+exec", "+exists", "+get", "+hexists", "+hget", "+hlen", "+hmget", "+hset", "+multi",
                "+pexpire", "+ping", "+script|load", "+select", "+set", "+subscribe", "+time", "+unlink",
            ]
        case .auditor:
            [
                "+client|setname", "+exec", "+hkeys", "+hmget", "+multi", "+pttl", "+scan", "+select", "+time",
                "+xrevrange",
            ]
        case .watcher:
            [
                "+client|setname", "+select", "+time", "+xinfo|stream", "+xrange", "+xread", "+xrevrange",
            ]
        case .doctor:
            [
                "+acl|whoami", "+client|setname", "+config|get", "+eval", "+hmget", "+info", "+select", "+time",
            ]
        }
    }

    /// The keys and channels, as rules, for a prefix.
    private func keys(_ prefix: String) -> [String] {
        switch self {
        case .worker: ["~\(prefix):*"]
        // Redis tells a near cache of changed keys on this channel.
        case .reader: ["~\(prefix):*", "&__redis__:invalidate"]
        case .auditor, .doctor: ["%R~\(prefix):*"]
        case .watcher: ["%R~\(prefix):*.changes"]
        }
    }

    /// The rules, without whether the user is on and its passwords.
    package func rules(prefix: String) -> [String] {
        ["resetkeys", "resetchannels"] + keys(prefix) + ["-@all"] + commands
    }

    /// The line of an ACL file.
    ///
    /// There is no password in it: until one is added, nobody can log in.
    package func line(prefix: String = "freshet") -> String {
        (["user", userName, "on"] + rules(prefix: prefix)).joined(separator: " ")
    }
}
