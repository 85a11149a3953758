// Every metric and every log key of the readers. All metrics carry the label `namespace`.
//
// | metric | type | further labels | meaning |
// |---|---|---|---|
// | `freshet_lookups_total` | counter | `trust` | lookups, by how far Redis could be relied on |
// | `freshet_hits_total` | counter | | answers from a valid entry |
// | `freshet_misses_total` | counter | `reason` | answers that had to be loaded |
// | `freshet_fills_total` | counter | `outcome`: stored, namespace, entity, variant, late, crowded, foreign, failed | stores |
// | `freshet_loads_total` | counter | `result`: loaded, failed | queries to the loader |
// | `freshet_shared_loads_total` | counter | | keys that were answered by a load that was under way already |
//
// | log key | meaning |
// |---|---|
// | `trust` | how far Redis can be relied on, when that changes |
// | `key` | the key of a fill that was refused |
// | `error` | what Redis said |

import Keyspace
import Metrics

/// The metrics of one cache.
struct ReadTelemetry: Sendable {
    private let hits: Counter
    private let misses: [MissReason: Counter]
    private let lookups: [Trust: Counter]
    private let fills: [FillOutcome: Counter]
    private let foreignFills: Counter
    private let failedFills: Counter
    private let loads: Counter
    private let failedLoads: Counter
    private let sharedLoads: Counter

    init(namespace: CacheNamespace) {
        func counter(_ label: String, _ dimensions: (String, String)...) -> Counter {
            Counter(label: label, dimensions: [("namespace", namespace.description)] + dimensions)
        }
        func counters<Label: Hashable>(_ label: String, _ name: String, _ cases: [(Label, String)]) -> [Label: Counter]
        {
            Dictionary(uniqueKeysWithValues: cases.map { ($0.0, counter(label, (name, $0.1))) })
        }
        hits = counter("freshet_hits_total")
        misses = counters("freshet_misses_total", "reason", MissReason.all.map { ($0, $0.label) })
        lookups = counters("freshet_lookups_total", "trust", Trust.allCases.map { ($0, $0.rawValue) })
        fills = counters("freshet_fills_total", "outcome", FillOutcome.allCases.map { ($0, $0.rawValue) })
        foreignFills = counter("freshet_fills_total", ("outcome", "foreign"))
        failedFills = counter("freshet_fills_total", ("outcome", "failed"))
        loads = counter("freshet_loads_total", ("result", "loaded"))
        failedLoads = counter("freshet_loads_total", ("result", "failed"))
        sharedLoads = counter("freshet_shared_loads_total")
    }

    func lookedUp(_ trust: Trust, hits hitCount: Int, misses reasons: some Sequence<MissReason>) {
        lookups[trust]?.increment()
        hits.increment(by: hitCount)
        for reason in reasons { misses[reason]?.increment() }
    }

    func filled(_ outcome: FillOutcome) { fills[outcome]?.increment() }
    func fillWasForeign(count: Int) { foreignFills.increment(by: count) }
    func fillFailed(count: Int) { failedFills.increment(by: count) }
    func loaded() { loads.increment() }
    func loadFailed() { failedLoads.increment() }
    func shared(count: Int) { sharedLoads.increment(by: count) }
}
