import Freshet
import InvalidationWorker
import LocalServices
import Postgres

/// What goes on after the steps: random changes at a gentle pace, and whatever the visitor changes.
struct DemoStroll {
    private let stage: DemoStage
    private let screen: DemoScreen
    /// How long between two changes of ours.
    private static let pace: Duration = .seconds(2)

    init(stage: DemoStage, screen: DemoScreen) {
        self.stage = stage
        self.screen = screen
    }

    /// Goes on until it is cancelled.
    func walk() async throws {
        try introduce()
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            tasks.addTask { try await showVisitors() }
            tasks.addTask {
                while true {
                    try await Task.sleep(for: Self.pace)
                    try await change()
                }
            }
            defer { tasks.cancelAll() }
            try await tasks.next()
        }
    }

    private func introduce() throws {
        let terminal = screen.terminal
        let owner = stage.postgres.connectionString(database: DemoStage.database)
        let reader = stage.postgres.connectionString(database: DemoStage.database, user: DemoData.reader)
        let program = CommandLine.arguments.first ?? "freshet"
        let url = stage.redisServer.url
        try screen.line(
            "\n\(terminal.style("It is yours until Control-C.", .bold)) Change rows, and watch them arrive here:\n"
        )
        try screen.note("psql '\(owner)'")
        try screen.note("redis-cli -s '\(stage.redisServer.socketPath)'")
        try screen.note("\(program) lookup --postgres '\(reader)' --redis '\(url)' --detector 17 --environment 3")
        try screen.note("\(program) status --postgres '\(owner)' --redis '\(url)'")
        try screen.line()
    }

    /// Shows what others change.
    private func showVisitors() async throws {
        var place = stage.worker.events.end
        while true {
            // However long nothing comes: whoever watches does not mind.
            let (entry, next) = try await stage.worker.events.first(
                from: place,
                "a visitor's change",
                within: .seconds(1_000_000_000)
            ) { entry in
                if case .applied(let report) = entry.event { report.hasOthers || report.changes.isEmpty } else { false }
            }
            place = next
            guard case .applied(let report) = entry.event else { continue }
            let who = Set(report.changes.compactMap(\.applicationName)).sorted().joined(separator: ", ")
            let what = report.changes.map { "\($0.operation) \($0.subject)" }.joined(separator: ", ")
            try line(
                what.isEmpty ? "Redis was emptied" : "\(who.isEmpty ? "somebody" : who): \(what)",
                DemoSteps.summary(report)
            )
        }
    }

    /// One change of ours, and whether a reader sees it.
    private func change() async throws {
        let detector = Int64.random(in: 1...Int64(DemoData.detectorCount))
        let (title, sql) = Self.idea(detector)
        let place = stage.worker.events.end
        let sent: ContinuousClock.Instant
        do {
            try await stage.application.run(script: "BEGIN")
            // Some ideas come to nothing: the link was there, the workflow is in that environment already.
            guard try await stage.application.query(sql).affectedRows > 0 else {
                return try await stage.application.run(script: "ROLLBACK")
            }
            sent = .now
            try await stage.application.run(script: "COMMIT")
        } catch let error as PostgresError where error.code == .server {
            // A visitor may have dropped or locked what we wanted to change.
            try await stage.application.run(script: "ROLLBACK")
            return try line(title, screen.terminal.style(error.message, .yellow))
        }
        let entry: EventLog.Entry
        do {
            entry = try await stage.worker.events.first(from: place, "the worker to apply it") { entry in
                if case .applied(let report) = entry.event { report.hasOurs } else { false }
            }.0
        } catch let error as EventLog.Overdue {
            return try line(title, screen.terminal.style("\(error)", .red))
        }
        guard case .applied(let report) = entry.event, let appliedAt = entry.appliedAt else { return }
        let differences = try await differences(of: detector)
        try line(
            title,
            "\(DemoSteps.summary(report)), risen after \(sent.duration(to: appliedAt).spoken)"
                + (differences.isEmpty ? "" : screen.terminal.style("  ✗ \(differences.joined(separator: "; "))", .red))
        )
    }

    private static func idea(_ detector: Int64) -> (title: String, sql: String) {
        let workflow = Int64.random(in: 1...Int64(DemoData.workflowCount))
        let environment = Int64.random(in: 1...Int64(DemoData.environmentCount))
        let workflows = "workflow_engine_workflow"
        let links = "workflow_engine_detectorworkflow"
        switch Int.random(in: 0..<5) {
        case 0:
            return (
                "workflow \(workflow) is switched on or off",
                "UPDATE \(workflows) SET enabled = NOT enabled WHERE id = \(workflow)"
            )
        case 1:
            return (
                "workflow \(workflow) moves to environment \(environment)",
                "UPDATE \(workflows) SET environment_id = \(environment) "
                    + "WHERE id = \(workflow) AND environment_id IS DISTINCT FROM \(environment)"
            )
        case 2:
            return (
                "detector \(detector) is linked to workflow \(workflow)",
                "INSERT INTO \(links) (detector_id, workflow_id) "
                    + "SELECT \(detector), id FROM \(workflows) WHERE id = \(workflow) ON CONFLICT DO NOTHING"
            )
        case 3:
            return (
                "detector \(detector) loses a link",
                "DELETE FROM \(links) WHERE id = (SELECT min(id) FROM \(links) WHERE detector_id = \(detector))"
            )
        default:
            return (
                "detector \(detector) is touched",
                "UPDATE workflow_engine_detector SET date_updated = clock_timestamp() WHERE id = \(detector)"
            )
        }
    }

    /// Where the cache differs from the database.
    ///
    /// A visitor's change may lie between the two looks, so that a difference is only one if it is still there when the
    /// worker has been around twice.
    private func differences(of detector: Int64) async throws -> [String] {
        let found = try await stage.compare([detector...detector]).differences
        guard !found.isEmpty else { return [] }
        let next = try await stage.worker.vouched(from: stage.worker.events.end)
        try await stage.worker.vouched(from: next)
        return try await stage.compare([detector...detector]).differences
    }

    private func line(_ title: String, _ rest: String) throws {
        let time = Timestamp.now.text(fractionDigits: 0).dropFirst(11).prefix(8)
        let arrow = screen.terminal.style("→", .faint)
        try screen.line("\(screen.terminal.style(time, .faint))  \(title.padded(to: 42)) \(arrow) \(rest)")
    }
}

extension PassReport {
    /// Whether some of it was the demonstration's own doing.
    fileprivate var hasOurs: Bool { changes.contains { $0.applicationName == DemoStage.applicationName } }

    /// Whether some of it was not.
    fileprivate var hasOthers: Bool { !changes.allSatisfy { $0.applicationName == DemoStage.applicationName } }
}
