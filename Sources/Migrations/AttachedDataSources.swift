/// The application's tables of the cache of detectors by data source, as `freshet.attach_datasources()` takes them.
///
/// Where the columns have other names than usual, call that function instead.
public struct AttachedDataSources: Sendable, Equatable {
    /// The table of data sources; with a schema (`app.datasource`) or found by the search path.
    public var dataSource = "workflow_engine_datasource"
    /// The table that links data sources to detectors.
    public var link = "workflow_engine_datasourcedetector"
    /// The table of detectors.
    public var detector = "workflow_engine_detector"
    /// Which triggers are attached.
    public var level = AttachedTables.Level.statement

    /// The three tables under their usual names.
    public init() {}
}
