// Every metric that `freshet run` exports, as Prometheus is told of it. Who counts them, and what their labels may be, is said where
// they are counted: `WorkerTelemetry.swift`, `AuditTelemetry.swift`, `ChangeFeedTelemetry.swift`, and for those that are measured when somebody asks, here:
//
// | metric | type | labels | meaning |
// |---|---|---|---|
// | `freshet_build_info` | gauge | `version` | 1 |
// | `freshet_journal_rows` | gauge | | rows of the journal that nobody has applied, up to a million; absent while Postgres does not answer |
// | `freshet_journal_oldest_age_seconds` | gauge | | age of the oldest of them; 0 where there is none |
// | `freshet_standbys` | gauge | | workers that stand by, as Postgres shows them |
// | `freshet_server_up` | gauge | `server`: postgres, redis | 1 where it answered when it was asked |
// | `freshet_healthy` | gauge | `cache` | 1 where readers are told that they can rely on the cache; 0 without Redis |
// | `freshet_vouched_age_seconds` | gauge | `cache` | age of the last promise, whoever made it, by the clock of Redis |
// | `freshet_lease_seconds` | gauge | `cache` | how long a promise holds |
//
// and `process_…` as every exporter has them.

package import Prometheus

/// The metrics of `freshet run`.
package enum MetricCatalogue {
    /// From one millisecond to five minutes: what a commit waits for its invalidation.
    private static let latency: [Double] = [
        0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300,
    ]

    /// Those that are counted as things happen.
    package static let counted: [MetricDescription] = [
        .init("freshet_passes_total", .counter, "Passes over the journal, by how they ended.", labels: ["result"]),
        .init(
            "freshet_changes_total",
            .counter,
            "Rows of the journal that were applied.",
            labels: ["cache", "subject", "operation"]
        ),
        .init(
            "freshet_changed_rows_total",
            .counter,
            "Rows of the application's tables that the applied changes touched.",
            labels: ["cache", "subject"]
        ),
        .init(
            "freshet_escalations_total",
            .counter,
            "Changes of more rows than a trigger names one by one.",
            labels: ["cache"]
        ),
        .init("freshet_scopes_total", .counter, "What was to be invalidated, by kind.", labels: ["cache", "kind"]),
        .init(
            "freshet_subject_scopes_total",
            .counter,
            "What was to be invalidated, by the table whose change led to it.",
            labels: ["cache", "subject"]
        ),
        .init(
            "freshet_bumps_total",
            .counter,
            "Generations raised in Redis; absent are those that nobody had cached.",
            labels: ["kind"]
        ),
        .init(
            "freshet_hints_total",
            .counter,
            "Changes heard of by their notification: invalidated at once, left to their pass; and failures.",
            labels: ["result"]
        ),
        .init(
            "freshet_trigger_to_invalidated_seconds",
            .histogram,
            "From the trigger of a change to its invalidation, by the clock of Postgres.",
            labels: ["cache"],
            buckets: latency
        ),
        .init(
            "freshet_commit_to_invalidated_seconds",
            .histogram,
            "From the commit of a change to its invalidation, where track_commit_timestamp is on.",
            labels: ["cache"],
            buckets: latency
        ),
        .init("freshet_damaged_keys_total", .counter, "Keys of Redis with something else in them, removed."),
        .init(
            "freshet_resets_total",
            .counter,
            "Buckets of Redis whose dataset was not the one that Postgres knows: emptied, restored or failed over."
        ),
        .init("freshet_collapses_total", .counter, "Backlogs too large to resolve change by change."),
        .init(
            "freshet_errors_total",
            .counter,
            "Failures of a server, each followed by another try.",
            labels: ["server"]
        ),
        .init(
            "freshet_reconnects_total",
            .counter,
            "Times that a server served again after it had not.",
            labels: ["server"]
        ),
        .init("freshet_leading", .gauge, "1 while this worker leads."),
        .init("freshet_leads_total", .counter, "Times that this worker took the lead."),
        .init("freshet_lease_renewals_total", .counter, "Promises made.", labels: ["cache"]),
        .init(
            "freshet_lease_lapses_total",
            .counter,
            "Promises of this worker that ran out before it made another.",
            labels: ["cache"]
        ),
        .init(
            "freshet_distrusted",
            .gauge,
            "1 while nothing is promised because something is wrong with the tables.",
            labels: ["cache"]
        ),
        .init(
            "freshet_pass_duration_seconds",
            .histogram,
            "From the observation of the heads to the COMMIT of a pass.",
            buckets: Buckets.seconds
        ),
        .init(
            "freshet_audited_entries_total",
            .counter,
            "Cached entries that were held against the database.",
            labels: ["cache", "verdict"]
        ),
        .init(
            "freshet_audit_nines",
            .gauge,
            "How many nines the last round of the audit has shown; a wrong entry of the next lowers it at once.",
            labels: ["cache"]
        ),
        .init("freshet_audit_rounds_total", .counter, "Walks of the audit through all that is cached."),
        .init(
            "freshet_audit_failures_total",
            .counter,
            "What kept the audit from its work, each followed by another try."
        ),
        .init("freshet_change_records_total", .counter, "Records written to the history of changes."),
        .init(
            "freshet_change_history_lost_total",
            .counter,
            "Changes that are in no record of the history; their invalidations are done all the same.",
            labels: ["reason"]
        ),
    ]

    /// Those that are measured when somebody asks.
    package static let measured: [MetricDescription] = [
        .init("freshet_build_info", .gauge, "What runs.", labels: ["version"]),
        .init("freshet_journal_rows", .gauge, "Rows of the journal that nobody has applied, up to a million."),
        .init(
            "freshet_journal_oldest_age_seconds",
            .gauge,
            "Age of the oldest row of the journal; 0 where it is empty."
        ),
        .init("freshet_standbys", .gauge, "Workers that stand by."),
        .init("freshet_server_up", .gauge, "1 where the server answered when it was asked.", labels: ["server"]),
        .init(
            "freshet_healthy",
            .gauge,
            "1 where readers are told that they can rely on the cache.",
            labels: ["cache"]
        ),
        .init(
            "freshet_vouched_age_seconds",
            .gauge,
            "Age of the last promise, whoever made it, by the clock of Redis.",
            labels: ["cache"]
        ),
        .init("freshet_lease_seconds", .gauge, "How long a promise holds.", labels: ["cache"]),
        .init("process_cpu_seconds_total", .counter, "Processor time, user and system."),
        .init("process_resident_memory_bytes", .gauge, "Resident memory."),
        .init("process_virtual_memory_bytes", .gauge, "Virtual memory."),
        .init("process_open_fds", .gauge, "Open file descriptors."),
        .init("process_max_fds", .gauge, "The most file descriptors that may be open."),
        .init("process_start_time_seconds", .gauge, "When the process started, since 1970."),
    ]

    /// All of them.
    package static let all = counted + measured
}
