// Every metric and every log key of the worker. Those of an auditor beside it stand in AuditTelemetry.swift.
//
// | metric | type | labels | meaning |
// |---|---|---|---|
// | `freshet_passes_total` | counter | `result`: committed, fenced, failed | passes over the journal |
// | `freshet_changes_total` | counter | `cache`, `subject`, `operation` | rows of the journal that were applied |
// | `freshet_bumps_total` | counter | `kind`: namespace, entity, variant, absent | generations raised, or found absent |
// | `freshet_damaged_keys_total` | counter | | keys with something else in them, removed |
// | `freshet_resets_total` | counter | | buckets whose dataset was not the one that Postgres knows |
// | `freshet_collapses_total` | counter | | backlogs too large to resolve change by change |
// | `freshet_errors_total` | counter | `server`: postgres, redis | failures, each followed by another try |
// | `freshet_leading` | gauge | | 1 while this worker leads |
// | `freshet_pass_duration_seconds` | timer | | from the observation of the heads to the COMMIT |
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
    private let leading = Gauge(label: "freshet_leading")
    private let passDuration = Timer(label: "freshet_pass_duration_seconds", preferredDisplayUnit: .seconds)

    func leads(_ isLeading: Bool) { leading.record(isLeading ? 1 : 0) }
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
            for (kind, changes) in Dictionary(grouping: changes, by: { [$0.subject, $0.operation] }) {
                Counter(
                    label: "freshet_changes_total",
                    dimensions: [("cache", claim.cache), ("subject", kind[0]), ("operation", kind[1])]
                ).increment(by: changes.count)
            }
        }
    }
}
