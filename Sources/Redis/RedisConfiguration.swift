internal import NIOCore

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
            let isAddress =
                host.utf8.contains(UInt8(ascii: ":")) && (try? SocketAddress(ipAddress: host, port: 0)) != nil
            let name = isAddress ? "[\(host)]" : Self.percentEncoded(host, except: "")
            return "\(scheme)://\(name):\(port)" + (database == 0 ? "" : "/\(database)")
        case .unix(let path):
            return "unix://\(Self.percentEncoded(path, except: "/:@"))" + (database == 0 ? "" : "?db=\(database)")
        }
    }

    /// A host or a path as it stands in a URL, which is one line whatever is in it.
    private static func percentEncoded(_ text: String, except others: String) -> String {
        var encoded: [UInt8] = []
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "-"):
                encoded.append(byte)
            case _ where others.utf8.contains(byte):
                encoded.append(byte)
            default:
                encoded += (byte < 16 ? "%0" : "%").utf8
                encoded += String(byte, radix: 16, uppercase: true).utf8
            }
        }
        return String(decoding: encoded, as: UTF8.self)
    }

    /// The same as ``description``.
    public var debugDescription: String { description }

    /// No children, so that `dump` does not show the password either.
    public var customMirror: Mirror { Mirror(self, children: [:]) }
}
