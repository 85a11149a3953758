import ArgumentParser
import Freshet
import Glibc
import History
import LocalServices

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// Runs everything, breaks it, and says whether anything was wrong.
struct RunCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "run",
        abstract: "Runs writers, readers and workers on servers of its own, breaks all of it, and checks what is read."
    )

    @Option(help: "For how long.")
    var seconds = 40

    @Option(help: "What the faults are chosen by; random unless said otherwise, and printed.")
    var seed: UInt64?

    @Option(help: "How long a promise of the worker holds.")
    var leaseSeconds = 2

    @Option(help: "How old an entry may be while nobody vouches for it.")
    var degradedSeconds = 6

    @Option(
        name: .customLong("break"),
        help: ArgumentHelp(
            "Puts a cache there that is wrong on purpose, and succeeds only if that is found: deleting (a time to live, and "
                + "keys deleted after the write) or trusting (entries are served whoever vouches for them).",
            valueName: "cache"
        )
    )
    var broken: CacheKind?

    @Option(help: "Where to leave the records and logs of a run that fails: a folder that is not there yet.")
    var keep: String?

    /// For how much longer than a lease nobody writes at the end, so that readers have answered from memory by then, which may have
    /// been waiting for a connection.
    private static let beyondLease = Duration.seconds(5)

    func validate() throws {
        guard seconds > 0 else { throw ValidationError("--seconds \(seconds): nothing would happen; give at least 1") }
        guard leaseSeconds > 0, degradedSeconds > leaseSeconds else {
            throw ValidationError(
                "--degraded-seconds \(degradedSeconds): must be more than --lease-seconds \(leaseSeconds), which must be positive"
            )
        }
        if broken == .freshet { throw ValidationError("--break freshet: that one is meant to be right; leave it out") }
        if let keep, FileManager.default.fileExists(atPath: keep) {
            throw ValidationError("--keep \(keep): there is something already; give the name of a folder to be made")
        }
    }

    /// What does the same again, as far as that is chosen here.
    static func repetition(
        seconds: Int,
        seed: UInt64,
        leaseSeconds: Int,
        degradedSeconds: Int,
        broken: CacheKind?,
        isOptimised: Bool
    ) -> String {
        "\(isOptimised ? "CONFIGURATION=release " : "")deploy/chaos --seconds \(seconds) --seed \(seed) "
            + "--lease-seconds \(leaseSeconds) --degraded-seconds \(degradedSeconds)"
            + (broken.map { " --break \($0.rawValue)" } ?? "")
    }

    private static var isOptimised: Bool {
        #if DEBUG
            return false
        #else
            return true
        #endif
    }

    func run() async throws {
        let work = Task { try await perform() }
        // Whoever interrupts it leaves nothing behind either: what it has started, it ends.
        let termination = Termination { _ in work.cancel() }
        var isWell = false
        do {
            isWell = try await work.value
        } catch {
            if !termination.isRequested { say("failed: \(error)") }
        }
        // What was not on the stage yet.
        LocalServices.destroyAll()
        if let number = termination.signal { throw ExitCode(128 + number) }
        guard isWell else { throw ExitCode.failure }
    }

    private func perform() async throws -> Bool {
        let seed = seed ?? .random(in: 0...999_999_999)
        let repetition = Self.repetition(
            seconds: seconds,
            seed: seed,
            leaseSeconds: leaseSeconds,
            degradedSeconds: degradedSeconds,
            broken: broken,
            isOptimised: Self.isOptimised
        )
        say("seed \(seed), \(seconds) s; repeat with: \(repetition)")
        let folder = try RecordFolder()
        defer { folder.remove() }
        let stage = try await Stage.set(
            Stage.Settings(
                seed: seed,
                lease: .seconds(leaseSeconds),
                degradedAge: .seconds(degradedSeconds),
                cache: broken ?? .freshet,
                folder: folder.path
            )
        )
        let setsClocks = await stage.setsClocks
        if !setsClocks { say("skipped: steps of clocks, because there is no C compiler") }
        let schedule = FaultSchedule(
            seed: seed,
            seconds: seconds,
            degradedAge: .seconds(degradedSeconds),
            setsClocks: setsClocks
        )
        let outcome: Result<Bool, any Error>
        do {
            outcome = .success(try await play(schedule, on: stage))
        } catch {
            outcome = .failure(error)
        }
        switch outcome {
        case .success(true): break
        case .success(false), .failure: if !Task.isCancelled { leave(folder, stage) }
        }
        await stage.destroy()
        return try outcome.get()
    }

    private func play(_ schedule: FaultSchedule, on stage: Stage) async throws -> Bool {
        try await stage.start()
        let incidents = Incidents(origin: .now)
        let inspector = ArenaInspector(stage: stage, findings: ArenaFindings())
        let end = ContinuousClock.now + .seconds(seconds)
        try await withThrowingTaskGroup(of: Void.self) { group in
            for lane in FaultSchedule.Lane.allCases {
                let planned = schedule.lanes[lane] ?? []
                group.addTask {
                    for fault in planned {
                        try await Task.sleep(until: end - .seconds(seconds) + fault.at, clock: .continuous)
                        guard ContinuousClock.now < end else { return }
                        incidents.begin(fault)
                        try await stage.make(fault)
                    }
                }
            }
            group.addTask {
                while ContinuousClock.now < end {
                    try await Task.sleep(for: .milliseconds(500))
                    try stage.checkProcesses()
                }
            }
            group.addTask { try await inspector.run(until: end) }
            // Not waitForAll(), which would wait for all faults before it told of a failure.
            for try await _ in group {}
        }
        let lasted = Moment.now - incidents.origin

        try await stage.stop([.writer])
        let referee = Referee(stage: stage)
        let truth = try await referee.truth()
        let cached = try await referee.compareCache()
        if broken == nil { try await Task.sleep(for: stage.settings.lease + Self.beyondLease) }
        let last = truth.standstill(until: .now)
        try await stage.stop(Fault.Client.readers + Fault.Client.workers)
        let arena = inspector.findings.sums
        let (checker, meanings) = try await referee.check(truth, standstills: arena.standstills + [last])
        let report = Report(
            incidents: incidents.counts,
            lasted: lasted,
            checker: checker,
            cached: cached,
            arena: arena,
            evictedKeys: await stage.redis.evictedKeys,
            refusedCommands: await stage.redis.refusedCommands,
            lease: .seconds(leaseSeconds),
            degradedAge: .seconds(degradedSeconds)
        )
        for line in report.lines { say(line) }
        let storyteller = Storyteller(stage: stage, incidents: incidents, checker: checker, meanings: meanings)
        for line in try storyteller.tell(report.differences) { say(line) }
        guard broken == nil else {
            let isFound = !checker.tally.violations.isEmpty
            say("the cache that is wrong on purpose was \(isFound ? "" : "NOT ")found out")
            return isFound
        }
        say(report.isWell ? "nothing was stale beyond its bound, and nothing was lost" : "NOT WELL; see above")
        return report.isWell
    }

    /// Leaves what was recorded and said; that it cannot is told beside what was wrong, never instead of it.
    private func leave(_ folder: RecordFolder, _ stage: Stage) {
        guard let keep else { return }
        do {
            for name in Fault.Client.allCases {
                let log: String
                do { log = try stage.log(of: name) } catch {
                    // One that has not been started, for example; the others' are left all the same.
                    say("no log of \(name.name): \(error)")
                    continue
                }
                try folder.write(log, to: "\(name.name).log")
            }
            try folder.copy(to: keep)
            say("records and logs are in \(keep)")
        } catch {
            say("records and logs could not be left in \(keep): \(error)")
        }
    }
}
