/// What a run of the migrator changed.
public struct MigrationReport: Sendable, Equatable {
    /// The migrations that this run applied, in order; empty where the schema was up to date.
    public var applied: [String] = []
    /// Whether this run attached, mended or changed triggers; false where they were as wanted, or were not asked for.
    public var attached = false

    /// The same of the cache of detectors by data source.
    public var attachedDataSources = false

    /// Whether anything was changed at all.
    public var isUnchanged: Bool { applied.isEmpty && !attached && !attachedDataSources }
}
