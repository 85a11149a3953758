/// What an entry was valid for when its load began.
public struct EntryStamp: Hashable, Sendable {
    /// The namespace generation, read before the load.
    public var namespace: Generation
    /// The entity generation, read before the load.
    public var entity: Generation
    /// The variant generation, read before the load; nil where the variant had none yet.
    public var variant: Generation?
    /// The server's time, read before the load.
    public var readAt: RedisTime

    /// A stamp of the generations and the time that one read of Redis returned.
    public init(namespace: Generation, entity: Generation, variant: Generation?, readAt: RedisTime) {
        self.namespace = namespace
        self.entity = entity
        self.variant = variant
        self.readAt = readAt
    }

    /// Whether an entry with this stamp may be served, or why not.
    ///
    /// An entry is valid if and only if its three generations equal the current ones. While degraded it must also be
    /// young: not older than `degradedLimit`, and not from the future. No entry is served that is older than `timeToLive`:
    /// others under its key may have kept it in Redis for longer.
    public func verdict(
        current: Generations,
        trust: Trust,
        at now: RedisTime,
        degradedLimit: Duration,
        timeToLive: Duration
    ) -> Verdict {
        guard let currentEntity = current.entity else { return .stale(.entity) }
        if namespace != current.namespace { return .stale(.namespace) }
        if entity != currentEntity { return .stale(.entity) }
        if variant != current.variant { return .stale(.variant) }
        let age = now.since(readAt)
        if age > timeToLive { return .expired }
        guard trust != .healthy else { return .valid }
        return trust == .degraded && age >= .zero && age < degradedLimit ? .valid : .tooOld
    }

    /// The outcome of holding a stamp against the current generations.
    public enum Verdict: Hashable, Sendable {
        /// The entry may be served.
        case valid
        /// A generation has risen since the entry was loaded.
        case stale(Level)
        /// The entry is older than any may be.
        case expired
        /// Nobody vouches for the entry now, and it is too old to be served without.
        case tooOld
    }

    /// The three levels at which an entry can be invalidated.
    public enum Level: String, Hashable, Sendable {
        case namespace, entity, variant
    }
}

/// The generations that guard one entry, as one read of Redis returned them.
public struct Generations: Hashable, Sendable {
    /// The namespace generation; nil where the head has none.
    public var namespace: Generation?
    /// The entity generation; nil where the entity has none, and therefore nothing of it is valid.
    public var entity: Generation?
    /// The variant generation; nil where the variant has none yet.
    public var variant: Generation?

    /// The generations of one read.
    public init(namespace: Generation?, entity: Generation?, variant: Generation?) {
        self.namespace = namespace
        self.entity = entity
        self.variant = variant
    }

    /// The stamp of a load that begins now; nil where something must be seeded first.
    public func stamp(readAt: RedisTime) -> EntryStamp? {
        guard let namespace, let entity else { return nil }
        return EntryStamp(namespace: namespace, entity: entity, variant: variant, readAt: readAt)
    }
}
