/// How much a near cache holds at most.
public struct NearCacheLimits: Hashable, Sendable {
    /// The number of values.
    public var count = 100_000
    /// The bytes of all values together, each counted as long as it is encoded in Redis.
    ///
    /// Decoded they take more: of workflows about twice as much.
    public var bytes = 64 * 1024 * 1024

    /// The defaults.
    public init() {}

    /// Limits of a number of values and a number of bytes.
    public init(count: Int, bytes: Int) {
        self.count = count
        self.bytes = bytes
    }
}
