import Keyspace

/// What the scripts of one pass answered, summed up.
struct PassOutcome: Equatable, Sendable {
    /// The namespace generation of the first bucket.
    var generation: String?
    /// Entities bumped that somebody had cached.
    var bumpedEntities: Int64 = 0
    /// Variants bumped of entities that somebody had cached.
    var bumpedVariants: Int64 = 0
    /// Entities to bump that nobody had cached: they cost nothing and leave nothing.
    var absentEntities: Int64 = 0
    /// Keys with something else in them, removed.
    var damagedKeys: Int64 = 0
}
