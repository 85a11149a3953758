// The metrics of the hint lane. Their meaning stands in WorkerTelemetry.swift.

import Metrics

/// What the hint lane counts.
struct HintTelemetry: Sendable {
    private let bumpedRows = Counter(label: "freshet_hints_total", dimensions: [("result", "bumped")])
    private let leftRows = Counter(label: "freshet_hints_total", dimensions: [("result", "left")])
    private let failures = Counter(label: "freshet_hints_total", dimensions: [("result", "failed")])
    private let bumpedEntities = Counter(label: "freshet_bumps_total", dimensions: [("kind", "entity")])
    private let bumpedVariants = Counter(label: "freshet_bumps_total", dimensions: [("kind", "variant")])
    private let absentEntities = Counter(label: "freshet_bumps_total", dimensions: [("kind", "absent")])
    private let damagedKeys = Counter(label: "freshet_damaged_keys_total")

    func bumped(_ rows: Int, _ outcome: PassOutcome) {
        bumpedRows.increment(by: rows)
        bumpedEntities.increment(by: outcome.bumpedEntities)
        bumpedVariants.increment(by: outcome.bumpedVariants)
        absentEntities.increment(by: outcome.absentEntities)
        damagedKeys.increment(by: outcome.damagedKeys)
    }

    func left(_ rows: Int) { leftRows.increment(by: rows) }
    func failed() { failures.increment() }
}
