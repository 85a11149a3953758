// How fast what is pending is drained, beside a C program (DrainFloor) that says the same to Postgres and Redis, and beside one that does
// the least there can be: that deletes the rows, bumps the same detectors, and commits, resolves nothing, proves nothing of the triggers,
// compares no mark, and vouches for nothing.

import LocalServices

struct DrainBenchmark: Benchmark {
    let name = "drain"
    let heldEqual = """
        the Postgres, durable; the journal, its rows and index; the Redis and its content; what wakes them, which in Postgres wakes the \
        sessions of those who have no turn as well; not equal: how long each of the worker's statements takes is logged; it counts \
        metrics, and keeps no history of changes
        """

    func run(on server: BenchmarkServer) async throws -> [Bar] {
        guard case .unix(let redisPath) = server.unix else { throw NotWarm(description: "no unix socket") }
        let stage = try await DrainStage.set(redisPath: redisPath)
        do {
            let bars = try await backlogs(stage) + claims(stage) + sustained(stage)
            await stage.end()
            return bars
        } catch {
            await stage.end()
            throw error
        }
    }

    /// What our drains are held against, and to which share of its speed.
    private static let floors: [(side: DrainStage.Side, text: String, limit: Bar.Limit)] = [
        (.same, "the same statements in C", .atLeast(0.7)), (.least, "the least in C", .none),
    ]

    // MARK: Backlogs

    private func backlogs(_ stage: DrainStage) async throws -> [Bar] {
        var bars: [Bar] = []
        var perChange: [Int: Double] = [:]
        for (count, turns) in [(1_000, 15), (10_000, 7), (100_000, 5), (1_000_000, 3)] {
            var drains: [DrainStage.Side: [DrainStage.Drain]] = [:]
            // The first turn warms up, and does not count.
            for turn in (count == 1_000 ? 0 : 1)...turns {
                for side in DrainStage.Side.allCases {
                    let drain = try await stage.drain(count, by: side)
                    if turn > 0 { drains[side, default: []].append(drain) }
                }
            }
            func median(_ part: (DrainStage.Drain) -> Double, of side: DrainStage.Side) -> Double {
                Stopwatch.median((drains[side] ?? []).map(part))
            }
            let ours = median(\.time, of: .ours)
            perChange[count] = ours / Double(count)
            let collapses = count > DrainStage.detectorCount
            for (side, what, limit) in Self.floors {
                let other = median(\.time, of: side)
                bars.append(
                    Bar(
                        name: "\(count) changes\(collapses ? ", collapsed" : ""), changes a second / \(what)",
                        figure: other / ours,
                        limit: limit,
                        origin: "\(Self.rate(count, ours)) / \(Self.rate(count, other)) a second; "
                            + "\(Int(ours / 1_000)) / \(Int(other / 1_000)) ms, medians of \(turns)",
                        measured: Distribution(of: (drains[.ours] ?? []).map(\.time)),
                        baseline: Distribution(of: (drains[side] ?? []).map(\.time))
                    )
                )
            }
            guard count == DrainStage.detectorCount else { continue }
            // Where the rest goes.
            let parts: [(String, (DrainStage.Drain) -> Double)] = [
                ("Postgres", \.postgres), ("Redis", \.redis), ("the worker, or the program in C,", \.program),
                ("nobody", \.waiting),
            ]
            for (name, part) in parts {
                let times = DrainStage.Side.allCases.map { "\(Int(median(part, of: $0) / 1_000))" }
                bars.append(
                    Bar(
                        name: "\(count) changes, the part of the time in which \(name) works",
                        figure: median(part, of: .ours) / ours,
                        limit: .none,
                        origin: "\(times.joined(separator: " / ")) ms; ours, the same in C, the least in C"
                    )
                )
            }
        }
        let (few, many) = (perChange[1_000] ?? .nan, perChange[100_000] ?? .nan)
        bars.append(
            Bar(
                name: "a change of 100,000 / a change of 1,000",
                figure: many / few,
                limit: .atMost(1),
                origin: "\(Bar.text(many)) / \(Bar.text(few)) µs"
            )
        )
        return bars
    }

    private static func rate(_ count: Int, _ microseconds: Double) -> Int { Int(Double(count) / microseconds * 1e6) }

    // MARK: A snapshot that is held open

    /// Four clients, as many changes a second, each of a detector.
    private static let load =
        "\\set id random(1, \(DrainStage.detectorCount))\n"
        + "UPDATE workflow_engine_detector SET enabled = NOT enabled WHERE id = :id;"

    private func claims(_ stage: DrainStage) async throws -> [Bar] {
        let pgbench = try await PgBench()
        let (count, rounds, seconds, rate) = (100_000, 3, 7, 300)
        var claims: (held: [Double], free: [Double]) = ([], [])
        var drains: (held: [Double], free: [Double]) = ([], [])
        func load() async throws -> [Double] {
            try stage.letGo(.ours)
            let start = try stage.logLength()
            _ = try await pgbench.runsPerSecond(
                of: Self.load,
                at: stage.stage.conninfo(),
                clients: 4,
                seconds: seconds,
                rate: rate
            )
            let claims = try stage.claims(since: start)
            try await stage.hold(.ours, collapses: false)
            return claims
        }
        try await vacuumByItself(true, stage)
        for _ in 0..<rounds {
            drains.free.append(try await stage.drain(count, by: .ours).time)
            claims.free += try await load()
            let holder = try stage.postgres()
            try holder.execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM freshet.change")
            // With it, all of these rows stay, in the table and in its index.
            drains.held.append(try await stage.drain(count, by: .ours, rowsLeft: true).time)
            claims.held += try await load()
            try holder.execute("COMMIT")
            try stage.postgres().execute("VACUUM freshet.change, freshet.fence")
        }
        try await vacuumByItself(false, stage)
        guard let heldClaims = Distribution(of: claims.held), let freeClaims = Distribution(of: claims.free) else {
            throw NotWarm(description: "the log of Postgres tells of no claims")
        }
        func bar(_ what: String, _ value: KeyPath<Distribution, Double>, _ limit: Bar.Limit) -> Bar {
            let (held, free) = (heldClaims[keyPath: value], freeClaims[keyPath: value])
            return Bar(
                name: "a snapshot held open, \(count) dead rows / none, \(what)",
                figure: held / free,
                limit: limit,
                origin: "\(Int(held)) / \(Int(free)) µs, of \(heldClaims.count) and \(freeClaims.count) claims",
                measured: heldClaims,
                baseline: freeClaims
            )
        }
        let (held, free) = (Stopwatch.median(drains.held), Stopwatch.median(drains.free))
        return [
            bar("a claim, p99", \.p99, .atMost(2)),
            bar("a claim, median", \.median, .none),
            Bar(
                name: "a snapshot held open / none, \(count) changes drained",
                figure: held / free,
                limit: .none,
                origin: "\(Int(held / 1_000)) / \(Int(free / 1_000)) ms, medians of \(rounds)"
            ),
        ]
    }

    private func vacuumByItself(_ isOn: Bool, _ stage: DrainStage) async throws {
        try await stage.stage.postgres.psql(
            "ALTER SYSTEM SET autovacuum = \(isOn ? "on" : "off"); SELECT pg_reload_conf()"
        )
    }

    // MARK: Changes without end

    private static let changesPerTransaction = 100
    private static let writers = 8
    /// In steps of a quarter; pgbench draws when each transaction begins, so that fewer would not be as many as asked for.
    private static let rates = [
        20_000, 25_000, 32_000, 40_000, 50_000, 64_000, 80_000, 100_000, 125_000, 160_000, 200_000, 250_000,
    ]

    /// The highest rate of changes, of those that are tried, with which a side keeps up.
    ///
    /// The rows of the journal are written without a table and its trigger, and nobody waits for the disk: as many at once would take
    /// the writers longer than those who drain.
    private func sustained(_ stage: DrainStage) async throws -> [Bar] {
        let pgbench = try await PgBench()
        try await vacuumByItself(true, stage)
        var best: [DrainStage.Side: Double] = [:]
        var ends: [DrainStage.Side: String] = [:]
        // Whoever the writers outlast.
        var lagged: Set<DrainStage.Side> = []
        let script = """
            \\set first random(1, \(DrainStage.detectorCount - Self.changesPerTransaction + 1))
            BEGIN;
            INSERT INTO freshet.change (cache, subject, operation, row_count, detector_ids)
            SELECT 'workflows', 'detector', 'update', 1, ARRAY[id]
            FROM generate_series(:first, :first + \(Self.changesPerTransaction - 1)) AS id;
            NOTIFY freshet_change;
            COMMIT;
            """
        // Each rate is tried by all in turns, and where the writers or a side fail once more: a machine that others use stands still at
        // times.
        var sides = DrainStage.Side.allCases
        for rate in Self.rates {
            for side in sides {
                try stage.letGo(side)
                var isOver = true
                for _ in 1...2 where isOver {
                    let generation = try await stage.namespaceGeneration()
                    let runs = try await pgbench.runsPerSecond(
                        of: script,
                        at: stage.stage.conninfo(options: "-c synchronous_commit=off"),
                        clients: Self.writers,
                        seconds: 3,
                        rate: rate / Self.changesPerTransaction
                    )
                    let lag = try await untilEmpty(stage)
                    let delivered = runs * Double(Self.changesPerTransaction)
                    let lagText = "\(Int(lag / 1_000)) ms behind"
                    // Where too much is pending it is bumped all at once, and is pending no more.
                    let collapsed = try await stage.namespaceGeneration() != generation
                    if lag > 500_000 || collapsed {
                        ends[side] =
                            "at \(Int(delivered)) a second "
                            + (collapsed ? "more than \(DrainStage.detectorCount) were pending" : lagText)
                        lagged.insert(side)
                        continue
                    }
                    lagged.remove(side)
                    best[side] = max(best[side] ?? 0, delivered)
                    isOver = delivered < 0.9 * Double(rate)
                    ends[side] = isOver ? "\(lagText), and the writers can do no more" : lagText
                }
                try await stage.hold(side, collapses: false)
                if isOver { sides.removeAll { $0 == side } }
            }
        }
        try await vacuumByItself(false, stage)
        func told(_ side: DrainStage.Side) -> String { "\(Int(best[side] ?? 0)) (\(ends[side] ?? ""))" }
        return Self.floors.map { side, what, limit in
            var bar = Bar(
                name: "changes a second, \(Self.changesPerTransaction) a transaction, before lag grows / \(what)",
                figure: (best[.ours] ?? 0) / (best[side] ?? .nan),
                limit: limit,
                origin: "\(told(.ours)) / \(told(side))"
            )
            // Where the writers could do no more, nobody knows how much more the floor could have done: that shows a miss at the most.
            if bar.isMet, !lagged.contains(side) { bar.limit = .none }
            return bar
        }
    }

    /// How long it takes until the journal is empty, in microseconds.
    private func untilEmpty(_ stage: DrainStage) async throws -> Double {
        try await onThread {
            let postgres = try stage.postgres()
            // By its index, which forgets dead rows where it meets them.
            try postgres.execute("SET enable_seqscan = off")
            let start = ContinuousClock.now
            while true {
                let looked = ContinuousClock.now
                if try postgres.rowCount(of: "SELECT FROM freshet.change WHERE xid >= '0' LIMIT 1") == 0 {
                    return Stopwatch.microseconds(start.duration(to: looked))
                }
                guard start.duration(to: looked) < .seconds(60) else {
                    throw NotWarm(description: "the journal is not empty within 60 s")
                }
            }
        }
    }
}
