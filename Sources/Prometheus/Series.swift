import CoreMetrics
import NIOConcurrencyHelpers

/// One series of a family: what swift-metrics tells it, and its lines.
protocol Series: AnyObject, Sendable {
    /// Appends the lines of the series, each with its end.
    func write(_ name: String, _ labels: Labels, to output: inout String)
}

/// A number that only rises, until it is reset.
final class Count: Series, CounterHandler {
    private let value = NIOLockedValueBox<Int64>(0)

    func increment(by amount: Int64) {
        // A counter that fell would look like a process that began anew; one that overflowed would trap.
        guard amount > 0 else { return }
        value.withLockedValue { value in
            let (sum, overflow) = value.addingReportingOverflow(amount)
            value = overflow ? .max : sum
        }
    }

    func reset() {
        value.withLockedValue { $0 = 0 }
    }

    func write(_ name: String, _ labels: Labels, to output: inout String) {
        output += "\(name)\(labels.text()) \(value.withLockedValue { $0 })\n"
    }
}

/// The same, of fractions.
final class FloatingPointCount: Series, FloatingPointCounterHandler {
    private let value = NIOLockedValueBox<Double>(0)

    func increment(by amount: Double) {
        guard amount > 0 else { return }
        value.withLockedValue { $0 += amount }
    }

    func reset() {
        value.withLockedValue { $0 = 0 }
    }

    func write(_ name: String, _ labels: Labels, to output: inout String) {
        output += "\(name)\(labels.text()) \(Exposition.number(value.withLockedValue { $0 }))\n"
    }
}

/// A number that rises and falls.
final class Level: Series, MeterHandler, RecorderHandler {
    private let value = NIOLockedValueBox<Double>(0)

    func set(_ value: Int64) { set(Double(value)) }
    func set(_ value: Double) { self.value.withLockedValue { $0 = value } }
    func increment(by amount: Double) { value.withLockedValue { $0 += amount } }
    func decrement(by amount: Double) { value.withLockedValue { $0 -= amount } }
    func record(_ value: Int64) { set(Double(value)) }
    func record(_ value: Double) { set(value) }

    func write(_ name: String, _ labels: Labels, to output: inout String) {
        output += "\(name)\(labels.text()) \(Exposition.number(value.withLockedValue { $0 }))\n"
    }
}

/// How values are distributed: how many are at most each of some bounds, their number and their sum.
final class Distribution: Series, TimerHandler, RecorderHandler {
    private struct Counts: Sendable {
        /// For each bound, those above the one before it; last, those above all.
        var inBucket: [Int64]
        var sum: Double = 0
    }

    private let bounds: [Double]
    private let counts: NIOLockedValueBox<Counts>

    init(bounds: [Double]) {
        self.bounds = bounds
        counts = NIOLockedValueBox(Counts(inBucket: Array(repeating: 0, count: bounds.count + 1)))
    }

    func recordNanoseconds(_ duration: Int64) { record(Double(duration) / 1e9) }
    func record(_ value: Int64) { record(Double(value)) }

    func record(_ value: Double) {
        // No bucket holds it, and the sum would never be a number again.
        guard !value.isNaN else { return }
        let bucket = bounds.firstIndex { value <= $0 } ?? bounds.count
        counts.withLockedValue { counts in
            counts.inBucket[bucket] += 1
            counts.sum += value
        }
    }

    func write(_ name: String, _ labels: Labels, to output: inout String) {
        let counts = counts.withLockedValue { $0 }
        var total: Int64 = 0
        for (bound, count) in zip(bounds + [.infinity], counts.inBucket) {
            total += count
            output += "\(name)_bucket\(labels.text(("le", Exposition.number(bound)))) \(total)\n"
        }
        output += "\(name)_sum\(labels.text()) \(Exposition.number(counts.sum))\n"
        output += "\(name)_count\(labels.text()) \(total)\n"
    }
}
