// From a commit to the raised generation, beside the least that could be done: a C program to which the writer's own transaction sends
// a notification, and which raises counters (CommitFloor). Held equal on both sides: the Postgres, durable (fsync, and
// synchronous_commit); the statement, sent in one message, on tables of the same columns and rows, in a database of its own; the Redis,
// and how many keys are raised in it; how the end is seen, which is Redis telling a connection of the key. Not equal, on purpose: the
// floor journals nothing and resolves nothing, so that it loses what happens while it is away.
//
// Sides take turns, and none begins before the worker is done with what was changed before: its passes, which nobody waits for, would
// keep servers at work in the floor's turn.
//
// One change after another is of other keys, and whatever Redis has told is forgotten before a change is sent: a key that is raised
// twice, as after a hint that a pass could not count on, must not pass for the end of the change that follows.

import Keyspace
import LocalServices

struct CommitBenchmark: Benchmark {
    let name = "commit"
    let heldEqual = """
        the durable Postgres, a database of its own for each side, the statement in one message, tables of the same columns and rows, the \
        Redis, the keys raised in it, and how the end is seen; the floor journals nothing
        """

    /// A kind of change, as both sides make it.
    private struct Change: Sendable {
        var name: String
        /// The statement; the number counts up.
        var sql: @Sendable (_ number: Int) -> String
        /// Whose keys that raises.
        var detectors: @Sendable (_ number: Int) -> ClosedRange<Int64>
        var samples: Int
        /// The highest ratio of the medians, and of the 99th percentiles.
        var limits: (median: Double, p99: Double)
    }

    func run(on server: BenchmarkServer) async throws -> [Bar] {
        guard case .unix(let redisPath) = server.unix else { throw NotWarm(description: "no unix socket") }
        let stage = try await CommitStage.set(redisPath: redisPath)
        do {
            // `deploy/profile` waits for this.
            say("commit: begins to measure")
            var bars: [Bar] = []
            for change in Self.changes { bars += try await alone(change, on: stage) }
            for change in Self.sharedChanges {
                var made = 0
                for rate in Self.sharedRates { bars += try await together(change, rate: rate, made: &made, on: stage) }
            }
            await stage.end()
            return bars
        } catch {
            await stage.end()
            throw error
        }
    }

    // MARK: Statements

    /// Changes a detector or a workflow.
    private static func changing(_ what: String, _ id: Int64) -> String {
        "UPDATE workflow_engine_\(what) SET enabled = NOT enabled WHERE id = \(id)"
    }

    /// Links a detector with the workflow that is there for it, or ends that.
    private static func linking(_ detector: Int64, _ isLinked: Bool) -> String {
        isLinked
            ? "INSERT INTO workflow_engine_detectorworkflow (detector_id, workflow_id) VALUES (\(detector), 3)"
            : "DELETE FROM workflow_engine_detectorworkflow WHERE detector_id = \(detector) AND workflow_id = 3"
    }

    // MARK: One client

    private static let changes = [
        Change(
            name: "detector",
            sql: { number in changing("detector", Int64(100 + number % 40)) },
            detectors: { number in .only(Int64(100 + number % 40)) },
            samples: 600,
            limits: (1.5, 2)
        ),
        Change(
            name: "link",
            sql: { number in linking(Int64(140 + number % 40), (number / 40).isMultiple(of: 2)) },
            detectors: { number in .only(Int64(140 + number % 40)) },
            samples: 600,
            limits: (1.5, 2)
        ),
        workflow(of: 1, samples: 600),
        workflow(of: 10, samples: 600),
        workflow(of: 1_000, samples: 300),
    ]

    private static func workflowName(of count: Int) -> String {
        "workflow of \(count) detector\(count == 1 ? "" : "s")"
    }

    private static func workflow(of count: Int, samples: Int) -> Change {
        Change(
            name: workflowName(of: count),
            sql: { number in changing("workflow", Int64(CommitStage.workflow(of: count, number).id)) },
            detectors: { number in CommitStage.workflow(of: count, number).detectors },
            samples: samples,
            limits: (2.5, 2.5)
        )
    }

    /// One client, whose changes follow one another, in turns with the floor.
    private func alone(_ change: Change, on stage: CommitStage) async throws -> [Bar] {
        let sides = [CommitStage.Side.ours, .floor]
        let clients = try await onThread { try sides.map { try stage.client($0, prefixText: "") } }
        var times: [CommitStage.Side: [CommitClient.Sample]] = [:]
        let batch = 20
        // The first batch warms up, and does not count.
        for round in 0...(change.samples / batch) {
            if round == 1 { times = [:] }
            let numbers = (round * batch)..<((round + 1) * batch)
            for (side, client) in zip(sides, clients) {
                let samples = try await onThread {
                    try Self.samples(of: change, numbers, by: client, on: stage, side)
                }
                times[side, default: []] += samples
                // Behind the floor's turn as well, so that each begins behind a rest.
                try await stage.settle()
            }
        }
        return Self.bars(times, "\(change.name), one client", change.limits)
    }

    /// Makes the changes of some numbers, one after another.
    private static func samples(
        of change: Change,
        _ numbers: Range<Int>,
        by client: CommitClient,
        on stage: CommitStage,
        _ side: CommitStage.Side
    ) throws -> [CommitClient.Sample] {
        try numbers.map { number in
            let detectors = change.detectors(number)
            let sql = stage.sql(change.sql(number), changing: detectors, side)
            return try client.sample(sql, changing: stage.keys(of: detectors, side))
        }
    }

    // MARK: Many clients

    /// A kind of change that each of several clients makes to what is its own.
    private struct SharedChange: Sendable {
        var name: String
        /// The statement; the number counts up for each client.
        var sql: @Sendable (_ client: Int, _ number: Int) -> String
        /// Whose keys that raises.
        var detectors: @Sendable (_ client: Int, _ number: Int) -> ClosedRange<Int64>
        var limits: (median: Double, p99: Double)
    }

    /// How many changes a second there are in all, where that can be done.
    private static let sharedRates = [1, 100, 1_000]

    private static let sharedChanges = [
        SharedChange(
            name: "detector",
            sql: { client, number in changing("detector", CommitStage.detector(number, of: client)) },
            detectors: { client, number in .only(CommitStage.detector(number, of: client)) },
            limits: (1.5, 2)
        ),
        SharedChange(
            name: "link",
            sql: { client, number in
                linking(CommitStage.detector(number, of: client), (number / 10).isMultiple(of: 2))
            },
            detectors: { client, number in .only(CommitStage.detector(number, of: client)) },
            limits: (1.5, 2)
        ),
        sharedWorkflow(of: 1),
        sharedWorkflow(of: 10),
        sharedWorkflow(of: 1_000),
    ]

    private static func sharedWorkflow(of count: Int) -> SharedChange {
        SharedChange(
            name: workflowName(of: count),
            sql: { client, number in
                changing("workflow", Int64(CommitStage.workflow(of: count, number, ofClient: client).id))
            },
            detectors: { client, number in CommitStage.workflow(of: count, number, ofClient: client).detectors },
            limits: (2.5, 2.5)
        )
    }

    /// What several clients' changes took, and for how long they were made.
    private struct Tally {
        var times: [CommitStage.Side: [CommitClient.Sample]] = [:]
        var used: [CommitStage.Side: ProcessorUse] = [:]
        var seconds: [CommitStage.Side: Double] = [:]

        func rate(asked: Int) -> ChangeRate {
            func made(_ side: CommitStage.Side) -> Double { count(side) / (seconds[side] ?? .nan) }
            return ChangeRate(asked: asked, ours: made(.ours), floor: made(.floor))
        }

        /// For how long a change kept a processor at work, in microseconds.
        func use(_ party: CommitParty, _ side: CommitStage.Side) -> Double {
            (used[side]?[party] ?? .nan) / count(side)
        }

        private func count(_ side: CommitStage.Side) -> Double { Double(times[side]?.count ?? 0) }
    }

    /// Eight clients, in turns with the floor.
    ///
    /// - Parameter made: How many changes each of them has made so far, on either side.
    private func together(
        _ change: SharedChange,
        rate: Int,
        made: inout Int,
        on stage: CommitStage
    ) async throws -> [Bar] {
        // As those of a pool, their sessions are kept: the first statements of a session take ten times as long as others.
        let sides = [CommitStage.Side.floor, .ours]
        let (clients, clocks) = try await onThread {
            (
                try sides.map { side in
                    try (0..<CommitStage.clientCount).map {
                        try stage.client(side, prefixText: CommitStage.prefixText(of: $0))
                    }
                },
                try sides.map { try stage.clocks($0) }
            )
        }
        var tally = Tally()
        let slices = rate == 1 ? 2 : 5
        // The first warms up, and does not count.
        for slice in 0...slices {
            let turn = Turn(
                first: made,
                // At one a second two take 16 s.
                count: slice == 0 ? 3 : max(2, rate / CommitStage.clientCount),
                period: .seconds(CommitStage.clientCount) / (slice == 0 ? 10 : rate)
            )
            if slice == 1 { tally = Tally() }
            for (place, side) in sides.enumerated() {
                let (began, usedBefore) = (ContinuousClock.now, try ProcessorUse(clocks[place]))
                try await withThrowingTaskGroup { tasks in
                    for (number, client) in clients[place].enumerated() {
                        tasks.addTask {
                            try await onThread { try turn.take(change, by: client, number, on: stage, side) }
                        }
                    }
                    for try await (samples, session) in tasks {
                        tally.times[side, default: []] += samples
                        tally.used[side, default: [:]][.writers, default: 0] += session
                    }
                }
                tally.seconds[side, default: 0] += Stopwatch.microseconds(began.duration(to: .now)) / 1e6
                // The worker goes on when the last change is made; this program then only waits, which is not the clients' work.
                let usedByClients = try ProcessorUse(clocks[place].filter { $0.key == .clients })
                try await stage.settle()
                let usedAfter = try ProcessorUse(clocks[place]).merging(usedByClients) { $1 }
                tally.used[side, default: [:]].add(from: usedBefore, to: usedAfter)
            }
            made += turn.count
        }
        let name = "\(change.name), \(CommitStage.clientCount) clients, \(rate) a second"
        return Self.bars(tally.times, name, change.limits, tally.rate(asked: rate)) + [
            Self.bar(tally, asked: rate, name)
        ]
    }

    /// What each of several clients does in its turn.
    private struct Turn: Sendable {
        /// The number of its first change.
        var first: Int
        var count: Int
        /// Between two of its changes.
        var period: Duration

        /// Makes the changes of one client, and tells for how long its session in Postgres used a processor, in microseconds.
        func take(
            _ change: SharedChange,
            by client: CommitClient,
            _ number: Int,
            on stage: CommitStage,
            _ side: CommitStage.Side
        ) throws -> (samples: [CommitClient.Sample], session: Double) {
            let usedBefore = try client.session.microseconds
            // Each begins a share of the period later than the one before it.
            var next = ContinuousClock.now + period * number / CommitStage.clientCount
            var samples: [CommitClient.Sample] = []
            for place in first..<(first + count) {
                let detectors = change.detectors(number, place)
                let sql = stage.sql(change.sql(number, place), changing: detectors, side)
                let keys = stage.keys(of: detectors, side)
                Stopwatch.block(until: next)
                samples.append(try client.sample(sql, changing: keys))
                next += period
            }
            return (samples, try client.session.microseconds - usedBefore)
        }
    }

    // MARK: Figures

    /// For how long a change keeps the processors at work, beside the floor's, and whose work that is.
    private static func bar(_ tally: Tally, asked: Int, _ name: String) -> Bar {
        func total(_ side: CommitStage.Side) -> Double { CommitParty.allCases.reduce(0) { $0 + tally.use($1, side) } }
        // Fewer than were asked for, where that is more than can be done.
        let rate = tally.rate(asked: asked)
        let parties = CommitParty.allCases.map { party in
            "\(party.rawValue) \(Int(tally.use(party, .ours))) / \(Int(tally.use(party, .floor)))"
        }
        return Bar(
            name: "\(name), the processors' time for a change",
            figure: total(.ours) / total(.floor),
            limit: .none,
            origin: "\(Int(total(.ours))) / \(Int(total(.floor))) µs, of \(Int(rate.ours.rounded())) / "
                + "\(Int(rate.floor.rounded())) a second: " + parties.joined(separator: ", ")
        )
    }

    /// The figures of one kind of change.
    ///
    /// - Parameter rate: How many there were; nil where one client made as many as it could, one after another.
    static func bars(
        _ times: [CommitStage.Side: [CommitClient.Sample]],
        _ name: String,
        _ limits: (median: Double, p99: Double),
        _ rate: ChangeRate? = nil
    ) -> [Bar] {
        let (ours, floor) = (times[.ours] ?? [], times[.floor] ?? [])
        func bar(
            _ what: String,
            _ time: KeyPath<CommitClient.Sample, Double>,
            _ value: KeyPath<Distribution, Double>,
            _ limit: Bar.Limit
        ) -> Bar {
            let mine = Distribution(of: ours.map { $0[keyPath: time] })
            let least = Distribution(of: floor.map { $0[keyPath: time] })
            let (figure, base) = (mine?[keyPath: value] ?? .nan, least?[keyPath: value] ?? .nan)
            let reservation = rate?.reservation
            var labels = ["change": name, "since": time == \.sinceSent ? "sending" : "acknowledgement"]
            if reservation != nil { labels["load"] = "unequal" }
            return Bar(
                name: "\(name), \(what)",
                figure: figure / base,
                limit: reservation == nil ? limit : .none,
                origin: "\(Int(figure)) / \(Int(base)) µs, of \(ours.count) and \(floor.count)"
                    + (reservation.map { "; \($0)" } ?? ""),
                measured: mine,
                baseline: least,
                labels: labels
            )
        }
        return [
            bar("from the acknowledgement, median", \.sinceAcknowledged, \.median, .atMost(limits.median)),
            // Of fewer it is the slowest of all, which says nothing.
            bar(
                "from the acknowledgement, p99",
                \.sinceAcknowledged,
                \.p99,
                ours.count < 100 ? .none : .atMost(limits.p99)
            ),
            bar("from sending, median", \.sinceSent, \.median, .none),
            bar("from sending, p99", \.sinceSent, \.p99, .none),
        ]
    }
}

extension ClosedRange<Int64> {
    /// One detector.
    fileprivate static func only(_ detector: Int64) -> Self { detector...detector }
}
