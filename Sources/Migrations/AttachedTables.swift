/// The application's three tables and the columns that matter, as `freshet.attach()` takes them.
public struct AttachedTables: Sendable, Equatable {
    /// Which triggers are attached.
    public enum Level: String, Sendable {
        /// One call a statement: what an application's own writes want.
        case statement
        /// One call a row: what the subscriber of a logical replication needs, since its apply process fires no others.
        case row
    }

    /// The table of detectors; with a schema (`app.detector`) or found by the search path.
    public var detector = "workflow_engine_detector"
    /// The table of workflows.
    public var workflow = "workflow_engine_workflow"
    /// The table that links detectors to workflows.
    public var link = "workflow_engine_detectorworkflow"
    /// The key of the detector table.
    public var detectorID = "id"
    /// The key of the workflow table.
    public var workflowID = "id"
    /// The column of the workflow table that names its environment, NULL for a global workflow.
    public var workflowEnvironment = "environment_id"
    /// The column of the link table that names the detector.
    public var linkDetector = "detector_id"
    /// The column of the link table that names the workflow.
    public var linkWorkflow = "workflow_id"
    /// Which triggers are attached.
    public var level = Level.statement

    /// The three tables under their usual names.
    public init() {}
}
