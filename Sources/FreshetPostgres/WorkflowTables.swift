/// The names of the application's tables and columns, as they were given to `freshet.attach`.
public struct WorkflowTables: Hashable, Sendable {
    /// The table of workflows, as SQL text: schema-qualified, and quoted where it must be.
    public var workflow = "workflow_engine_workflow"
    /// The table of links, likewise.
    public var link = "workflow_engine_detectorworkflow"

    /// The default names.
    public init() {}

    /// Other names, as SQL text.
    public init(workflow: String, link: String) {
        self.workflow = workflow
        self.link = link
    }
}
