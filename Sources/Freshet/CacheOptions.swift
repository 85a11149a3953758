package import Surroundings

/// How one process uses a cache.
///
/// None of this is part of the contract with the worker and with other readers: those figures are `KeyspaceLimits`.
public struct CacheOptions: Sendable {
    /// What to do while nobody vouches for what Redis holds, or while Redis does not answer.
    public var degradation = DegradationPolicy.serve(upTo: .seconds(60))
    /// How many loads reach the database, and how large.
    public var loads = LoadLimits()
    /// How a value that another process is loading is waited for.
    public var sharing = FillSharing()
    /// When a Redis that fails is left alone for a while.
    public var breaker = BreakerLimits()
    /// How long a read with a ``ReadToken`` waits for the worker before it loads.
    ///
    /// Where many change something at once, a worker applies a change up to some 50 ms after its commit.
    public var tokenWait: Duration = .milliseconds(100)
    /// Whether decoded values are kept in the memory of this process as well; nil, as by default, keeps none.
    ///
    /// Off by default because it opens connections of its own, and needs the cache to be run.
    public var nearCache: NearCacheOptions?
    /// Where the namespace is registered, so that it is not used by two caches at once.
    public var registry = CacheRegistry.process
    /// The machine, as far as it is not the system's.
    package var surroundings = Surroundings.system

    /// The defaults.
    public init() {}
}

/// How many loads reach the database, and how large.
public struct LoadLimits: Hashable, Sendable {
    /// How many loads of one cache are under way at once, at least 1; further ones wait, and are put together.
    public var maximumConcurrentLoads = 8
    /// How long the first missing key waits for others to share its query; zero sends it at once.
    public var window: Duration = .milliseconds(1)
    /// Beyond so many keys a load takes no further caller in; one caller's keys are never divided.
    public var maximumKeysPerLoad = 5_000

    /// The defaults.
    public init() {}
}

/// How a value that another process is loading is waited for.
public struct FillSharing: Hashable, Sendable {
    /// How long a reader waits for the value that another process is loading, before it loads by itself; zero never waits.
    public var wait: Duration = .seconds(1)
    /// For how long others believe that a process is loading which says nothing any more, as one does that was killed.
    public var claimAge: Duration = .seconds(3)

    /// The defaults.
    public init() {}
}
