public import Redis

/// That decoded values are kept in the memory of this process, and how many.
///
/// A hit in memory is as fresh as one in Redis, but for the way of a push: Redis tells of every change, and nothing is answered
/// from memory for longer than the worker vouches. It costs two connections to Redis for each process, which this cache opens
/// while it is run (see ``ReadThroughCache/run()``); without them nothing is answered from memory.
///
/// It needs a server itself, not a proxy that does not pass `CLIENT TRACKING` on, and a user who may use `CLIENT`,
/// `SUBSCRIBE`, `PING` and the channel `__redis__:invalidate`.
public struct NearCacheOptions: Sendable {
    /// The server that the cache is read from.
    ///
    /// While the near cache works, reads go over its own connection there.
    public var redis: RedisConfiguration
    /// How much is kept at most.
    public var limits = NearCacheLimits()
    /// The time between two looks at the worker's promise, after which a switched-off cache is noticed at the latest.
    package var pollInterval: Duration = .milliseconds(500)
    /// Opens the connections of a simulation, in place of those to `redis`.
    package var open: TrackingOpener?

    /// A near cache with the defaults, in front of a server.
    public init(redis: RedisConfiguration) {
        self.redis = redis
    }
}
