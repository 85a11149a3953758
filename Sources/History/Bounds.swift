/// How old an answer may be.
public struct Bounds: Sendable {
    /// The clock of the Redis host was set.
    public struct ClockStep: Hashable, Sendable {
        /// Not before this.
        public var began: Moment
        /// By now.
        public var ended: Moment
        /// Forward, or back where negative.
        public var by: Duration

        /// A step.
        public init(began: Moment, ended: Moment, by: Duration) {
            self.began = began
            self.ended = ended
            self.by = by
        }
    }

    /// How long a promise of the worker holds.
    public var lease: Duration
    /// How old an entry may be that nobody vouches for.
    public var degradedAge: Duration
    /// When the clock of the Redis host was set, in order.
    public var steps: [ClockStep]

    /// Bounds.
    public init(lease: Duration, degradedAge: Duration, steps: [ClockStep] = []) {
        self.lease = lease
        self.degradedAge = degradedAge
        self.steps = steps
    }

    /// The moment that an answer must not be from before: at some later one, up to the lookup's end, it was current.
    public func floor(of lookup: Lookup, source: Lookup.Source) -> Moment {
        switch (lookup.trust, source) {
        // Memory answers only while its promise lasts, whatever Redis says meanwhile of other sets of the same lookup.
        case (_, .near): reach(lease, before: lookup)
        case (.disabled, _), (.unreachable, _), (_, .loaded): lookup.began
        case (.healthy, .hit), (.healthy, .shared): reach(lease, before: lookup)
        case (.degraded, .hit), (.degraded, .shared): reach(degradedAge, before: lookup)
        }
    }

    /// How far back something may lie that is younger than `age` by the clock of Redis, where it was read by this lookup.
    ///
    /// What is from before a step back looks younger by as much. A step forward only lets things look older, so it never counts.
    private func reach(_ age: Duration, before lookup: Lookup) -> Moment {
        var floor = lookup.began - age
        var setBack = Duration.zero
        // From the last on: what is from before one of them is from before those that came after it as well.
        for step in steps.reversed() where step.by < .zero && step.began <= lookup.ended {
            setBack += .zero - step.by
            let further = lookup.began - age - setBack
            // Nothing that looks young enough is from before this step.
            guard further <= step.ended else { continue }
            floor = min(floor, further)
        }
        return floor
    }
}
