/// A Lua script that runs in the server.
public struct RedisScript: Sendable, Hashable {
    /// What people call it, in messages and logs; the server never sees it.
    public let name: String
    /// The Lua text.
    ///
    /// Its hash, by which the server knows it, depends on nothing else.
    public let source: String

    /// A script with its name and Lua text.
    public init(name: String, source: String) {
        self.name = name
        self.source = source
    }
}
