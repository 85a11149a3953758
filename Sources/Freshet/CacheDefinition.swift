public import Keyspace

/// What makes one cache different from another: where it lives, how a key maps to what is invalidated, how a value becomes
/// bytes, and where it is loaded from.
public struct CacheDefinition<Key: Hashable & Sendable, Value: Sendable>: Sendable {
    /// Loads the values of all keys that are missing, in one query.
    ///
    /// The query must read the primary in a snapshot of its own, begun after this closure was called: never inside an older
    /// transaction of the caller. A key that the answer leaves out has no value, which is an error of the loader: an empty
    /// set is a value.
    public typealias Loader = @Sendable ([Key]) async throws -> LoadedValues<Key, Value>

    /// Where the cache lives in Redis.
    public var namespace: CacheNamespace
    /// The entity of a key: what one bump invalidates as a whole.
    public var entity: @Sendable (Key) -> Entity
    /// The variant of a key: which of the entity's entries it is.
    public var variant: @Sendable (Key) -> Variant
    /// The bytes of a value.
    public var encode: @Sendable (Value) -> [UInt8]
    /// The value of some bytes.
    ///
    /// Whatever it throws counts as a damaged entry, hence as a miss.
    public var decode: @Sendable (ArraySlice<UInt8>) throws -> Value
    /// Where missing values come from.
    public var load: Loader
    /// The figures of the contract, as the worker and other readers have them.
    public var limits: KeyspaceLimits
    /// Spreads keys over the parts of a near cache, by its upper bits; keys that are asked for together do well to share it.
    var spread: @Sendable (Key) -> UInt = { UInt(bitPattern: $0.hashValue) }

    /// The declaration of one cache.
    public init(
        namespace: CacheNamespace,
        entity: @escaping @Sendable (Key) -> Entity,
        variant: @escaping @Sendable (Key) -> Variant,
        encode: @escaping @Sendable (Value) -> [UInt8],
        decode: @escaping @Sendable (ArraySlice<UInt8>) throws -> Value,
        limits: KeyspaceLimits = KeyspaceLimits(),
        load: @escaping Loader
    ) {
        self.namespace = namespace
        self.entity = entity
        self.variant = variant
        self.encode = encode
        self.decode = decode
        self.limits = limits
        self.load = load
    }
}

extension CacheDefinition {
    /// The keys in an order in which those of one entity are neighbours, so that the entity is read once.
    func arranged(_ keys: some Sequence<Key>) -> [Key] {
        Dictionary(grouping: keys, by: entity).values.flatMap { $0 }
    }
}

/// What a load returned, and from which Postgres.
public struct LoadedValues<Key: Hashable & Sendable, Value: Sendable>: Sendable {
    /// The values, one for each key that was asked for.
    public var values: [Key: Value]
    /// What `freshet.identity()` said in the snapshot of the load.
    ///
    /// Values of another Postgres than the one the worker vouches for (a replica, an isolated old primary) are
    /// answered, but never stored. Nil is never stored.
    public var postgres: String?
    /// How many rows the database returned, for the metrics; nil is one for each value.
    public var rowCount: Int?

    /// The answer of a loader.
    public init(values: [Key: Value], postgres: String?, rowCount: Int? = nil) {
        self.values = values
        self.postgres = postgres
        self.rowCount = rowCount
    }
}
