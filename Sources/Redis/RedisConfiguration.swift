/// Where a Redis server is, who logs in, and how long things may take.
public struct RedisConfiguration: Sendable, Hashable {
    /// The address of a server.
    public enum Endpoint: Sendable, Hashable {
        /// A host name or address, and a port.
        case tcp(host: String, port: Int)
        /// The path of a socket in the file system.
        case unix(path: String)
    }

    /// The address of the server.
    public var endpoint: Endpoint
    /// Encryption; nil is none.
    public var tls: RedisTLS?
    /// The user to log in as; nil is the server's default user.
    public var username: String?
    /// The password to log in with; nil does not log in.
    public var password: String?
    /// The number of the database.
    public var database: Int
    /// How long an attempt to connect may take: name lookup, encryption and login together.
    public var connectTimeLimit: Duration = .seconds(5)
    /// How long a call may take that says nothing else, waiting for the connection included.
    public var commandTimeLimit: Duration = .seconds(2)

    /// A server by its address, without encryption or login unless given.
    public init(
        endpoint: Endpoint,
        tls: RedisTLS? = nil,
        username: String? = nil,
        password: String? = nil,
        database: Int = 0
    ) {
        self.endpoint = endpoint
        self.tls = tls
        self.username = username
        self.password = password
        self.database = database
    }
}

extension RedisConfiguration: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    /// The server as a URL, without user and password.
    public var description: String {
        switch endpoint {
        case .tcp(let host, let port):
            let scheme = tls == nil ? "redis" : "rediss"
            let name = host.contains(":") ? "[\(host)]" : host
            return "\(scheme)://\(name):\(port)" + (database == 0 ? "" : "/\(database)")
        case .unix(let path):
            return "unix://\(path)" + (database == 0 ? "" : "?db=\(database)")
        }
    }

    /// The same as ``description``.
    public var debugDescription: String { description }

    /// No children, so that `dump` does not show the password either.
    public var customMirror: Mirror { Mirror(self, children: [:]) }
}
