/// What a metric means, and how its distribution is cut up: what swift-metrics has no word for.
package struct MetricDescription: Hashable, Sendable {
    /// What kind of metric Prometheus takes it for.
    package enum Kind: String, Hashable, Sendable {
        case counter, gauge, histogram
    }

    /// The name, as in the label of the metric.
    package var name: String
    package var kind: Kind
    /// One sentence.
    package var help: String
    /// The names of its labels.
    package var labels: [String]
    /// Upper bounds, rising, without the infinite one; for histograms alone.
    package var buckets: [Double]

    package init(_ name: String, _ kind: Kind, _ help: String, labels: [String] = [], buckets: [Double] = []) {
        self.name = name
        self.kind = kind
        self.help = help
        self.labels = labels
        self.buckets = buckets
    }
}

/// Upper bounds for histograms.
package enum Buckets {
    /// From half a millisecond to ten seconds; for what a server is asked, and for whatever has no description.
    package static let seconds: [Double] = [
        0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
    ]
}
