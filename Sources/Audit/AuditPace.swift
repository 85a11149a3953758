/// Spreads what is done evenly over time, at so many a second at the most.
struct AuditPace: Sendable {
    private let perSecond: Double
    private var next = ContinuousClock.now

    init(perSecond: Double) {
        self.perSecond = max(perSecond, 0.001)
    }

    /// How many are done at once: what a tenth of a second has room for.
    func batchSize(atMost limit: Int) -> Int {
        min(limit, max(1, Int(min(perSecond / 10, 1_000_000))))
    }

    /// Waits until it is time for so many more.
    mutating func wait(for count: Int) async throws {
        // What was not used is lost: no burst follows a pause.
        let start = max(next, .now)
        next = start + .seconds(Double(count) / perSecond)
        try await Task.sleep(until: start, clock: .continuous)
    }
}
