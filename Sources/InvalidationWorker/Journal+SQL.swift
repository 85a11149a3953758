// The statements of the worker. Every name of Freshet is qualified, and the names of the application's tables are quoted by
// Postgres itself, in `attachedColumns`.

extension Journal {
    /// Settings of the session, and what the worker must know before it begins.
    ///
    /// `row_security = off` turns a policy that would hide rows into an error. `enable_seqscan = off` because the journal is
    /// nearly always empty, so that the planner would rather read all its dead rows than its index. `jit = off` because what
    /// cannot do without a sequential scan then looks so expensive that it would be compiled, for seconds, at every claim.
    /// No time limit of the server's is wanted: the session has its own, and one that cut a large backlog short would cut it
    /// short for ever.
    static let sessionSettings = """
        SET row_security = off;
        SET enable_seqscan = off;
        SET jit = off;
        SET statement_timeout = 0;
        SET lock_timeout = 0;
        SET idle_session_timeout = 0;
        SET idle_in_transaction_session_timeout = 0;
        SET search_path = pg_catalog;
        """

    /// Whether the triggers send notifications, by the setting that they obey.
    static let notifies = "SELECT freshet.notify_enabled()"

    static let tryLock = "SELECT pg_try_advisory_lock(\(Leadership.advisoryLockKey))"

    static let listen = "LISTEN freshet_change"

    static let identity = "SELECT freshet.identity()"

    /// Crash recovery empties an UNLOGGED table, so a missing token says that commits may have been lost.
    static let newIncarnation = """
        INSERT INTO freshet.incarnation (token)
        SELECT replace(gen_random_uuid()::text, '-', '')
        WHERE NOT EXISTS (SELECT FROM freshet.incarnation)
        """

    /// The attached tables that the facts are read from, each name quoted where it must be, and what a claim says of them
    /// as long as they are these.
    static let factTables = """
        SELECT format('%I.%I', workflow.schema_name, workflow.table_name),
            quote_ident(workflow.id_column), quote_ident(workflow.environment_column),
            format('%I.%I', link.schema_name, link.table_name),
            quote_ident(link.detector_column), quote_ident(link.workflow_column),
            (\(attachments))
        FROM freshet.attachment AS workflow, freshet.attachment AS link
        WHERE workflow.subject = 'workflow' AND link.subject = 'link'
        """

    private static let attachments = """
        SELECT string_agg(attachment::text, ' ' ORDER BY subject) FROM freshet.attachment
        """

    static let acknowledge = "UPDATE freshet.fence SET mark = $1, triggers = $2"

    /// The claim: one statement, so one snapshot, for the rows, for what resolves them, and for the proof that the triggers
    /// are as attached.
    ///
    /// Parameters: $1 the floor's xmax, $2 what was in progress at the floor, $3 the mark of this pass, $4 the greatest
    /// number of rows that are resolved one by one; they may name ten times as many keys.
    ///
    /// The rows are `(kind, text1, text2, text3, number1, number2, array1, array2, array3, array4)`:
    ///
    /// * `pass`: snapshot, mark, acknowledged triggers; rows seen, rows deleted;
    /// * `attachments`: the names of tables and columns, to be held against ``FactTables/attachments``;
    /// * `attached`: subject, fingerprint, problem;
    /// * `change`: subject, operation, application; rows touched, time in µs; detectors, workflows, old and new
    ///   environments;
    /// * `link`: detector and workflow, as numbers; `environment`: workflow and its environment, as numbers.
    ///
    /// Locks: row locks on the claimed rows of the journal and, where there are any, on the one row of `freshet.fence`.
    static func claim(facts: FactTables?) -> String {
        let rows = """
            WITH seen AS MATERIALIZED (
                SELECT change.ctid AS place, change.*
                FROM freshet.change
                WHERE change.xid >= $1::xid8 OR change.xid = ANY ($2::xid8[])
            ), depth AS MATERIALIZED (
                SELECT count(*) AS rows,
                    count(*) > $4::bigint OR coalesce(sum(row_count), 0) > 10 * $4::bigint AS collapsed
                FROM seen
            ), gone AS (
                DELETE FROM freshet.change USING seen WHERE change.ctid = seen.place RETURNING 1
            ), marked AS (
                UPDATE freshet.fence SET mark = $3::text WHERE EXISTS (SELECT FROM seen)
            )
            SELECT 'pass', pg_current_snapshot()::text, CASE WHEN fence.singleton THEN coalesce(fence.mark, '') END, fence.triggers,
                depth.rows, (SELECT count(*) FROM gone),
                NULL::bigint[], NULL::bigint[], NULL::bigint[], NULL::bigint[]
            FROM depth LEFT JOIN freshet.fence ON true
            UNION ALL
            SELECT 'attachments', (\(attachments)), NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
            UNION ALL
            SELECT 'attached', subject, fingerprint, CASE WHEN ok THEN NULL ELSE problem END,
                NULL, NULL, NULL, NULL, NULL, NULL
            FROM freshet.attached
            UNION ALL
            SELECT 'change', subject, operation, application_name,
                row_count, (extract(epoch FROM changed_at) * 1000000)::bigint,
                detector_ids, workflow_ids, old_environment_ids, new_environment_ids
            FROM seen WHERE NOT (SELECT collapsed FROM depth)
            """
        guard let facts else { return rows }
        return rows + """

            UNION ALL
            (SELECT 'link', NULL, NULL, NULL, link.\(facts.linkDetector)::bigint, link.\(facts.linkWorkflow)::bigint,
                NULL, NULL, NULL, NULL
            FROM \(facts.link) AS link
            WHERE link.\(facts.linkWorkflow) = ANY (ARRAY(
                SELECT DISTINCT touched.id FROM seen, unnest(seen.workflow_ids) AS touched (id)
                WHERE seen.subject = 'workflow' AND NOT (SELECT collapsed FROM depth)))
            LIMIT $4::bigint + 1)
            UNION ALL
            SELECT 'environment', NULL, NULL, NULL,
                workflow.\(facts.workflowID)::bigint, workflow.\(facts.workflowEnvironment)::bigint,
                NULL, NULL, NULL, NULL
            FROM \(facts.workflow) AS workflow
            WHERE workflow.\(facts.workflowID) = ANY (ARRAY(
                SELECT DISTINCT touched.id FROM seen, unnest(seen.workflow_ids) AS touched (id)
                WHERE seen.subject = 'link' AND NOT (SELECT collapsed FROM depth)))
            """
    }
}

/// The tables that the facts of a claim are read from: names as SQL text, quoted where they must be.
struct FactTables: Hashable, Sendable {
    var workflow: String
    var workflowID: String
    var workflowEnvironment: String
    var link: String
    var linkDetector: String
    var linkWorkflow: String
    /// The rows of `freshet.attachment` that these names come from, as text.
    var attachments: String
}
