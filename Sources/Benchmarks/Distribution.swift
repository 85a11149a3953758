/// How long the single runs of something took, or how much a second each of them made.
struct Distribution: Codable, Hashable, Sendable {
    var unit: String
    /// Whether the values are times.
    ///
    /// Where more is better, the 99th percentile says nothing of what is rare and bad.
    var isTime: Bool
    /// How many runs.
    var count: Int
    var median: Double
    var p99: Double
    /// The spread: half of all runs lie between these two.
    var lowerQuartile: Double
    var upperQuartile: Double

    /// Of times; nil of none.
    init?(of times: [Double], unit: String = "µs") {
        self.init(times, unit, isTime: true)
    }

    /// Of rates; nil of none.
    init?(ofRates rates: [Double], unit: String = "a second") {
        self.init(rates, unit, isTime: false)
    }

    private init?(_ values: [Double], _ unit: String, isTime: Bool) {
        guard !values.isEmpty else { return nil }
        self.unit = unit
        self.isTime = isTime
        count = values.count
        median = Stopwatch.median(values)
        p99 = Stopwatch.quantile(0.99, of: values)
        lowerQuartile = Stopwatch.quantile(0.25, of: values)
        upperQuartile = Stopwatch.quantile(0.75, of: values)
    }

    /// The same with every value divided by a number: in another unit, or for one of several things that each run did.
    func divided(by divisor: Double, unit: String) -> Distribution {
        var shares = self
        shares.unit = unit
        shares.median /= divisor
        shares.p99 /= divisor
        shares.lowerQuartile /= divisor
        shares.upperQuartile /= divisor
        return shares
    }

    private enum CodingKeys: String, CodingKey {
        case unit, isTime = "is_time", count, median, p99, lowerQuartile = "lower_quartile",
            upperQuartile = "upper_quartile"
    }

    init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: CodingKeys.self)
        unit = try values.decode(String.self, forKey: .unit)
        // Files that do not say it are older, and have times in microseconds and nothing else in them.
        isTime = try values.decodeIfPresent(Bool.self, forKey: .isTime) ?? (unit == "µs")
        count = try values.decode(Int.self, forKey: .count)
        median = try values.decode(Double.self, forKey: .median)
        p99 = try values.decode(Double.self, forKey: .p99)
        lowerQuartile = try values.decode(Double.self, forKey: .lowerQuartile)
        upperQuartile = try values.decode(Double.self, forKey: .upperQuartile)
    }
}

extension Distribution: CustomStringConvertible {
    var description: String {
        (isTime ? "p99 \(Bar.text(p99)), " : "")
            + "quartiles \(Bar.text(lowerQuartile)) to \(Bar.text(upperQuartile)) \(unit)"
    }
}
