/// How long the single runs of something took.
struct Distribution: Codable, Hashable, Sendable {
    var unit: String
    /// How many runs.
    var count: Int
    var median: Double
    var p99: Double
    /// The spread: half of all runs lie between these two.
    var lowerQuartile: Double
    var upperQuartile: Double

    /// Where more is better, the 99th percentile says nothing of what is rare and bad.
    private var isTime: Bool { unit.hasSuffix("s") }

    /// Nil of no values.
    init?(of values: [Double], unit: String = "µs") {
        guard !values.isEmpty else { return nil }
        self.unit = unit
        count = values.count
        median = Stopwatch.median(values)
        p99 = Stopwatch.quantile(0.99, of: values)
        lowerQuartile = Stopwatch.quantile(0.25, of: values)
        upperQuartile = Stopwatch.quantile(0.75, of: values)
    }

    private enum CodingKeys: String, CodingKey {
        case unit, count, median, p99, lowerQuartile = "lower_quartile", upperQuartile = "upper_quartile"
    }
}

extension Distribution: CustomStringConvertible {
    var description: String {
        (isTime ? "p99 \(Bar.text(p99)), " : "")
            + "quartiles \(Bar.text(lowerQuartile)) to \(Bar.text(upperQuartile)) \(unit)"
    }
}
