/// The figures of the contract.
///
/// Readers and workers of one namespace should agree on them.
public struct KeyspaceLimits: Hashable, Sendable {
    /// How long a promise of the worker holds.
    public var lease: Duration = .seconds(5)
    /// How old a stamp may be that is still filled: a load that took longer is answered, but not stored.
    public var fillAge: Duration = .seconds(60)
    /// How long an entity stays in Redis after it was last seeded, filled or bumped as a whole.
    public var timeToLive: Duration = .seconds(24 * 60 * 60)
    /// How many variants of one entity are certainly cached; three times as many at the most.
    ///
    /// A further one is loaded at every lookup.
    public var variantsPerEntity = 64
    /// How many entities one run of a script bumps.
    ///
    /// Redis serves nobody else meanwhile: about 8 µs each, measured.
    public var entitiesPerScript = 100
    /// How many entities one pass bumps; where more are concerned, the namespace is bumped instead.
    public var entitiesPerPass = 100_000

    /// The defaults.
    public init() {}
}
