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
                var made: [CommitStage.Side: [Int]] = [:]
                for rate in change.rates { bars += try await together(change, rate: rate, made: &made, on: stage) }
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

    private static func workflow(of count: Int, samples: Int) -> Change {
        Change(
            name: "workflow of \(count) detector\(count == 1 ? "" : "s")",
            sql: { schema, number in changing("workflow", Int64(CommitStage.workflow(of: count, number).id), in: schema)
            },
            detectors: { number in CommitStage.workflow(of: count, number).detectors },
            samples: samples,
            limits: (2.5, 2.5)
        )
    }

    /// One client, whose changes follow one another, in turns with the floor.
    private func alone(_ change: Change, on stage: CommitStage) async throws -> [Bar] {
        let times = try await stage.onThread {
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
        /// How many changes a second there are in all.
        var rates: [Int]
        /// The statement on the tables of a schema; the number counts up for each client.
        var sql: @Sendable (_ schema: String, _ client: Int, _ number: Int) -> String
        /// Whose keys that raises.
        var detectors: @Sendable (_ client: Int, _ number: Int) -> ClosedRange<Int64>
        var limits: (median: Double, p99: Double)
    }

    private static let sharedChanges = [
        SharedChange(
            name: "detector",
            rates: [1, 100, 1_000],
            sql: { schema, client, number in changing("detector", CommitStage.detector(number, of: client), in: schema)
            },
            detectors: { client, number in .only(CommitStage.detector(number, of: client)) },
            limits: (1.5, 2)
        ),
        SharedChange(
            name: "link",
            rates: [100, 1_000],
            sql: { schema, client, number in
                linking(CommitStage.detector(number, of: client), (number / 10).isMultiple(of: 2), in: schema)
            },
            detectors: { client, number in .only(CommitStage.detector(number, of: client)) },
            limits: (1.5, 2)
        ),
        SharedChange(
            name: "workflow of 10 detectors",
            rates: [100],
            sql: { schema, client, _ in changing("workflow", Int64(CommitStage.workflow(of: client)), in: schema) },
            detectors: { client, _ in CommitStage.detectors(of: client) },
            limits: (2.5, 2.5)
        ),
    ]

    /// Eight clients, in turns with the floor.
    ///
    /// - Parameter made: How many changes each of them has made so far.
    private func together(
        _ change: SharedChange,
        rate: Int,
        made: inout [CommitStage.Side: [Int]],
        on stage: CommitStage
    ) async throws -> [Bar] {
        // At one a second it takes a while until there are a hundred.
        let (slices, seconds) = rate == 1 ? (4, 25) : (5, 1)
        var times: [CommitStage.Side: [CommitClient.Sample]] = [:]
        for _ in 0..<slices {
            for side in [CommitStage.Side.floor, .ours] {
                let before = made[side] ?? Array(repeating: 0, count: CommitStage.clientCount)
                let samples = try await withThrowingTaskGroup(of: (Int, [CommitClient.Sample]).self) { tasks in
                    for (client, number) in before.enumerated() {
                        tasks.addTask {
                            try await stage.onThread {
                                (
                                    client,
                                    try Self.samples(
                                        of: change,
                                        by: client,
                                        from: number,
                                        rate: rate,
                                        seconds: seconds,
                                        on: stage,
                                        side
                                    )
                                )
                            }
                        }
                    }
                    return try await tasks.reduce(into: [:]) { $0[$1.0] = $1.1 }
                }
                made[side] = before.enumerated().map { $1 + (samples[$0]?.count ?? 0) }
                times[side, default: []] += samples.values.joined()
            }
        }
        return Self.bars(times, "\(change.name), \(CommitStage.clientCount) clients, \(rate) a second", change.limits)
    }

    private static func samples(
        of change: SharedChange,
        by client: Int,
        from first: Int,
        rate: Int,
        seconds: Int,
        on stage: CommitStage,
        _ side: CommitStage.Side
    ) throws -> [CommitClient.Sample] {
        let connection = try stage.client(side, prefixText: CommitStage.prefixText(of: client))
        let period = Duration.seconds(1) * CommitStage.clientCount / rate
        // Each begins a share of the period later than the one before it.
        var next = ContinuousClock.now + period * client / CommitStage.clientCount
        let end = ContinuousClock.now + .seconds(seconds)
        var samples: [CommitClient.Sample] = []
        while next < end {
            let number = first + samples.count
            let detectors = change.detectors(client, number)
            let sql = stage.sql(change.sql(side.schema, client, number), changing: detectors, side)
            let keys = stage.keys(of: detectors, side)
            Stopwatch.block(until: next)
            samples.append(try connection.sample(sql, changing: keys))
            next += period
        }
        return samples
    }

    // MARK: Figures

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
            bar("from the acknowledgement, p99", \.sinceAcknowledged, 0.99, .atMost(limits.p99)),
            bar("from sending, median", \.sinceSent, 0.5, .none),
            bar("from sending, p99", \.sinceSent, 0.99, .none),
        ]
    }
}

extension ClosedRange<Int64> {
    /// One detector.
    fileprivate static func only(_ detector: Int64) -> Self { detector...detector }
}
