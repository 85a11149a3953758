// What workers and readers of the cache `datasources` share: detectors by data source. Everything else of the cache is in
// DataSourceRules.swift of the worker and in DetectorsBySource.swift of the library.

extension CacheNamespace {
    /// `freshet:datasources`, one bucket.
    public static let dataSources = CacheNamespace.workflows.sibling(named: "datasources")
}

extension Entity {
    /// What is invalidated as a whole: the data sources of a type and a source id.
    ///
    /// Its only variant is `-`.
    public static func dataSource(type: String, sourceID: String) -> Entity {
        Entity([type, sourceID])
    }
}
