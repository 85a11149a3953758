/// How to reach Postgres, and how long to wait for it.
public struct PostgresConfiguration: Sendable, CustomStringConvertible {
    /// A URI or a keyword string, handed to libpq untouched.
    ///
    /// Empty means the `PG*` environment variables and libpq's defaults. Several hosts, TLS (`sslmode`,
    /// `sslrootcert`), service files and the rest are libpq's business. What it says wins over the keepalive defaults
    /// set here: `keepalives=1`, `keepalives_idle=10`, `keepalives_interval=5`, `keepalives_count=3` and
    /// `tcp_user_timeout=15000`. (A service file does not: libpq reads it last.) The client encoding is UTF-8 always.
    public var connectionString: String
    /// What `pg_stat_activity` shows, unless the connection string or `PGAPPNAME` says otherwise.
    public var applicationName: String
    /// How long connecting may take in all, name resolution and every host included.
    public var connectTimeLimit: Duration
    /// How long a statement may take, waiting for its turn on the connection included, unless the call says otherwise.
    public var queryTimeLimit: Duration
    /// Whether to accept only a server that can be written to, whatever the connection string says.
    public var requiresReadWrite: Bool

    /// A configuration with the defaults of this package.
    public init(
        connectionString: String = "",
        applicationName: String = "freshet",
        connectTimeLimit: Duration = .seconds(10),
        queryTimeLimit: Duration = .seconds(30),
        requiresReadWrite: Bool = false
    ) {
        self.connectionString = connectionString
        self.applicationName = applicationName
        self.connectTimeLimit = connectTimeLimit
        self.queryTimeLimit = queryTimeLimit
        self.requiresReadWrite = requiresReadWrite
    }

    /// The configuration with passwords left out.
    public var description: String {
        "Postgres at \"\(Redaction.redacting(connectionString))\" as \(applicationName)"
    }

    /// The connection string with passwords left out, for logs and messages.
    public var redactedConnectionString: String {
        Redaction.redacting(connectionString)
    }
}
