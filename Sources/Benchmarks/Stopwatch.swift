import Glibc

/// Times two things that are to be compared, in turns, so that whatever else the machine is doing hits both.
enum Stopwatch {
    /// The times of two things in microseconds.
    struct Pair {
        var measured: Distribution?
        var against: Distribution?

        /// The medians.
        var ours: Double { measured?.median ?? .nan }
        var baseline: Double { against?.median ?? .nan }
        var ratio: Double { ours / baseline }
    }

    /// Times each thing `rounds` times `batch` times, batch by batch in turns, and returns the times of single runs.
    ///
    /// The first round warms up and does not count.
    static func compare(
        rounds: Int,
        batch: Int,
        _ ours: () async throws -> Void,
        with baseline: () async throws -> Void
    ) async rethrows -> Pair {
        var times: (ours: [Double], baseline: [Double]) = ([], [])
        for round in 0...rounds {
            if round == 1 { times = ([], []) }
            for _ in 0..<batch { times.ours.append(try await microseconds(ours)) }
            for _ in 0..<batch { times.baseline.append(try await microseconds(baseline)) }
        }
        return Pair(measured: Distribution(of: times.ours), against: Distribution(of: times.baseline))
    }

    static func microseconds(_ body: () async throws -> Void) async rethrows -> Double {
        let start = ContinuousClock.now
        try await body()
        return microseconds(start.duration(to: .now))
    }

    static func microseconds(_ duration: Duration) -> Double {
        let (seconds, attoseconds) = duration.components
        return Double(seconds) * 1e6 + Double(attoseconds) / 1e12
    }

    /// The least of the values that so large a share of them are not above; not a number where there are none.
    ///
    /// By the nearest rank: the 99th percentile of a hundred is the second highest of them, that of fewer the highest.
    static func quantile(_ share: Double, of values: [Double]) -> Double {
        let sorted = values.sorted()
        guard !sorted.isEmpty else { return .nan }
        let rank = Int((share * Double(sorted.count)).rounded(.up))
        return sorted[min(max(rank, 1), sorted.count) - 1]
    }

    /// The value in the middle, or the mean of the two that are nearest to it; not a number where there are none.
    static func median(_ values: [Double]) -> Double {
        let sorted = values.sorted()
        guard !sorted.isEmpty else { return .nan }
        let middle = sorted.count / 2
        return sorted.count.isMultiple(of: 2) ? (sorted[middle - 1] + sorted[middle]) / 2 : sorted[middle]
    }

    /// Blocks this thread until a moment.
    static func block(until moment: ContinuousClock.Instant) {
        let rest = microseconds(ContinuousClock.now.duration(to: moment))
        if rest > 0 { usleep(UInt32(rest)) }
    }
}
