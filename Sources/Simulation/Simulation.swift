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
    ///
    /// - Parameter untilBroken: Whether the first that breaks an invariant is the last that is played.
    package static func explore(
        from first: UInt64,
        count: UInt64,
        size: SchedulePlan.Size = .usual,
        flaw: Flaw? = nil,
        only: Invariant? = nil,
        untilBroken: Bool = false,
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
            if untilBroken, outcome.violation != nil { break }
        }
        summary.duration = .now - start
        return summary
    }
}
