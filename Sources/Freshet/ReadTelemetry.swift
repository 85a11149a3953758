// Every metric, span and log key of the readers.
//
// All metrics carry the label `namespace`; no label has a value that grows with the data.
//
// | metric | type | further labels | meaning |
// |---|---|---|---|
// | `freshet_lookups_total` | counter | `trust` | lookups, by how far Redis could be relied on |
// | `freshet_lookup_duration_seconds` | timer | | how long a lookup took |
// | `freshet_hits_total` | counter | | answers from a valid entry in Redis |
// | `freshet_near_hits_total` | counter | | answers from memory; a lookup with nothing else has no duration and no span |
// | `freshet_misses_total` | counter | `reason`: see ``MissReason`` | answers that had to be loaded |
// | `freshet_fills_total` | counter | `outcome`: stored, namespace, entity, variant, late, crowded, foreign, failed | stores |
// | `freshet_loads_total` | counter | `result`: loaded, failed | queries to the loader |
// | `freshet_load_duration_seconds` | timer | | how long a query took |
// | `freshet_loaded_keys_total` | counter | | keys that the loader was asked for |
// | `freshet_loaded_rows_total` | counter | | rows that the loader returned |
// | `freshet_shared_loads_total` | counter | | keys that were answered by a load of this process that was under way already |
// | `freshet_awaited_loads_total` | counter | | keys that were answered by a load of another process |
// | `freshet_trust_changes_total` | counter | `trust` | changes of trust, by what it changed to |
//
// | span | kind | attributes |
// |---|---|---|
// | `lookup <namespace>` | client | `db.system.name` = redis, `db.operation.name`, `db.namespace`, `db.operation.batch.size` |
// | `load <namespace>` | client | `db.operation.name`, `db.namespace`, `db.operation.batch.size`, `db.response.returned_rows` |
//
// The names of the attributes are those of OpenTelemetry's semantic conventions for database spans. A span of something that
// threw has the error; several lookups may share the span of one load, which belongs to the first of them.
//
// | log key | level | meaning |
// |---|---|---|
// | `trust` | info, warning | how far Redis can be relied on, when that changes |
// | `key`, `reason` | debug | a miss, and why |
// | `key`, `outcome` | debug | a fill, and what became of it |
// | `error` | debug | what Redis said |

import Instrumentation
import Keyspace
import Metrics
import Surroundings
import Tracing

/// The metrics and spans of one cache.
struct ReadTelemetry: Sendable {
    private let namespace: String
    private let lookupName: String
    private let hits: Counter
    private let nearHits: Counter
    private let healthyLookups: Counter
    private let misses: [MissReason: Counter]
    private let lookups: [Trust: Counter]
    private let lookupDuration: Metrics.Timer
    private let fills: [FillOutcome: Counter]
    private let foreignFills: Counter
    private let failedFills: Counter
    private let loads: Counter
    private let failedLoads: Counter
    private let loadDuration: Metrics.Timer
    private let loadedKeys: Counter
    private let loadedRows: Counter
    private let sharedLoads: Counter
    private let awaitedLoads: Counter
    private let trustChanges: [Trust: Counter]

    init(namespace: CacheNamespace) {
        let name = namespace.description
        self.namespace = name
        lookupName = "lookup \(name)"
        func counter(_ label: String, _ dimensions: (String, String)...) -> Counter {
            Counter(label: label, dimensions: [("namespace", name)] + dimensions)
        }
        func counters<Label: Hashable>(_ label: String, _ name: String, _ cases: [(Label, String)]) -> [Label: Counter]
        {
            Dictionary(uniqueKeysWithValues: cases.map { ($0.0, counter(label, (name, $0.1))) })
        }
        hits = counter("freshet_hits_total")
        nearHits = counter("freshet_near_hits_total")
        // At hand, because a lookup in memory is quicker than one in a dictionary and a hash.
        healthyLookups = counter("freshet_lookups_total", ("trust", Trust.healthy.rawValue))
        misses = counters("freshet_misses_total", "reason", MissReason.all.map { ($0, $0.label) })
        lookups = counters("freshet_lookups_total", "trust", Trust.allCases.map { ($0, $0.rawValue) })
        lookupDuration = Metrics.Timer(label: "freshet_lookup_duration_seconds", dimensions: [("namespace", name)])
        fills = counters("freshet_fills_total", "outcome", FillOutcome.allCases.map { ($0, $0.rawValue) })
        foreignFills = counter("freshet_fills_total", ("outcome", "foreign"))
        failedFills = counter("freshet_fills_total", ("outcome", "failed"))
        loads = counter("freshet_loads_total", ("result", "loaded"))
        failedLoads = counter("freshet_loads_total", ("result", "failed"))
        loadDuration = Metrics.Timer(label: "freshet_load_duration_seconds", dimensions: [("namespace", name)])
        loadedKeys = counter("freshet_loaded_keys_total")
        loadedRows = counter("freshet_loaded_rows_total")
        sharedLoads = counter("freshet_shared_loads_total")
        awaitedLoads = counter("freshet_awaited_loads_total")
        trustChanges = counters("freshet_trust_changes_total", "trust", Trust.allCases.map { ($0, $0.rawValue) })
    }

    func lookedUp(_ trust: Trust, hits hitCount: Int, misses reasons: some Sequence<MissReason>) {
        if trust == .healthy { healthyLookups.increment() } else { lookups[trust]?.increment() }
        hits.increment(by: hitCount)
        for reason in reasons { misses[reason]?.increment() }
    }

    func foundNear(_ count: Int) { nearHits.increment(by: count) }
    func lookedUpNear() { healthyLookups.increment() }
    func filled(_ outcome: FillOutcome) { fills[outcome]?.increment() }
    func fillWasForeign(count: Int) { foreignFills.increment(by: count) }
    func fillFailed(count: Int) { failedFills.increment(by: count) }
    func shared(count: Int) { sharedLoads.increment(by: count) }
    func awaited(count: Int) { awaitedLoads.increment(by: count) }
    func trustChanged(to trust: Trust) { trustChanges[trust]?.increment() }

    /// A lookup: its span and its duration.
    ///
    /// - Parameter body: Is told when the lookup began, because to read the clock again would take as long as reading an entry.
    func lookUp<Result: Sendable>(
        _ keyCount: Int,
        _ surroundings: Surroundings,
        _ body: @Sendable (_ start: ContinuousClock.Instant) async throws -> Result
    ) async throws -> Result {
        let start = surroundings.now
        defer { lookupDuration.record(duration: start.duration(to: surroundings.now)) }
        // Where nobody traces, to look for the tracer would take longer than reading an entry.
        guard !(InstrumentationSystem.instrument is NoOpInstrument) else { return try await body(start) }
        return try await withSpan(lookupName, ofKind: .client) { span in
            span.attributes["db.system.name"] = "redis"
            describe(span, "lookup", keyCount)
            return try await body(start)
        }
    }

    /// A load: its span, its duration and its size.
    func load<Key, Value>(
        _ keyCount: Int,
        _ body: @Sendable () async throws -> LoadedValues<Key, Value>
    ) async throws -> LoadedValues<Key, Value> {
        let start = ContinuousClock.now
        do {
            let loaded = try await withSpan("load \(namespace)", ofKind: .client) { span in
                describe(span, "load", keyCount)
                let loaded = try await body()
                span.attributes["db.response.returned_rows"] = loaded.rowCount ?? loaded.values.count
                return loaded
            }
            loads.increment()
            loadedKeys.increment(by: keyCount)
            loadedRows.increment(by: loaded.rowCount ?? loaded.values.count)
            loadDuration.record(duration: start.duration(to: .now))
            return loaded
        } catch {
            failedLoads.increment()
            throw error
        }
    }

    private func describe(_ span: any Span, _ operation: String, _ keyCount: Int) {
        span.attributes["db.operation.name"] = operation
        span.attributes["db.namespace"] = namespace
        if keyCount > 1 { span.attributes["db.operation.batch.size"] = keyCount }
    }
}
