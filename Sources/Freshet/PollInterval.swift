import Surroundings

/// Waiting times between looks at something that only a look can tell: twice as long each time, up to a bound, with jitter.
struct PollInterval: Sendable {
    private var interval: Duration
    private let greatest: Duration

    init(least: Duration, greatest: Duration) {
        interval = least
        self.greatest = greatest
    }

    mutating func next(_ surroundings: Surroundings) -> Duration {
        var surroundings = surroundings
        defer { interval = min(interval * 2, greatest) }
        return interval * Double.random(in: 0.5...1, using: &surroundings)
    }
}
