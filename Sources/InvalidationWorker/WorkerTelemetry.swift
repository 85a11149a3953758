// Every metric and every log key of the worker. Those of an auditor beside it stand in AuditTelemetry.swift.
//
// | metric | type | labels | meaning |
// |---|---|---|---|
// | `freshet_passes_total` | counter | `result`: committed, fenced, failed | passes over the journal |
// | `freshet_changes_total` | counter | `cache`, `subject`, `operation` | rows of the journal that were applied |
// | `freshet_changed_rows_total` | counter | `cache`, `subject` | rows of the application's tables that these changes touched |
// | `freshet_escalations_total` | counter | `cache` | changes of more rows than a trigger names one by one |
// | `freshet_scopes_total` | counter | `cache`; `kind`: namespace, entity, variant | what was to be invalidated |
// | `freshet_subject_scopes_total` | counter | `cache`, `subject` | the same by the table whose change led to it; `several` where no one table did |
// | `freshet_bumps_total` | counter | `kind`: namespace, entity, variant, absent | generations raised; absent: nobody had cached it |
// | `freshet_hints_total` | counter | `result`: bumped, left, failed | changes heard of by their notification: invalidated at once, left to their pass; and failures, after which all are left for a while |
// | `freshet_trigger_to_invalidated_seconds` | histogram | `cache` | from a change's trigger to its invalidation |
// | `freshet_commit_to_invalidated_seconds` | histogram | `cache` | from its commit, where `track_commit_timestamp` is on |
// | `freshet_damaged_keys_total` | counter | | keys with something else in them, removed |
// | `freshet_resets_total` | counter | | buckets whose dataset was not the one that Postgres knows |
// | `freshet_collapses_total` | counter | | backlogs too large to resolve change by change |
// | `freshet_errors_total` | counter | `server`: postgres, redis | failures, each followed by another try |
// | `freshet_reconnects_total` | counter | `server`: postgres, redis | times that a server served again after it had not |
// | `freshet_leading` | gauge | | 1 while this worker leads |
// | `freshet_leads_total` | counter | | times that this worker took the lead |
// | `freshet_lease_renewals_total` | counter | `cache` | promises made |
// | `freshet_lease_lapses_total` | counter | `cache` | promises of this worker that ran out before it made another |
// | `freshet_distrusted` | gauge | `cache` | 1 while nothing is promised, because something is wrong with the tables |
// | `freshet_pass_duration_seconds` | histogram | | from the observation of the heads to the COMMIT |
//
// `cache` and `subject` are names that the schema has; `operation` is one of ten words. No label has a value that a writer chooses.
//
// | log key | meaning |
// |---|---|
// | `error` | what a server, or the library that talks to it, said |
// | `reason` | why the worker vouches for nothing |
// | `cache` | which cache is meant, by its name in Postgres |
// | `changes`, `scopes` | how many rows a pass claimed, how many generations they name |
// | `generation` | the namespace generation after the pass |
// | `retry_in` | when the next try comes |

import Keyspace
import Metrics

/// The metrics of one worker.
struct WorkerTelemetry: Sendable {
    private let committed = Counter(label: "freshet_passes_total", dimensions: [("result", "committed")])
    private let fenced = Counter(label: "freshet_passes_total", dimensions: [("result", "fenced")])
    private let failed = Counter(label: "freshet_passes_total", dimensions: [("result", "failed")])
    private let bumpedNamespaces = Counter(label: "freshet_bumps_total", dimensions: [("kind", "namespace")])
    private let bumpedEntities = Counter(label: "freshet_bumps_total", dimensions: [("kind", "entity")])
    private let bumpedVariants = Counter(label: "freshet_bumps_total", dimensions: [("kind", "variant")])
    private let absentEntities = Counter(label: "freshet_bumps_total", dimensions: [("kind", "absent")])
    private let damagedKeys = Counter(label: "freshet_damaged_keys_total")
    private let resets = Counter(label: "freshet_resets_total")
    private let collapses = Counter(label: "freshet_collapses_total")
    private let postgresErrors = Counter(label: "freshet_errors_total", dimensions: [("server", "postgres")])
    private let redisErrors = Counter(label: "freshet_errors_total", dimensions: [("server", "redis")])
    private let postgresReconnects = Counter(label: "freshet_reconnects_total", dimensions: [("server", "postgres")])
    private let redisReconnects = Counter(label: "freshet_reconnects_total", dimensions: [("server", "redis")])
    private let leading = Gauge(label: "freshet_leading")
    private let leads = Counter(label: "freshet_leads_total")
    /// The caches of which something keeps the worker from promising anything.
    private var distrusted: Set<String> = []
    /// The caches of which anything was ever promised.
    private var promised: Set<String> = []
    private let passDuration = Timer(label: "freshet_pass_duration_seconds", preferredDisplayUnit: .seconds)

    func leads(_ isLeading: Bool) { leading.record(isLeading ? 1 : 0) }
    func tookTheLead() { leads.increment() }
    func reconnectedToPostgres() { postgresReconnects.increment() }
    func reconnectedToRedis() { redisReconnects.increment() }
    func postgresFailed() { postgresErrors.increment() }
    func passWasFenced() { fenced.increment() }

    func redisFailed() {
        redisErrors.increment()
        failed.increment()
    }

    func passCommitted(after duration: Duration) {
        committed.increment()
        passDuration.record(duration: duration)
    }

    /// A promise of a cache was made.
    mutating func renewed(_ cache: String) {
        Counter(label: "freshet_lease_renewals_total", dimensions: [("cache", cache)]).increment()
        // There from the first promise on, so that the first lapse is seen to be one more.
        guard promised.insert(cache).inserted else { return }
        Counter(label: "freshet_lease_lapses_total", dimensions: [("cache", cache)]).increment(by: 0)
        Counter(label: "freshet_escalations_total", dimensions: [("cache", cache)]).increment(by: 0)
    }

    /// A promise of a cache ran out.
    func lapsed(_ cache: String) {
        Counter(label: "freshet_lease_lapses_total", dimensions: [("cache", cache)]).increment()
    }

    /// Whether something keeps the worker from promising anything of a cache.
    mutating func distrusts(_ cache: String, _ isDistrusted: Bool) {
        if isDistrusted { distrusted.insert(cache) } else { distrusted.remove(cache) }
        Gauge(label: "freshet_distrusted", dimensions: [("cache", cache)]).record(isDistrusted ? 1 : 0)
    }

    /// Whoever does not lead promises nothing, and has nothing to say about the tables.
    mutating func distrustsNothing() {
        for cache in distrusted { distrusts(cache, false) }
    }

    /// What the pass did for one cache, as it is told.
    func applied(_ report: PassReport, to cache: String) {
        func scopes(_ kind: String, _ count: Int) {
            guard count > 0 else { return }
            Counter(label: "freshet_scopes_total", dimensions: [("cache", cache), ("kind", kind)]).increment(by: count)
        }
        scopes("namespace", report.scopes.coversNamespace ? 1 : 0)
        let entities = report.scopes.entities.values.count { $0 == .every }
        scopes("entity", entities)
        scopes("variant", report.scopes.coversNamespace ? 0 : report.scopes.count - entities)

        func subjectScopes(_ subject: String, _ count: Int) {
            guard count > 0 else { return }
            Counter(label: "freshet_subject_scopes_total", dimensions: [("cache", cache), ("subject", subject)])
                .increment(by: count)
        }
        let subjects = Set(report.changes.map(\.subject))
        if let subject = subjects.first, subjects.count == 1 {
            subjectScopes(subject, report.scopes.count)
        } else if report.changes.contains(where: { $0.scopes == nil }) || report.changes.isEmpty {
            subjectScopes("several", report.scopes.count)
        } else {
            for change in report.changes { subjectScopes(change.subject, change.scopes?.count ?? 0) }
        }

        guard let end = report.invalidatedAtMicroseconds else { return }
        let sinceTrigger = Timer(label: "freshet_trigger_to_invalidated_seconds", dimensions: [("cache", cache)])
        let sinceCommit = Timer(label: "freshet_commit_to_invalidated_seconds", dimensions: [("cache", cache)])
        for change in report.changes {
            // A clock that was set back says less than nothing.
            if let start = change.changedAtMicroseconds { sinceTrigger.recordMicroseconds(max(end - start, 0)) }
            if let start = change.committedAtMicroseconds { sinceCommit.recordMicroseconds(max(end - start, 0)) }
        }
    }

    private struct ChangeKind: Hashable {
        var subject: String
        var operation: String
    }

    /// What the pass did for one cache.
    func committed(_ claim: CacheClaim, _ plan: PassPlan, _ outcome: PassOutcome) {
        bumpedNamespaces.increment(by: plan.passes.count { $0.pass.bumpsNamespace })
        bumpedEntities.increment(by: outcome.bumpedEntities)
        bumpedVariants.increment(by: outcome.bumpedVariants)
        absentEntities.increment(by: outcome.absentEntities)
        damagedKeys.increment(by: outcome.damagedKeys)
        resets.increment(by: plan.resetBuckets.count)
        switch claim.backlog {
        case .collapsed: collapses.increment()
        case .changes(let changes):
            var rows: [String: Int64] = [:]
            var counts: [ChangeKind: Int] = [:]
            for change in changes {
                rows[change.subject, default: 0] &+= max(change.rowCount, 0)
                counts[ChangeKind(subject: change.subject, operation: change.operation), default: 0] += 1
            }
            for (subject, rows) in rows {
                Counter(
                    label: "freshet_changed_rows_total",
                    dimensions: [("cache", claim.cache), ("subject", subject)]
                ).increment(by: max(rows, 0))
            }
            let escalations = counts.reduce(0) { $0 + ($1.key.operation == "escalation" ? $1.value : 0) }
            Counter(label: "freshet_escalations_total", dimensions: [("cache", claim.cache)]).increment(by: escalations)
            for (kind, count) in counts {
                Counter(
                    label: "freshet_changes_total",
                    dimensions: [("cache", claim.cache), ("subject", kind.subject), ("operation", kind.operation)]
                ).increment(by: count)
            }
        }
    }
}
