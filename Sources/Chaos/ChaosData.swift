// Who may write what.
//
// Owners 1 to 3 have a history: their detectors and workflows are changed only by transactions that hold the owner's row in
// `chaos_owner`, one writer's or one that holds the rows of all. The arena has none: two writers change anything of it at the same
// time, kept out by nothing but the locks of rows, so that transactions meet that do not see each other. None can tell what a set is
// once it has committed, nor which of two that changed different rows became visible first: a set of the arena has no known sequence
// of values. What is known is what it is while nobody writes to it: each transaction that does holds a lock that all of them share
// (``enterArena``), and whoever takes it alone (``stopArena``) knows that what has been written is visible, and that nothing more comes
// as long as the lock is held. So the arena is made to stand still again and again, in the middle of everything (ArenaInspector.swift),
// and at the end.
//
// A bump of anything else than what was changed would hide that its own got lost. So what is done in bulk is mostly done to
// the owners alone, and seldom to the whole namespace (BulkChange.swift).
//
// A workflow of an owner is global for good, or roams between the global set and the environments, or stays among the
// environments. A lookup of an environment answers the global set and the environment's, which may be of two moments (README): each
// is recorded by itself.

import Freshet
import History

enum ChaosData {
    static let owners = Array(1...3)
    static let arena = 9
    static let environments: [UInt16] = [5, 6, 7]
    static let database = "chaos"

    static let worker = "chaos_worker"
    static let reader = "chaos_reader"
    static let writer = "chaos_writer"

    /// What every session of a writer begins with: who hangs in a transaction must not hold locks for long.
    static let session = "SET lock_timeout = '5s'; SET idle_in_transaction_session_timeout = '5s'"
    /// What a transaction begins with that changes anything of the arena.
    ///
    /// Not the lock of a row: whoever waits for that alone is overtaken by all who share it.
    static let enterArena = "SELECT pg_advisory_xact_lock_shared(\(arena))"
    /// What a transaction begins with that nobody is to write to the arena beside.
    static let stopArena = "SELECT pg_advisory_xact_lock(\(arena))"

    static func detectors(of owner: Int) -> [UInt16] { (1...4).map { UInt16(owner * 10 + $0) } }

    static func workflows(of owner: Int) -> ClosedRange<Int> { owner * 10 + 1...owner * 10 + 8 }

    /// Whether a workflow is always global.
    static func isGlobal(_ workflow: Int) -> Bool { workflow % 10 == 1 }

    /// Whether a workflow moves between the global set and those of environments.
    static func isRoamer(_ workflow: Int) -> Bool { [2, 3].contains(workflow % 10) }

    /// Every set with a history.
    static let keys: [HistoryKey] = owners.flatMap { keys(of: $0) }

    static func keys(of owner: Int) -> [HistoryKey] {
        detectors(of: owner).flatMap { detector in
            ([0] + environments).map { HistoryKey(detector: detector, environment: $0) }
        }
    }

    /// Whose sets there are.
    static let groups = owners + [arena]

    /// All that readers ask for.
    static let detectors: [Int64] = groups.flatMap { detectors(of: $0) }.map { Int64($0) }

    static let tables = """
        CREATE TABLE chaos_owner (owner bigint PRIMARY KEY, transaction bigint NOT NULL DEFAULT 0);
        INSERT INTO chaos_owner SELECT generate_series(1, \(owners.count));
        """

    static let roles = """
        CREATE ROLE \(worker) LOGIN IN ROLE freshet_worker;
        CREATE ROLE \(reader) LOGIN IN ROLE freshet_reader, pg_read_all_data;
        CREATE ROLE \(writer) LOGIN IN ROLE freshet_reader, pg_read_all_data, pg_write_all_data;
        GRANT TRUNCATE ON workflow_engine_detector, workflow_engine_workflow, workflow_engine_detectorworkflow TO \(writer);
        """

    /// The statements that put everything of some groups where nothing of them is.
    static func fill(_ groups: [Int], version: String) -> [String] {
        let groups = groups.map { String($0) }.joined(separator: ", ")
        return [
            """
            INSERT INTO workflow_engine_detector (id)
            SELECT owner * 10 + n FROM unnest(ARRAY[\(groups)]) AS owner, generate_series(1, 4) AS n
            """,
            """
            INSERT INTO workflow_engine_workflow (id, name, environment_id)
            SELECT owner * 10 + n, '\(version)', CASE WHEN n > 1 THEN 5 + n % 3 END
            FROM unnest(ARRAY[\(groups)]) AS owner, generate_series(1, 8) AS n
            """,
            """
            INSERT INTO workflow_engine_detectorworkflow (detector_id, workflow_id)
            SELECT owner * 10 + d, owner * 10 + w
            FROM unnest(ARRAY[\(groups)]) AS owner, generate_series(1, 4) AS d, generate_series(1, 8) AS w
            WHERE w = 1 OR (d + w) % 2 = 0
            """,
        ]
    }

    /// The sets that are not empty of some groups: detector, environment, text.
    ///
    /// The truth by which everything is judged: plain SQL that knows nothing of Freshet.
    static let readBack = """
        SELECT link.detector_id, coalesce(workflow.environment_id, 0),
            string_agg(workflow.id || '@' || workflow.name, ' ' ORDER BY workflow.id)
        FROM workflow_engine_detectorworkflow AS link
        JOIN workflow_engine_workflow AS workflow ON workflow.id = link.workflow_id
        WHERE workflow.enabled AND link.detector_id / 10 = ANY ($1::bigint[])
        GROUP BY 1, 2
        """

    /// Whose set it is in the words of a history.
    static func key(of set: DetectorWorkflowsKey) -> HistoryKey {
        HistoryKey(detector: UInt16(set.detectorID), environment: UInt16(set.environment.id ?? 0))
    }

    /// A set as ``readBack`` has it.
    static func text(of workflows: some Sequence<Workflow>) -> String {
        workflows.map { "\($0.id)@\($0.name)" }.joined(separator: " ")
    }
}
