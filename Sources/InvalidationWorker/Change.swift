/// One row of the journal `freshet.change`: what a statement did, as facts.
///
/// What follows from it the ``Resolver`` says.
struct Change: Hashable, Sendable {
    /// What was changed: a table of the application, or something a person asked for.
    enum Subject: String, Hashable, Sendable, CaseIterable {
        case detector, workflow, link
        /// One variant of one entity, named by `freshet.invalidate_detector(id, environment)`.
        case entry
        case namespace
    }

    /// What was changed; nil where a newer schema writes something that this worker does not know.
    var subject: Subject?
    /// `insert`, `update`, `delete`, `truncate`, `invalidate`, `drift`, `ddl`, `escalation`, `attach` or `detach`.
    var operation: String
    /// How many rows the statement touched.
    var rowCount: Int64 = 0
    /// When the trigger ran, in microseconds since 1970 by the clock of Postgres.
    var changedAtMicroseconds: Int64 = 0
    /// The `application_name` of the writer.
    var applicationName: String?
    /// Of a detector: the rows' ids.
    ///
    /// Of a link: the detectors of the pairs. Of an entry: the detectors.
    var detectorIDs: [Int64?] = []
    /// Of a workflow: the rows' ids.
    ///
    /// Of a link: the workflows of the pairs, parallel to `detectorIDs`.
    var workflowIDs: [Int64?] = []
    /// Of a workflow, parallel to `workflowIDs`: the environments before; nil where there was no row.
    var oldEnvironmentIDs: [Int64?]?
    /// Of a workflow, parallel to `workflowIDs`: the environments after; nil where the rows are gone.
    ///
    /// Of an entry: its environments, parallel to `detectorIDs`.
    var newEnvironmentIDs: [Int64?]?
}

/// A link as a pair of ids.
struct Link: Hashable, Sendable {
    var detectorID: Int64
    var workflowID: Int64
}

/// What was looked up in the snapshot of the claim.
struct Facts: Hashable, Sendable {
    /// The links, in that snapshot, of the workflows that the batch changes.
    var links: [Link] = []
    /// The environments, in that snapshot, of the workflows that the batch links or unlinks.
    ///
    /// A nil value is a global workflow; a workflow that does not exist has no key.
    var environments: [Int64: Int64?] = [:]
}
