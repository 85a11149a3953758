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
            for rate in [1, 100, 1_000] { bars += try await together(rate: rate, on: stage) }
            await stage.end()
            return bars
        } catch {
            await stage.end()
            throw error
        }
    }

    // MARK: One client

    private static let changes = [
        Change(
            name: "detector",
            sql: { schema, number in
                "UPDATE \(schema).workflow_engine_detector SET enabled = NOT enabled WHERE id = \(100 + number % 40)"
            },
            detectors: { number in .only(Int64(100 + number % 40)) },
            samples: 600,
            limits: (1.5, 2)
        ),
        Change(
            name: "link",
            sql: { schema, number in
                let detector = 140 + number % 40
                return (number / 40).isMultiple(of: 2)
                    ? "INSERT INTO \(schema).workflow_engine_detectorworkflow (detector_id, workflow_id) VALUES (\(detector), 3)"
                    : "DELETE FROM \(schema).workflow_engine_detectorworkflow WHERE detector_id = \(detector) AND workflow_id = 3"
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
            sql: { schema, number in
                let id = CommitStage.workflow(of: count, number).id
                return "UPDATE \(schema).workflow_engine_workflow SET enabled = NOT enabled WHERE id = \(id)"
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

    private static let clientCount = 8

    /// Eight clients, each with ten detectors of its own, at so many changes a second in all.
    private func together(rate: Int, on stage: CommitStage) async throws -> [Bar] {
        let seconds = rate == 1 ? 24 : 5
        var times: [CommitStage.Side: [CommitClient.Sample]] = [:]
        for side in [CommitStage.Side.floor, .ours] {
            times[side] = try await withThrowingTaskGroup(of: [CommitClient.Sample].self) { tasks in
                for client in 0..<Self.clientCount {
                    tasks.addTask {
                        try await stage.onThread {
                            try Self.samples(of: client, rate: rate, seconds: seconds, on: stage, side)
                        }
                    }
                }
                return try await tasks.reduce(into: []) { $0 += $1 }
            }
        }
        return Self.bars(times, "detector, 8 clients, \(rate) a second", (1.5, 2))
    }

    private static func samples(
        of client: Int,
        rate: Int,
        seconds: Int,
        on stage: CommitStage,
        _ side: CommitStage.Side
    ) throws -> [CommitClient.Sample] {
        // What the ids of a client's detectors begin with: 600 to 609 are those of the first.
        let connection = try stage.client(side, prefixText: "\(60 + client)")
        let period = Duration.seconds(1) * clientCount / rate
        // Each begins a share of the period later than the one before it.
        var next = ContinuousClock.now + period * client / clientCount
        let end = ContinuousClock.now + .seconds(seconds)
        var samples: [CommitClient.Sample] = []
        while next < end {
            let detector = Int64(10 * (60 + client) + samples.count % 10)
            let sql = stage.sql(
                "UPDATE \(side.schema).workflow_engine_detector SET enabled = NOT enabled WHERE id = \(detector)",
                changing: .only(detector),
                side
            )
            let keys = stage.keys(of: .only(detector), side)
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
