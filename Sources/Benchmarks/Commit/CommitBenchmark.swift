// From a commit to the raised generation, beside the least that could be done: a C program to which the writer's own transaction sends
// a notification, and which raises counters (CommitFloor). Held equal on both sides: the Postgres, durable (fsync, and
// synchronous_commit); the statement, sent in one message, on tables of the same columns and rows; the Redis, and how many keys are
// raised in it; how the end is seen, which is Redis telling a connection of the key. Not equal, on purpose: the floor journals nothing
// and resolves nothing, so that it loses what happens while it is away.
//
// One change after another is of other keys, and whatever Redis has told is forgotten before a change is sent: a key that is raised
// twice, as after a hint that a pass could not count on, must not pass for the end of the change that follows.

import Keyspace
import LocalServices

struct CommitBenchmark: Benchmark {
    let name = "commit"
    let heldEqual = """
        the durable Postgres, the statement in one message, tables of the same columns and rows, the Redis, the keys raised in it, and \
        how the end is seen; the floor journals nothing
        """

    /// A kind of change, as both sides make it.
    private struct Change: Sendable {
        var name: String
        /// The statement on the tables of a schema; the number counts up.
        var sql: @Sendable (_ schema: String, _ number: Int) -> String
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
    private static func changing(_ what: String, _ id: Int64, in schema: String) -> String {
        "UPDATE \(schema).workflow_engine_\(what) SET enabled = NOT enabled WHERE id = \(id)"
    }

    /// Links a detector with the workflow that is there for it, or ends that.
    private static func linking(_ detector: Int64, _ isLinked: Bool, in schema: String) -> String {
        isLinked
            ? "INSERT INTO \(schema).workflow_engine_detectorworkflow (detector_id, workflow_id) VALUES (\(detector), 3)"
            : "DELETE FROM \(schema).workflow_engine_detectorworkflow WHERE detector_id = \(detector) AND workflow_id = 3"
    }

    // MARK: One client

    private static let changes = [
        Change(
            name: "detector",
            sql: { schema, number in changing("detector", Int64(100 + number % 40), in: schema) },
            detectors: { number in .only(Int64(100 + number % 40)) },
            samples: 600,
            limits: (1.5, 2)
        ),
        Change(
            name: "link",
            sql: { schema, number in
                linking(Int64(140 + number % 40), (number / 40).isMultiple(of: 2), in: schema)
            },
            detectors: { number in .only(Int64(140 + number % 40)) },
            samples: 600,
            limits: (1.5, 2)
        ),
        workflow(of: 1, samples: 600),
        workflow(of: 10, samples: 600),
        workflow(of: 1_000, samples: 100),
    ]

    private static func workflowName(of count: Int) -> String {
        "workflow of \(count) detector\(count == 1 ? "" : "s")"
    }

    private static func workflow(of count: Int, samples: Int) -> Change {
        Change(
            name: workflowName(of: count),
            sql: { schema, number in changing("workflow", Int64(CommitStage.workflow(of: count, number).id), in: schema)
            },
            detectors: { number in CommitStage.workflow(of: count, number).detectors },
            samples: samples,
            limits: (2.5, 2.5)
        )
    }

    /// One client, whose changes follow one another, in turns with the floor.
    private func alone(_ change: Change, on stage: CommitStage) async throws -> [Bar] {
        let times = try await onThread {
            let sides = try [CommitStage.Side.ours, .floor].map { side in
                (side, try stage.client(side, prefixText: ""))
            }
            var times: [CommitStage.Side: [CommitClient.Sample]] = [:]
            let batch = 20
            // The first batch warms up, and does not count.
            for round in 0...(change.samples / batch) {
                if round == 1 { times = [:] }
                for (side, client) in sides {
                    for number in (round * batch)..<((round + 1) * batch) {
                        let detectors = change.detectors(number)
                        let sql = stage.sql(change.sql(side.schema, number), changing: detectors, side)
                        let keys = stage.keys(of: detectors, side)
                        times[side, default: []].append(try client.sample(sql, changing: keys))
                    }
                }
            }
            return times
        }
        return Self.bars(times, "\(change.name), one client", change.limits)
    }

    // MARK: Many clients

    /// A kind of change that each of several clients makes to what is its own.
    private struct SharedChange: Sendable {
        var name: String
        /// The statement on the tables of a schema; the number counts up for each client.
        var sql: @Sendable (_ schema: String, _ client: Int, _ number: Int) -> String
        /// Whose keys that raises.
        var detectors: @Sendable (_ client: Int, _ number: Int) -> ClosedRange<Int64>
        var limits: (median: Double, p99: Double)
    }

    /// How many changes a second there are in all, where that can be done.
    private static let sharedRates = [1, 100, 1_000]

    private static let sharedChanges = [
        SharedChange(
            name: "detector",
            sql: { schema, client, number in changing("detector", CommitStage.detector(number, of: client), in: schema)
            },
            detectors: { client, number in .only(CommitStage.detector(number, of: client)) },
            limits: (1.5, 2)
        ),
        SharedChange(
            name: "link",
            sql: { schema, client, number in
                linking(CommitStage.detector(number, of: client), (number / 10).isMultiple(of: 2), in: schema)
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
            sql: { schema, client, number in
                changing("workflow", Int64(CommitStage.workflow(of: count, number, ofClient: client).id), in: schema)
            },
            detectors: { client, number in CommitStage.workflow(of: count, number, ofClient: client).detectors },
            limits: (2.5, 2.5)
        )
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
        var times: [CommitStage.Side: [CommitClient.Sample]] = [:]
        var used: [CommitStage.Side: ProcessorUse] = [:]
        var seconds: [CommitStage.Side: Double] = [:]
        let slices = rate == 1 ? 2 : 5
        // The first warms up, and does not count.
        for slice in 0...slices {
            let turn = Turn(
                first: made,
                // At one a second two take 16 s.
                count: slice == 0 ? 3 : max(2, rate / CommitStage.clientCount),
                period: .seconds(CommitStage.clientCount) / (slice == 0 ? 10 : rate)
            )
            if slice == 1 { (times, used, seconds) = ([:], [:], [:]) }
            for (place, side) in sides.enumerated() {
                let (began, usedBefore) = (ContinuousClock.now, try ProcessorUse(clocks[place]))
                try await withThrowingTaskGroup { tasks in
                    for (number, client) in clients[place].enumerated() {
                        tasks.addTask {
                            try await onThread { try turn.take(change, by: client, number, on: stage, side) }
                        }
                    }
                    for try await (samples, session) in tasks {
                        times[side, default: []] += samples
                        used[side, default: [:]][.writers, default: 0] += session
                    }
                }
                seconds[side, default: 0] += Stopwatch.microseconds(began.duration(to: .now)) / 1e6
                // The worker goes on when the last change is made; this program then only waits, which is not the clients' work.
                let usedByClients = try ProcessorUse(clocks[place].filter { $0.key == .clients })
                try await FreshetProgram.until("the journal to be claimed") { try await stage.isSettled() }
                let usedAfter = try ProcessorUse(clocks[place]).merging(usedByClients) { $1 }
                used[side, default: [:]].add(from: usedBefore, to: usedAfter)
            }
            made += turn.count
        }
        let name = "\(change.name), \(CommitStage.clientCount) clients, \(rate) a second"
        return Self.bars(times, name, change.limits) + [
            Self.bar(used, for: times.mapValues(\.count), in: seconds, name)
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
                let sql = stage.sql(change.sql(side.schema, number, place), changing: detectors, side)
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
    private static func bar(
        _ used: [CommitStage.Side: ProcessorUse],
        for counts: [CommitStage.Side: Int],
        in seconds: [CommitStage.Side: Double],
        _ name: String
    ) -> Bar {
        func perChange(_ party: CommitParty, _ side: CommitStage.Side) -> Double {
            (used[side]?[party] ?? .nan) / Double(counts[side] ?? 0)
        }
        func total(_ side: CommitStage.Side) -> Double { CommitParty.allCases.reduce(0) { $0 + perChange($1, side) } }
        // Fewer than were asked for, where that is more than can be done.
        func rate(_ side: CommitStage.Side) -> Int {
            Int((Double(counts[side] ?? 0) / (seconds[side] ?? .nan)).rounded())
        }
        let parties = CommitParty.allCases.map { party in
            "\(party.rawValue) \(Int(perChange(party, .ours))) / \(Int(perChange(party, .floor)))"
        }
        return Bar(
            name: "\(name), the processors' time for a change",
            figure: total(.ours) / total(.floor),
            limit: .none,
            origin: "\(Int(total(.ours))) / \(Int(total(.floor))) µs, of \(rate(.ours)) / \(rate(.floor)) a second: "
                + parties.joined(separator: ", ")
        )
    }

    private static func bars(
        _ times: [CommitStage.Side: [CommitClient.Sample]],
        _ name: String,
        _ limits: (median: Double, p99: Double)
    ) -> [Bar] {
        let (ours, floor) = (times[.ours] ?? [], times[.floor] ?? [])
        func bar(
            _ what: String,
            _ time: KeyPath<CommitClient.Sample, Double>,
            _ share: Double,
            _ limit: Bar.Limit
        ) -> Bar {
            let (mine, least) = (ours.map { $0[keyPath: time] }, floor.map { $0[keyPath: time] })
            let (figure, base) = (Stopwatch.quantile(share, of: mine), Stopwatch.quantile(share, of: least))
            return Bar(
                name: "\(name), \(what)",
                figure: figure / base,
                limit: limit,
                origin: "\(Int(figure)) / \(Int(base)) µs, of \(ours.count) and \(floor.count)",
                measured: Distribution(of: mine),
                baseline: Distribution(of: least),
                labels: ["change": name, "since": time == \.sinceSent ? "sending" : "acknowledgement"]
            )
        }
        return [
            bar("from the acknowledgement, median", \.sinceAcknowledged, 0.5, .atMost(limits.median)),
            // Of fewer it is the slowest of all, which says nothing.
            bar(
                "from the acknowledgement, p99",
                \.sinceAcknowledged,
                0.99,
                ours.count < 100 ? .none : .atMost(limits.p99)
            ),
            bar("from sending, median", \.sinceSent, 0.5, .none),
            bar("from sending, p99", \.sinceSent, 0.99, .none),
        ]
    }
}

extension ClosedRange<Int64> {
    /// One detector.
    fileprivate static func only(_ detector: Int64) -> Self { detector...detector }
}
