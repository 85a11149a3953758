// Every metric and every log key of the auditor.
//
// | metric | type | labels | meaning |
// |---|---|---|---|
// | `freshet_audited_entries_total` | counter | `cache`; `verdict`: consistent, in_flight, inconsistent, undecided, not_served | entries |
// | `freshet_audit_nines` | gauge | `cache` | nines shown, see ``AuditTally/proven(lastRound:underWay:)`` and ``ErrorRateBound`` |
// | `freshet_audit_rounds_total` | counter | | walks through all that is cached |
// | `freshet_audit_failures_total` | counter | | what kept it from auditing, each followed by another try |
//
// Alert on any increase of `freshet_audited_entries_total{verdict="inconsistent"}`.
//
// | log key | level | meaning |
// |---|---|---|
// | `cache`, `key`, `variant` | error | an inconsistent entry; with it all that follows |
// | `stamp` | error | the generations that it was loaded under, and the time |
// | `cached`, `database`, `difference` | error | the ids of both values' rows, and what differs |
// | `head`, `journal`, `passes` | error | what the worker vouches for; what has not been applied; what has been, lately |
// | `checked`, `inconsistent`, `nines` | debug | at the end of a round |
// | `caches`, `entries_per_second` | info | what is audited, and how fast, when it begins |
// | `error` | error | what kept it from auditing, once until it is over |

import Metrics

/// The metrics of one auditor.
struct AuditTelemetry: Sendable {
    private let rounds = Counter(label: "freshet_audit_rounds_total")
    private let failures = Counter(label: "freshet_audit_failures_total")

    func roundEnded() { rounds.increment() }
    func failed() { failures.increment() }

    /// - Parameters:
    ///   - tally: Of one batch.
    ///   - proven: What the nines are about.
    func audited(_ cache: String, _ tally: AuditTally, proven: AuditTally) {
        let counts = [
            ("consistent", tally.consistent), ("in_flight", tally.inFlight), ("inconsistent", tally.inconsistent),
            ("undecided", tally.undecided), ("not_served", tally.notServed),
        ]
        for (verdict, count) in counts {
            Counter(label: "freshet_audited_entries_total", dimensions: [("cache", cache), ("verdict", verdict)])
                .increment(by: count)
        }
        Gauge(label: "freshet_audit_nines", dimensions: [("cache", cache)]).record(proven.bound.nines)
    }
}
