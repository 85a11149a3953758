/// A Lua script that runs in the server.
public struct RedisScript: Sendable, Hashable {
    /// What people call it, in messages and logs; the server never sees it.
    public let name: String
    /// The Lua text.
    ///
    /// Its hash, by which the server knows it, depends on nothing else.
    public let source: String
    /// The text's, taken once: to hash some kilobytes for each call takes longer than to encode it.
    private let sourceHash: Int

    /// A script with its name and Lua text.
    public init(name: String, source: String) {
        self.name = name
        self.source = source
        sourceHash = source.hashValue
    }

    /// Whether two scripts have the same text, by whatever name.
    public static func == (left: RedisScript, right: RedisScript) -> Bool {
        left.sourceHash == right.sourceHash && left.source == right.source
    }

    /// Adds the text's hash.
    public func hash(into hasher: inout Hasher) {
        hasher.combine(sourceHash)
    }
}
