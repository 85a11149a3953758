public import Keyspace
public import Logging
public import Redis
public import ServiceLifecycle

/// Answers which detectors a data source feeds, from Redis where it can.
///
/// ```swift
/// let lookup = try DetectorsBySource(redis: redis, loader: loader.load, logger: logger)
/// let found = try await lookup.detectors(of: [DataSourceKey(type: "snuba_query_subscription", sourceID: "17")])
/// ```
public struct DetectorsBySource: Service {
    /// Loads lists of detectors from Postgres; `PostgresDetectorLoader.load` of the product `FreshetPostgres` is one.
    public typealias Loader = CacheDefinition<DataSourceKey, [Detector]>.Loader

    private let cache: ReadThroughCache<DataSourceKey, [Detector]>

    /// A lookup on one Redis, which it does not close.
    ///
    /// - Parameters:
    ///   - namespace: Behind the prefix that the worker has, and as many buckets.
    ///   - limits: As the worker has them.
    ///   - options: How this process uses the cache.
    ///   - loader: Loads what is missing. It must read the primary, in a snapshot begun after it was called.
    /// - Throws: ``CacheError/Code/namespaceInUse`` where another cache of this process has the namespace.
    public init(
        redis: any RedisClient,
        namespace: CacheNamespace = .dataSources,
        limits: KeyspaceLimits = KeyspaceLimits(),
        options: CacheOptions = CacheOptions(),
        loader: @escaping Loader,
        logger: Logger
    ) throws(CacheError) {
        let definition = CacheDefinition<DataSourceKey, [Detector]>(
            namespace: namespace,
            entity: { Entity.dataSource(type: $0.type, sourceID: $0.sourceID) },
            variant: { _ in .global },
            encode: DetectorCodec.encode,
            decode: { try DetectorCodec.decode($0) },
            limits: limits,
            load: loader
        )
        cache = try ReadThroughCache(definition, redis: redis, options: options, logger: logger)
    }

    /// Runs what goes on beside lookups, until a graceful shutdown; lookups work without it.
    public func run() async throws {
        try await cache.run()
    }

    /// The detectors of some data sources, enabled or not, each list by id.
    ///
    /// One round trip where everything is cached; one query more for all that is not. A data source that does not exist has an
    /// empty list.
    ///
    /// - Parameters:
    ///   - token: A committed transaction that the answer must not be from before.
    ///   - deadline: When to give up, whatever is being waited for.
    /// - Throws: What the loader throws; `CancellationError` where the caller is cancelled; ``CacheError`` where the deadline
    ///   has passed, or where the policy is to fail.
    public func detectors(
        of sources: some Sequence<DataSourceKey>,
        after token: ReadToken? = nil,
        deadline: ContinuousClock.Instant? = nil
    ) async throws -> CacheAnswers<DataSourceKey, [Detector]> {
        try await cache.values(for: sources, after: token, deadline: deadline)
    }
}

/// How a data source is asked for: the columns `type` and `source_id`.
///
/// Two keys are equal if their bytes are, as in Postgres: Swift would call some texts equal that differ there.
public struct DataSourceKey: Sendable {
    /// `type`.
    public var type: String
    /// `source_id`: the id that the source gave it, a text.
    public var sourceID: String

    /// The data sources of a type and a source id.
    public init(type: String, sourceID: String) {
        self.type = type
        self.sourceID = sourceID
    }
}

extension DataSourceKey: Hashable {
    /// Whether the bytes are equal.
    public static func == (left: DataSourceKey, right: DataSourceKey) -> Bool {
        left.type.utf8.elementsEqual(right.type.utf8) && left.sourceID.utf8.elementsEqual(right.sourceID.utf8)
    }

    /// Hashes the bytes.
    public func hash(into hasher: inout Hasher) {
        for text in [type, sourceID] {
            hasher.combine(text.utf8.count)
            for byte in text.utf8 { hasher.combine(byte) }
        }
    }
}

extension DataSourceKey: CustomStringConvertible {
    /// `<type>/<source id>`, as it stands in the key.
    public var description: String { Entity.dataSource(type: type, sourceID: sourceID).text }
}
