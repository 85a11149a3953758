// The metrics of a process, as a factory for swift-metrics, and their text for Prometheus.
//
// * A label of swift-metrics becomes the name of a family, its dimensions the labels of a series. What Prometheus does not allow
//   in a name becomes `_`.
// * Counters stay counters. Meters and gauges become gauges. Timers become histograms of seconds, and recorders that aggregate
//   histograms of what they record; both with fixed buckets: the description's, or ``Buckets/seconds``.
// * A name has one kind. Whoever asks for it as another one gets a handler that counts and that nobody sees, because a text
//   with both would be refused as a whole.
// * A family has ``seriesPerFamily`` series at the most. Whatever would be one more is counted in one whose labels all say
//   `other`, so that a label which was not bounded costs precision instead of memory.

package import CoreMetrics
import NIOConcurrencyHelpers

/// The metrics of a process, rendered for Prometheus.
package final class PrometheusRegistry: MetricsFactory {
    /// How many series a family has at the most, beside the one for the others.
    package static let seriesPerFamily = 1_000
    /// The `Content-Type` of what ``text()`` returns.
    package static let contentType = "text/plain; version=0.0.4; charset=utf-8"

    private let descriptions: [String: MetricDescription]
    private let families: NIOLockedValueBox<[String: Family]>

    /// The series of one name.
    private struct Family: Sendable {
        var kind: MetricDescription.Kind
        var help: String
        var buckets: [Double]
        var series: [Labels: any Series] = [:]
    }

    /// - Parameters:
    ///   - descriptions: Of the metrics that are known beforehand.
    ///   - startsAtZero: Whether their counters and histograms without labels are shown from the beginning, so that the first
    ///     increase is one.
    package init(_ descriptions: [MetricDescription] = [], startsAtZero: Bool = true) {
        self.descriptions = Dictionary(descriptions.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
        families = NIOLockedValueBox([:])
        for description in descriptions where startsAtZero && description.labels.isEmpty {
            switch description.kind {
            case .counter: _ = makeCounter(label: description.name, dimensions: [])
            case .gauge: break
            case .histogram: _ = makeTimer(label: description.name, dimensions: [])
            }
        }
    }

    /// Everything, in the text format of Prometheus, sorted.
    package func text() -> String {
        let families = families.withLockedValue { $0 }
        var output = ""
        for (name, family) in families.sorted(by: { $0.key < $1.key }) where !family.series.isEmpty {
            output += "# HELP \(name) \(Exposition.escapedHelp(family.help))\n"
            output += "# TYPE \(name) \(family.kind.rawValue)\n"
            for (labels, series) in family.series.sorted(by: { $0.key < $1.key }) {
                series.write(name, labels, to: &output)
            }
        }
        return output
    }

    // MARK: MetricsFactory

    package func makeCounter(label: String, dimensions: [(String, String)]) -> any CounterHandler {
        series(label, dimensions, .counter) { _ in Count() }
    }

    package func makeFloatingPointCounter(
        label: String,
        dimensions: [(String, String)]
    ) -> any FloatingPointCounterHandler {
        series(label, dimensions, .counter) { _ in FloatingPointCount() }
    }

    package func makeMeter(label: String, dimensions: [(String, String)]) -> any MeterHandler {
        series(label, dimensions, .gauge) { _ in Level() }
    }

    package func makeRecorder(label: String, dimensions: [(String, String)], aggregate: Bool) -> any RecorderHandler {
        guard aggregate else { return series(label, dimensions, .gauge) { _ in Level() } }
        return series(label, dimensions, .histogram) { Distribution(bounds: $0) }
    }

    package func makeTimer(label: String, dimensions: [(String, String)]) -> any TimerHandler {
        series(label, dimensions, .histogram) { Distribution(bounds: $0) }
    }

    package func destroyCounter(_ handler: any CounterHandler) { remove(handler) }
    package func destroyFloatingPointCounter(_ handler: any FloatingPointCounterHandler) { remove(handler) }
    package func destroyMeter(_ handler: any MeterHandler) { remove(handler) }
    package func destroyRecorder(_ handler: any RecorderHandler) { remove(handler) }
    package func destroyTimer(_ handler: any TimerHandler) { remove(handler) }

    private func series<Handler: Series>(
        _ label: String,
        _ dimensions: [(String, String)],
        _ kind: MetricDescription.Kind,
        _ make: ([Double]) -> Handler
    ) -> Handler {
        let description = descriptions[label]
        let name = Exposition.metricName(label)
        let labels = Labels(dimensions)
        return families.withLockedValue { families in
            var family =
                families[name]
                ?? Family(
                    kind: kind,
                    help: description?.help ?? label,
                    buckets: description.flatMap { $0.buckets.isEmpty ? nil : $0.buckets } ?? Buckets.seconds
                )
            guard family.kind == kind else { return make(family.buckets) }
            var place = labels
            if family.series[labels] == nil, family.series.count >= Self.seriesPerFamily { place = labels.asOther }
            if let known = family.series[place] { return known as? Handler ?? make(family.buckets) }
            let made = make(family.buckets)
            family.series[place] = made
            families[name] = family
            return made
        }
    }

    private func remove(_ handler: AnyObject) {
        families.withLockedValue { families in
            for (name, family) in families {
                guard let found = family.series.first(where: { $0.value === handler }) else { continue }
                families[name]?.series[found.key] = nil
            }
        }
    }
}
