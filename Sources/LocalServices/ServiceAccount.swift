import Glibc

/// The account that a server runs as: ourselves, or `postgres` where we are root, because Postgres refuses to run as root.
enum ServiceAccount: Sendable, Equatable {
    case current
    case other(name: String, user: uid_t, group: gid_t)

    /// The account for Postgres.
    static func forPostgres() throws(LocalServiceError) -> ServiceAccount {
        guard geteuid() == 0 else { return .current }
        var entry = passwd()
        var found: UnsafeMutablePointer<passwd>?
        var buffer = [CChar](repeating: 0, count: 16_384)
        guard getpwnam_r("postgres", &entry, &buffer, buffer.count, &found) == 0, found != nil else {
            throw LocalServiceError(
                .notInstalled,
                "the user postgres does not exist, and Postgres refuses to run as root: apt-get install postgresql"
            )
        }
        return .other(name: "postgres", user: entry.pw_uid, group: entry.pw_gid)
    }

    /// The arguments of setpriv that become this account; none for ourselves.
    var setprivArguments: [String] {
        switch self {
        case .current: []
        case .other(let name, _, let group): ["--reuid=\(name)", "--regid=\(group)", "--init-groups"]
        }
    }
}
