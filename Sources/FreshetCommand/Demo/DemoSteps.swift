// What is shown, and what must be seen for it to count. Every wait is for something that the worker tells or a reader sees;
// the one wait for time is where time itself is the subject, the end of a promise.

import Freshet
import InvalidationWorker
import Keyspace
import Postgres
import Redis

/// The steps of the demonstration.
struct DemoSteps {
    private let stage: DemoStage
    private let screen: DemoScreen
    private var number = 0
    private var isWell = true
    private var failures = 0
    /// From sending COMMIT until the generations had risen, of each change.
    private var risen: [Duration] = []

    init(stage: DemoStage, screen: DemoScreen) {
        self.stage = stage
        self.screen = screen
    }

    /// Plays all steps.
    ///
    /// - Returns: Whether each showed what it should.
    mutating func play() async throws -> Bool {
        let began = ContinuousClock.now
        try await stage.warm()
        do {
            try await bulkUpdate()
            try await environmentMove()
            try await precision()
            try await cascade()
            try await bulkLink()
            try await noChange()
            try await rollback()
            try await truncation()
            try await workerDown()
            try await emptiedRedis()
            try await comparison(since: began)
        } catch let error as EventLog.Overdue {
            failures += 1
            try screen.unmet(error.what, saw: "nothing for \(error.limit.spoken)")
        }
        if failures > 0 {
            try screen.line("\n\(screen.terminal.style("\(failures) expectations were not met.", .red, .bold))")
        }
        return failures == 0
    }

    // MARK: The steps

    private mutating func bulkUpdate() async throws {
        try begin("A bulk UPDATE: one statement, one row in the journal")
        let found = try await pick("workflow.organization_id = 2 AND workflow.environment_id IS NOT NULL")
        try await change(
            "UPDATE workflow_engine_workflow SET enabled = false, date_updated = now() WHERE organization_id = 2",
            [
                Watch(found.detector, .environment(found.environment), .reread, "without workflow \(found.workflow)") {
                    $0.contains(found.workflow) && !$1.contains(found.workflow)
                }
            ]
        )
        try end("no application hook sees an UPDATE like this one")
    }

    private mutating func environmentMove() async throws {
        try begin("A workflow moves from environment 1 to environment 2")
        let found = try await pick("workflow.environment_id = 1")
        let workflow = found.workflow
        try await change(
            "UPDATE workflow_engine_workflow SET environment_id = 2 WHERE id = \(workflow)",
            [
                Watch(found.detector, .environment(1), .reread, "without workflow \(workflow)") {
                    $0.contains(workflow) && !$1.contains(workflow)
                },
                Watch(found.detector, .environment(2), .reread, "with workflow \(workflow)") {
                    !$0.contains(workflow) && $1.contains(workflow)
                },
            ]
        )
        try end("both environments are reread; who looks at the new row only would forget the old one")
    }

    private mutating func precision() async throws {
        try begin("Precision: what did not change stays cached")
        let found = try await pick("workflow.environment_id = 4")
        let stranger = try await owner(
            """
            SELECT min(id) FROM workflow_engine_detector
            WHERE id NOT IN (SELECT detector_id FROM workflow_engine_detectorworkflow WHERE workflow_id = \(found.workflow))
            """
        )
        try await change(
            "UPDATE workflow_engine_workflow SET name = 'Wake up the on-call' WHERE id = \(found.workflow)",
            [
                Watch(found.detector, .environment(4), .reread, "the same workflows, reread") { $0 == $1 },
                Watch(found.detector, .environment(5), .untouched, "untouched") { $0 == $1 },
                Watch(found.detector, .global, .untouched, "untouched") { $0 == $1 },
                Watch(stranger, .environment(4), .untouched, "untouched") { $0 == $1 },
            ]
        )
        try end("one environment of the linked detectors is reread, and nothing else")
    }

    private mutating func cascade() async throws {
        try begin("A DELETE whose links go by cascade")
        let found = try await pick("workflow.environment_id IS NULL")
        try await change(
            "DELETE FROM workflow_engine_workflow WHERE id = \(found.workflow)",
            [
                Watch(found.detector, .global, .reread, "without workflow \(found.workflow)") {
                    $0.contains(found.workflow) && !$1.contains(found.workflow)
                }
            ]
        )
        try end("by the time the links are gone, nobody could ask whose they were: the journal has the pairs")
    }

    private mutating func bulkLink() async throws {
        try begin("INSERT … SELECT links a workflow to a project's detectors")
        let detector = try await owner("SELECT min(id) FROM workflow_engine_detector WHERE project_id = 3")
        let workflow = try await owner(
            """
            SELECT min(id) FROM workflow_engine_workflow WHERE enabled AND environment_id = 6
                AND id NOT IN (SELECT workflow_id FROM workflow_engine_detectorworkflow WHERE detector_id = \(detector))
            """
        )
        try await change(
            """
            INSERT INTO workflow_engine_detectorworkflow (detector_id, workflow_id)
            SELECT id, \(workflow) FROM workflow_engine_detector WHERE project_id = 3 ON CONFLICT DO NOTHING
            """,
            [
                Watch(detector, .environment(6), .reread, "with workflow \(workflow)") {
                    !$0.contains(workflow) && $1.contains(workflow)
                },
                Watch(detector, .environment(3), .untouched, "untouched") { $0 == $1 },
            ]
        )
        try end("the links say which detectors, the workflow says which environment")
    }

    private mutating func noChange() async throws {
        try begin("An UPDATE of every row that changes nothing")
        let found = try await pick("workflow.environment_id = 2")
        try await nothing(
            ["UPDATE workflow_engine_workflow SET name = name, enabled = enabled, config = config"],
            Watch(found.detector, .environment(2), .untouched, "untouched") { $0 == $1 }
        )
        try end("rows are compared as they are stored: nothing was journaled, nothing invalidated")
    }

    private mutating func rollback() async throws {
        try begin("A transaction that is rolled back")
        let found = try await pick("workflow.environment_id = 2")
        try await nothing(
            ["BEGIN", "DELETE FROM workflow_engine_detectorworkflow", "ROLLBACK"],
            Watch(found.detector, .environment(2), .untouched, "untouched") { $0 == $1 }
        )
        try end("its row in the journal was rolled back with it")
    }

    private mutating func truncation() async throws {
        try begin("TRUNCATE, and everything back again")
        let found = try await pick("workflow.environment_id = 5")
        try await stage.application.run(script: "CREATE TEMP TABLE kept AS TABLE workflow_engine_detectorworkflow")
        try await change(
            "TRUNCATE workflow_engine_detectorworkflow",
            [Watch(found.detector, .environment(5), .reread, "no workflow at all") { !$0.isEmpty && $1.isEmpty }]
        )
        try await change(
            "INSERT INTO workflow_engine_detectorworkflow SELECT * FROM kept",
            [Watch(found.detector, .environment(5), .reread, "the workflows of before") { $0.isEmpty && !$1.isEmpty }]
        )
        try end("an empty set is an answer too, and cached like any other")
    }

    private mutating func workerDown() async throws {
        try begin("A change while no worker runs")
        let found = try await pick("workflow.environment_id = 3")
        let environment = DetectorEnvironment.environment(3)
        let before = try await settled(found.detector, environment)
        let cachedAt = ContinuousClock.now
        await stage.worker.stop()
        try screen.note("the worker is stopped")
        try await commit(["UPDATE workflow_engine_workflow SET enabled = false WHERE id = \(found.workflow)"])

        let early = try await stage.read(found.detector, in: environment)
        // The promise ends, and what was cached grows too old to be served without one: both are a matter of time alone.
        let rest = max(try await stage.leaseRest(), cachedAt + DemoStage.degradedAge - .now)
        try await Task.sleep(for: max(rest, .zero) + .milliseconds(1))
        let late = try await stage.read(found.detector, in: environment)

        let place = stage.worker.events.end
        let started = ContinuousClock.now
        try await stage.worker.start()
        let vouched = started.duration(to: .now)
        let told = stage.worker.events.entries(from: place).map(\.event)
        let after = try await vouchedFor(found.detector, environment)

        try tell([
            ("before", before, []),
            ("at once", early, before.workflows),
            ("promise over", late, before.workflows),
            ("worker back", after, late.workflows),
        ])
        try expect("an answer without workflow \(found.workflow) once the promise is over", late) {
            $0.trust == .degraded && !$0.workflows.contains(found.workflow)
        }
        try expect("the same from a cache that is healthy again", after) {
            $0.trust == .healthy && !$0.workflows.contains(found.workflow)
        }
        let applied = told.firstIndex { if case .applied = $0 { true } else { false } }
        let promised = told.firstIndex { if case .vouched = $0 { true } else { false } }
        try expect(
            "the change applied before anything is promised",
            applied != nil && promised != nil && (applied ?? 0) < (promised ?? 0),
            saw: "\(told)"
        )
        try screen.remark(
            "the lease of \(DemoStage.limits.lease.spoken) bounds how long a reader can be behind; "
                + "back after \(vouched.spoken)"
        )
        try end(
            "readers noticed by themselves; the journal had kept it, and it was applied before anything was promised"
        )
    }

    private mutating func emptiedRedis() async throws {
        try begin("Redis is emptied")
        let found = try await pick("workflow.environment_id = 6")
        let environment = DetectorEnvironment.environment(6)
        let before = try await settled(found.detector, environment)
        let place = stage.worker.events.end
        try screen.sql("FLUSHALL")
        let flushed = ContinuousClock.now
        _ = try await stage.redis.send(RedisCommand("FLUSHALL"), key: DemoStage.namespace.headKey(bucket: 0)).get()
        let early = try await stage.read(found.detector, in: environment)
        let (reset, next) = try await stage.worker.events.first(from: place, "the worker to notice") { entry in
            if case .applied(let report) = entry.event { !report.resetBuckets.isEmpty } else { false }
        }
        try await stage.worker.vouched(from: next)
        let after = try await stage.read(found.detector, in: environment)
        let again = try await vouchedFor(found.detector, environment)
        try tell([
            ("before", before, []),
            ("at once", early, before.workflows),
            ("noticed", after, early.workflows),
            ("and again", again, after.workflows),
        ])
        try expect("the right answer at once, with nothing promised", early) {
            $0.workflows == before.workflows && $0.trust == .degraded
        }
        try expect("healthy, and filled anew", again) {
            $0.trust == .healthy && $0.source == .hit && $0.workflows == before.workflows
        }
        if let appliedAt = reset.appliedAt {
            try screen.remark("noticed and put right after \(flushed.duration(to: appliedAt).spoken)")
        }
        try end("the mark beside the data was gone: whatever had been filled since counts for nothing")
    }

    private mutating func comparison(since began: ContinuousClock.Instant) async throws {
        try begin("Every answer against the database")
        let (count, differences) = try await stage.compare()
        try expect("no difference", differences.isEmpty, saw: differences.prefix(5).joined(separator: "; "))
        let sorted = risen.sorted()
        if let longest = sorted.last {
            try screen.remark(
                "from COMMIT until the generations had risen: median \(sorted[sorted.count / 2].spoken), "
                    + "longest \(longest.spoken), of \(Int64(sorted.count).counted("change", "changes"))"
            )
        }
        try end("\(Int64(count).grouped) answers compared, all equal; shown in \(began.duration(to: .now).spoken)")
    }

    // MARK: How a step goes

    /// A detector in an environment that a step looks at, and what must be seen there.
    private struct Watch {
        enum Effect {
            case reread, untouched
        }

        let detector: Int64
        let environment: DetectorEnvironment
        let effect: Effect
        let expectation: String
        /// Whether the workflows before and after are as they should be.
        let isMet: ([Int64], [Int64]) -> Bool

        init(
            _ detector: Int64,
            _ environment: DetectorEnvironment,
            _ effect: Effect,
            _ expectation: String,
            isMet: @escaping ([Int64], [Int64]) -> Bool
        ) {
            self.detector = detector
            self.environment = environment
            self.effect = effect
            self.expectation = expectation
            self.isMet = isMet
        }
    }

    private mutating func begin(_ title: String) throws {
        number += 1
        isWell = true
        try screen.title(number, title)
    }

    private func end(_ moral: String) throws {
        if isWell { try screen.met(moral) }
    }

    private mutating func expect(_ expectation: String, _ isMet: Bool, saw: String) throws {
        guard !isMet else { return }
        isWell = false
        failures += 1
        try screen.unmet(expectation, saw: saw)
    }

    private mutating func expect(
        _ expectation: String,
        _ reading: DemoReading,
        _ isMet: (DemoReading) -> Bool
    ) throws {
        try expect(expectation, isMet(reading), saw: reading.text(Terminal.plain))
    }

    /// Runs statements as the application, in one transaction.
    ///
    /// - Returns: When COMMIT was sent.
    @discardableResult
    private func commit(_ statements: [String]) async throws -> ContinuousClock.Instant {
        for statement in statements { try screen.sql(statement) }
        try await stage.application.run(script: (["BEGIN"] + statements).joined(separator: ";\n"))
        let sent = ContinuousClock.now
        try await stage.application.run(script: "COMMIT")
        return sent
    }

    /// Makes a change, and shows what it invalidates and what readers see.
    private mutating func change(_ sql: String, _ watches: [Watch]) async throws {
        var before: [DemoReading] = []
        for watch in watches { before.append(try await settled(watch.detector, watch.environment)) }
        let place = stage.worker.events.end
        let sent = try await commit([sql])
        let (entry, _) = try await stage.worker.events.first(from: place, "the worker to apply the change") { entry in
            if case .applied(let report) = entry.event { report.rowCount > 0 } else { false }
        }
        var after: [DemoReading] = []
        var answered: Duration?
        for watch in watches {
            after.append(try await stage.read(watch.detector, in: watch.environment))
            if answered == nil { answered = sent.duration(to: .now) }
        }
        if case .applied(let report) = entry.event, let appliedAt = entry.appliedAt {
            let delay = sent.duration(to: appliedAt)
            risen.append(delay)
            try screen.note("→ \(Self.summary(report))")
            try screen.note(
                screen.terminal.style("  generation risen ", .faint) + screen.terminal.style(delay.spoken, .bold)
                    + screen.terminal.style(" after COMMIT, a reader's new answer after ", .faint)
                    + screen.terminal.style((answered ?? .zero).spoken, .bold)
            )
        }
        for (index, watch) in watches.enumerated() {
            try await show(watch, before: before[index], after: after[index])
        }
    }

    /// Does something that changes nothing, and shows that nothing follows.
    private mutating func nothing(_ statements: [String], _ watch: Watch) async throws {
        let before = try await settled(watch.detector, watch.environment)
        let place = stage.worker.events.end
        for statement in statements {
            try screen.sql(statement)
            try await stage.application.run(script: statement)
        }
        // The first promise from here on may be of a pass that had begun before; the second one's began after.
        let next = try await stage.worker.vouched(from: stage.worker.events.end)
        try await stage.worker.vouched(from: next)
        let passes = stage.worker.events.entries(from: place).compactMap { entry in
            if case .applied(let report) = entry.event { Self.summary(report) } else { nil }
        }
        try screen.note(
            "→ \(passes.isEmpty ? "the worker looked, and found nothing to do" : passes.joined(separator: "; "))"
        )
        try expect("nothing to do for the worker", passes.isEmpty, saw: passes.joined(separator: "; "))
        try await show(watch, before: before, after: try await stage.read(watch.detector, in: watch.environment))
    }

    /// What a reader gets from a cache that somebody vouches for.
    private func vouchedFor(_ detector: Int64, _ environment: DetectorEnvironment) async throws -> DemoReading {
        for _ in 0..<10 {
            let reading = try await stage.read(detector, in: environment)
            if reading.trust == .healthy { return reading }
            try await stage.worker.vouched(from: stage.worker.events.end)
        }
        return try await stage.read(detector, in: environment)
    }

    /// What a reader gets who has read before: a hit, from a cache that somebody vouches for.
    private func settled(_ detector: Int64, _ environment: DetectorEnvironment) async throws -> DemoReading {
        for _ in 0..<10 {
            let reading = try await vouchedFor(detector, environment)
            if reading.source == .hit, reading.global == .hit { return reading }
        }
        return try await stage.read(detector, in: environment)
    }

    private mutating func show(_ watch: Watch, before: DemoReading, after: DemoReading) async throws {
        let terminal = screen.terminal
        var line = "\("detector \(watch.detector)".padded(to: 13))\(watch.environment.title.padded(to: 15))"
        line += before.text(terminal, marking: after.workflows, as: .red)
        line += terminal.style("  →  ", .faint)
        line += after.text(terminal, marking: before.workflows, as: .green)
        if watch.effect == .reread {
            // A hint that was slower than its pass has bumped once more by now, and costs one more miss.
            let again = try await settled(watch.detector, watch.environment)
            line += terminal.style("  →  ", .faint) + again.source.styled(terminal)
            try screen.note(line)
            try expect("a hit at the next read", again) { $0.source == .hit && $0.workflows == after.workflows }
        } else {
            try screen.note(line)
        }
        // An entry that nobody vouches for, and that is too old for that, was not touched: what was bumped is told as that.
        let isReread = after.source != .hit && after.source != .miss(.degraded)
        try expect(
            watch.effect == .reread ? "a miss, then \(watch.expectation)" : "a hit, \(watch.expectation)",
            after
        ) { reading in
            isReread == (watch.effect == .reread) && before.source == .hit && before.trust == .healthy
                && watch.isMet(before.workflows, reading.workflows)
        }
    }

    private func tell(_ readings: [(when: String, reading: DemoReading, previous: [Int64])]) throws {
        for (when, reading, previous) in readings {
            let trust = screen.terminal.style(reading.trust.rawValue.padded(to: 10), reading.trust.style)
            let text = reading.text(
                screen.terminal,
                marking: previous.isEmpty ? reading.workflows : previous,
                as: .green
            )
            try screen.note("\(screen.terminal.style(when.padded(to: 14), .faint))\(trust)\(text)")
        }
    }

    // MARK: Looking things up

    /// An enabled workflow of a kind, with a detector that is linked to it.
    private func pick(
        _ condition: String
    ) async throws -> (detector: Int64, workflow: Int64, environment: Int64) {
        let result = try await stage.owner.query(
            """
            SELECT link.detector_id, workflow.id, COALESCE(workflow.environment_id, 0)
            FROM workflow_engine_workflow AS workflow
            JOIN workflow_engine_detectorworkflow AS link ON link.workflow_id = workflow.id
            WHERE workflow.enabled AND \(condition)
            ORDER BY link.detector_id, workflow.id OFFSET \(number * 3) LIMIT 1
            """
        )
        return (try result.requiredInt64(0, 0), try result.requiredInt64(0, 1), try result.requiredInt64(0, 2))
    }

    private func owner(_ sql: String) async throws -> Int64 {
        try await stage.owner.query(sql).requiredInt64(0, 0)
    }

    /// What a pass did, in a reader's words.
    static func summary(_ report: PassReport) -> String {
        let rows = report.changes.reduce(0) { $0 + $1.rowCount }
        var text = rows > 0 ? "\(rows.counted("row", "rows")), " : ""
        text += report.rowCount.counted("journal row", "journal rows")
        text += ": "
        if !report.resetBuckets.isEmpty {
            return "what Redis holds is not what was left there: everything is invalidated"
        }
        if report.scopes.coversNamespace { return text + "everything is invalidated, by one generation" }
        let detectors = Int64(report.scopes.entities.count)
        let named = report.scopes.entities.sorted { $0.key.text < $1.key.text }.prefix(3).map { entity, variants in
            switch variants {
            case .every: "detector \(entity) everywhere"
            case .some(let variants):
                "detector \(entity) " + variants.map(\.title).sorted().joined(separator: " and ")
            }
        }
        if detectors <= 3 {
            return text + named.joined(separator: ", ") + (detectors == 0 ? "nobody is concerned" : "")
        }
        if report.bumpCount == 0 { return text + "\(detectors.grouped) detectors, none of them cached" }
        return text + "\(report.bumpCount.counted("generation", "generations")) of "
            + "\(detectors.counted("detector", "detectors"))"
    }
}

extension DetectorEnvironment {
    /// `environment 3`, or `global`.
    var title: String {
        switch self {
        case .global: "global"
        case .environment(let id): "environment \(id)"
        }
    }
}

extension Variant {
    /// `environment 3`, or `global`.
    fileprivate var title: String { self == .global ? "global" : "environment \(text)" }
}

extension AnswerSource {
    fileprivate func styled(_ terminal: Terminal) -> String {
        terminal.style(word, self == .hit ? .green : .yellow)
    }
}

extension DemoReading {
    /// `miss 12 130`, with the workflows that the other reading lacks in a colour.
    func text(_ terminal: Terminal, marking others: [Int64]? = nil, as style: Terminal.Style = .green) -> String {
        let ids = workflows.map { id in
            others.map { $0.contains(id) } ?? true ? "\(id)" : terminal.style("\(id)", style, .bold)
        }
        return "\(source.styled(terminal)) \(ids.isEmpty ? terminal.style("none", .faint) : ids.joined(separator: " "))"
    }
}
