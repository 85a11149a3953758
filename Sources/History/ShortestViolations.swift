/// The violations with the shortest histories, of all that were found.
struct ShortestViolations: Sendable {
    private static let limit = 1_000
    private var kept: [Violation] = []

    /// The shortest first.
    var sorted: [Violation] {
        let sorted = kept.sorted { ($0.commitsBetween, $0.lookup.began) < ($1.commitsBetween, $1.lookup.began) }
        return Array(sorted.prefix(Self.limit))
    }

    mutating func add(_ violation: Violation) {
        kept.append(violation)
        // Now and then, so that each of millions costs little.
        if kept.count >= 2 * Self.limit { kept = sorted }
    }
}
