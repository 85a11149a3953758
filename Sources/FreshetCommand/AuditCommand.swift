import ArgumentParser
import Audit
import Keyspace
import Logging
import Postgres
import Redis
import Synchronization

/// `freshet audit`: holds what is cached against the database.
struct AuditCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "audit",
        abstract: "Holds cached entries against the database, and shows what is wrong with all its evidence.",
        discussion: """
            Entries are consistent, in flight (a change explains the difference and is being applied), inconsistent, or \
            undecided, with the reason. It repairs nothing unless it is told to, and ends with 1 where something is \
            inconsistent. A running worker is needed to tell what is in flight from what is wrong.

            Redis is walked with SCAN, at a tenth of its time at most. The sample is uniform over all entries. The nines are \
            those of the exact upper bound for the share of wrong entries (Clopper and Pearson, 1934) at 95 % confidence.

            What is inconsistent is told with the last changes that invalidated it, of the newest 10,000 that the worker keeps in \
            Redis. Where it keeps none, or XREVRANGE on <prefix>:*.changes is refused, they are unknown: null in JSON, where \
            changes_unknown says why. One whose record was written after the entry was last seen is marked as later.

            The role needs freshet_auditor, and SELECT on the attached tables; --repair needs freshet_worker as well.

            EXAMPLE
              $ freshet audit
              $ freshet audit --all --rate 5000
              $ freshet audit --follow --rate 20 --json
              $ freshet audit --all --repair
            """
    )

    @Option(help: ArgumentHelp("So many entries, chosen at random. [default: 1000]", valueName: "count"))
    var sample: Int?

    @Flag(help: "Every entry.")
    var all = false

    @Flag(
        help: """
            Go on, round after round, until interrupted, also when a server was away; of every entry unless --sample is given.
            """
    )
    var follow = false

    @Option(
        help: ArgumentHelp(
            "How many entries a second at the most. [default: 1000, with --follow 20]",
            valueName: "count"
        )
    )
    var rate: Double?

    @Flag(help: "Invalidate what is inconsistent, through the journal, as freshet invalidate does.")
    var repair = false

    @Flag(help: "Print JSON: a line for each entry that is not consistent, then a line with the sums.")
    var json = false

    @OptionGroup(title: "Settings")
    var options: SettingsOptions

    func validate() throws {
        guard sample == nil || !all else { throw ValidationError("--sample and --all exclude each other") }
        if let sample, !(1...1_000_000).contains(sample) {
            throw ValidationError("--sample \(sample): give a number from 1 to 1000000, or --all")
        }
        if let rate, !(rate >= 0.01 && rate <= 1_000_000) {
            throw ValidationError("--rate \(rate): give entries a second, from 0.01 to 1000000")
        }
    }

    private var selection: AuditSelection {
        if let sample { return .sample(sample) }
        return all || follow ? .all : .sample(1_000)
    }

    func run() async throws {
        let settings = try options.resolve()
        var configuration = Auditor.Configuration()
        configuration.namespace = settings.namespace
        configuration.limits = settings.limits
        configuration.entriesPerSecond = rate ?? (follow ? 20 : 1_000)
        let run = AuditRun(
            settings: settings,
            configuration: configuration,
            selection: selection,
            isEndless: follow,
            repairs: repair,
            printsJSON: json
        )
        let interruption = Interruption()
        let result: Result<Void, any Error>
        do {
            try await withThrowingTaskGroup(of: Void.self) { tasks in
                tasks.addTask {
                    // The first signal ends the audit, not the report.
                    for await _ in interruption.requests { return }
                }
                tasks.addTask { try await run.audit() }
                try await tasks.next()
                tasks.cancelAll()
            }
            result = .success(())
        } catch {
            result = .failure(error)
        }
        Terminal.endProgress()
        await run.redis.close()
        let report = AuditReport(selection: selection, sums: run.sums)
        // What was seen before it failed is told all the same.
        if case .failure = result, report.sums.total.total == 0 { return try result.get() }
        try Terminal.write(json ? report.json.line : report.text(Terminal.standardOutput()))
        try result.get()
        if report.sums.total.inconsistent > 0 { throw ExitStatus.unwell.exitCode }
    }
}

/// One run of the command, and what it has brought so far.
private final class AuditRun: Sendable {
    let redis: RedisNode
    private let settings: Settings
    private let configuration: Auditor.Configuration
    private let selection: AuditSelection
    private let isEndless: Bool
    private let repairs: Bool
    private let printsJSON: Bool
    private let evidence: ChangeEvidence
    private let state = Mutex(AuditSums())
    /// Whether both servers were reached once: before that, whatever is wrong is told, and ends it.
    private let hasBegun = Atomic(false)

    var sums: AuditSums { state.withLock { $0 } }

    init(
        settings: Settings,
        configuration: Auditor.Configuration,
        selection: AuditSelection,
        isEndless: Bool,
        repairs: Bool,
        printsJSON: Bool
    ) {
        self.settings = settings
        self.configuration = configuration
        self.selection = selection
        self.isEndless = isEndless
        self.repairs = repairs
        self.printsJSON = printsJSON
        // Silent: what fails is told once, by the command itself.
        redis = RedisNode(settings.redis, logger: Logger(label: "freshet") { _ in SwiftLogNoOpLogHandler() })
        evidence = ChangeEvidence(of: settings.namespace, redis: redis)
    }

    /// Audits; who follows goes on when a server that could be reached before can be reached again.
    func audit() async throws {
        var retry = Self.shortestRetry
        while true {
            let checked = sums.total.total
            do {
                return try await auditUntilItFails()
            } catch {
                let failure = Failure(classifying: error)
                guard isEndless, hasBegun.load(ordering: .relaxed), failure.status == .unreachable, !Task.isCancelled
                else { throw error }
                if sums.total.total > checked { retry = Self.shortestRetry }
                if retry == Self.shortestRetry {
                    Terminal.endProgress()
                    Terminal.complain("\(failure); trying again")
                }
                try await Task.sleep(for: retry)
                retry = min(retry * 2, Self.longestRetry)
            }
        }
    }

    private static let (shortestRetry, longestRetry): (Duration, Duration) = (.seconds(1), .seconds(30))

    private func auditUntilItFails() async throws {
        var auditor = try await Auditor.open(
            settings.postgres,
            redis: redis,
            configuration: configuration,
            logger: settings.logger(.error)
        )
        hasBegun.store(true, ordering: .relaxed)
        do {
            while true {
                try await auditor.round(selection) { try await take($0) }
                state.withLock { $0.endRound() }
                guard isEndless else { break }
                // An empty Redis is not walked without pause.
                try await Task.sleep(for: .seconds(1))
            }
            await auditor.close()
        } catch {
            state.withLock { $0.breakOffRound() }
            await auditor.close()
            throw error
        }
    }

    private func take(_ batch: Auditor.Batch) async throws {
        let sums = state.withLock { sums in
            sums.add(batch)
            return sums
        }
        // Before anything is mended, which is a change, too.
        var changes: [String: RecentChanges] = [:]
        for cache in Set(batch.findings.filter { $0.verdict == .inconsistent }.map(\.cache)) {
            changes[cache] = await evidence.changes(of: cache)
        }
        var failure: (any Error)?
        for finding in batch.findings {
            let recent = finding.verdict == .inconsistent ? changes[finding.cache] : nil
            var change: String?
            // What cannot be mended once is not tried again, but all of the batch is told.
            if failure == nil {
                do { change = try await mend(finding) } catch { failure = error }
            }
            // To people the sums say why something could not be told.
            guard printsJSON || finding.verdict == .inconsistent else { continue }
            Terminal.endProgress()
            try Terminal.write(
                printsJSON
                    ? AuditReport.json(of: finding, changes: recent, repairedBy: change).line
                    : AuditReport.text(of: finding, changes: recent, repairedBy: change, Terminal.standardOutput())
            )
        }
        if let failure { throw failure }
        Terminal.showProgress(AuditReport.progress(sums))
    }

    /// - Returns: The id of the journal's row, where it was repaired.
    private func mend(_ finding: AuditFinding) async throws -> String? {
        guard repairs, finding.verdict == .inconsistent else { return nil }
        return try await withPostgres(settings, readWrite: true) { try await Auditor.repair(finding, on: $0) }
    }
}
