/// What became of one schedule.
package struct ScheduleOutcome: Sendable {
    package var seed: UInt64
    /// How many events happened; the jobs of tasks in between are not counted.
    package var steps: Int
    package var jobs: Int
    /// How many answers of readers were held against the truth.
    package var answers: Int
    package var violation: Violation?
    /// What happened, where it was asked for.
    package var history: String?
}

/// What became of many.
package struct ExplorationSummary: Sendable {
    package fileprivate(set) var schedules: UInt64 = 0
    package fileprivate(set) var violations = 0
    package fileprivate(set) var steps = 0
    package fileprivate(set) var jobs = 0
    package fileprivate(set) var answers = 0
    package fileprivate(set) var duration = Duration.zero

    /// One line.
    package var text: String {
        let count = max(1, Int(schedules))
        let rate = Double(schedules) / max(duration / .seconds(1), 0.001)
        return
            "\(schedules) schedules, \(violations) violations, \(steps / count) steps and \(jobs / count) jobs in each, "
            + "\(answers) answers checked, \(Int(rate)) schedules a second"
    }
}

/// How soon a flaw is caught.
package struct Catches: Sendable {
    /// The invariant that was broken most often.
    package var broken = "nothing"
    /// How many schedules it took; nil where it was not caught each time.
    package var median: Int?
    package var greatest: Int?
}

/// Plays schedules.
package enum Simulation {
    /// Plays the schedule of a seed.
    ///
    /// - Parameter only: The one invariant that is looked at; nil for all.
    package static func play(
        seed: UInt64,
        size: SchedulePlan.Size = .usual,
        flaw: Flaw? = nil,
        only: Invariant? = nil,
        tracing: Bool = false
    ) -> ScheduleOutcome {
        Flaw.activate(flaw)
        let plan = SchedulePlan(seed: seed, flaws: flaw?.flaws ?? [], size: size)
        let world = World(plan: plan, tracing: tracing, only: only)
        world.run()
        return ScheduleOutcome(
            seed: seed,
            steps: world.scheduler.steps,
            jobs: world.scheduler.jobs,
            answers: world.checker.answers,
            violation: world.checker.violation,
            history: world.tracing?.history(of: world.checker.violation)
        )
    }

    /// Plays the schedules of many seeds, one after the other.
    package static func explore(
        from first: UInt64,
        count: UInt64,
        size: SchedulePlan.Size = .usual,
        flaw: Flaw? = nil,
        only: Invariant? = nil,
        _ report: (ScheduleOutcome) -> Void = { _ in }
    ) -> ExplorationSummary {
        var summary = ExplorationSummary()
        let start = ContinuousClock.now
        for seed in first..<(first + count) {
            let outcome = play(seed: seed, size: size, flaw: flaw, only: only)
            summary.schedules += 1
            summary.steps += outcome.steps
            summary.jobs += outcome.jobs
            summary.answers += outcome.answers
            if outcome.violation != nil { summary.violations += 1 }
            report(outcome)
        }
        summary.duration = .now - start
        return summary
    }

    /// Plays until a flaw is caught, several times, each with seeds of its own.
    package static func catches(
        of flaw: Flaw?,
        from first: UInt64,
        times: Int,
        size: SchedulePlan.Size = .usual,
        only: Invariant? = nil
    ) -> Catches {
        var counts: [Int] = []
        var invariants: [String: Int] = [:]
        let limit = flaw?.limit ?? 1_000
        var seed = first
        for _ in 0..<times {
            var count = 0
            var violation: Violation?
            while violation == nil, count < limit {
                violation = play(seed: seed, size: size, flaw: flaw, only: only).violation
                seed += 1
                count += 1
            }
            guard let violation else { return Catches() }
            counts.append(count)
            invariants[violation.invariant.rawValue, default: 0] += 1
        }
        counts.sort()
        let broken = invariants.max { ($0.value, $1.key) < ($1.value, $0.key) }?.key
        return Catches(broken: broken ?? "nothing", median: counts[counts.count / 2], greatest: counts.last)
    }
}
