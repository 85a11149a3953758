// What writers pay for the triggers, by pgbench: the same statements on two copies of the tables in one durable Postgres, one with the
// triggers and one without, in turns. The worker runs all the time, and works where there are triggers: what it takes of the machine
// counts. A third copy has triggers that write down the ids and nothing else: what ours cost beyond these is ours.

import LocalServices

struct WritersBenchmark: Benchmark {
    let name = "writers"
    let heldEqual = """
        the Postgres, durable; columns, rows and indexes; how a statement is sent; how many clients; not equal, and against us: how long \
        each of the worker's statements takes is logged
        """

    /// Whose tables are written, and how.
    private enum Side: Hashable {
        case without, with, silent
        /// The worker is stopped where it stands, and takes nothing of processor and disk.
        case alone, silentAlone
        /// Triggers which write the ids of the rows into a table without an index, and do nothing else.
        case least

        var isAlone: Bool { self == .alone || self == .silentAlone }

        var schema: String {
            switch self {
            case .without: "bare"
            case .least: "least"
            case .with, .silent, .alone, .silentAlone: "public"
            }
        }

        /// Options of the writer's session.
        var options: String? { self == .silent || self == .silentAlone ? "-c freshet.notify=off" : nil }

        var text: String {
            switch self {
            case .without: "without triggers"
            case .with: "with triggers"
            case .silent: "with triggers, freshet.notify = off"
            case .alone: "with triggers, the worker stopped"
            case .silentAlone: "with triggers, freshet.notify = off, the worker stopped"
            case .least: "with triggers that only write down the ids"
            }
        }
    }

    private static let workflowCount = 100_000
    private static let detectorCount = 10_000
    private static let tables = """
        INSERT INTO workflow_engine_detector (id) SELECT generate_series(1, \(detectorCount));
        INSERT INTO workflow_engine_workflow (id) SELECT generate_series(1, \(workflowCount));
        INSERT INTO workflow_engine_detectorworkflow (detector_id, workflow_id)
            SELECT id, id FROM generate_series(1, \(detectorCount)) AS id;
        """
    private static let leastTriggers = """
        CREATE TABLE journal (ids bigint[]);
        CREATE FUNCTION journal() RETURNS trigger LANGUAGE plpgsql AS $function$
        BEGIN
            INSERT INTO least.journal SELECT array_agg(id) FROM changed;
            RETURN NULL;
        END
        $function$;
        CREATE TRIGGER journal AFTER UPDATE ON workflow_engine_detector
            REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION journal();
        CREATE TRIGGER journal AFTER UPDATE ON workflow_engine_workflow
            REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION journal();
        CREATE TRIGGER journal_insert AFTER INSERT ON workflow_engine_detectorworkflow
            REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION journal();
        CREATE TRIGGER journal_delete AFTER DELETE ON workflow_engine_detectorworkflow
            REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION journal();
        """

    func run(on server: BenchmarkServer) async throws -> [Bar] {
        guard case .unix(let redisPath) = server.unix else { throw NotWarm(description: "no unix socket") }
        let stage = try await WorkerStage.set(
            prefix: "writers",
            redisPath: redisPath,
            tables: """
                \(Self.tables)
                CREATE SCHEMA bare; SET search_path = bare;
                \(ApplicationTables.statements(cascading: false)) \(Self.tables)
                CREATE SCHEMA least; SET search_path = least;
                \(ApplicationTables.statements(cascading: false)) \(Self.tables) \(Self.leastTriggers)
                SET search_path = public; VACUUM ANALYZE;
                """
        )
        do {
            let bars = try await singleRows(stage) + parts(stage) + notifications(stage) + many(stage) + bulk(stage)
            await stage.end()
            return bars
        } catch {
            await stage.end()
            throw error
        }
    }

    // MARK: Single rows

    private static let statements: [(name: String, script: @Sendable (String) -> String)] = [
        ("UPDATE of a detector", { detector(in: $0) }),
        (
            "UPDATE of a workflow",
            { schema in
                """
                \\set id random(1, \(detectorCount))
                UPDATE \(schema).workflow_engine_workflow SET enabled = NOT enabled WHERE id = :id;
                """
            }
        ),
        (
            "INSERT and DELETE of a link",
            { schema in
                """
                \\set id random(1, \(detectorCount))
                \\set workflow \(detectorCount) + 1 + :client_id
                INSERT INTO \(schema).workflow_engine_detectorworkflow (detector_id, workflow_id) VALUES (:id, :workflow);
                DELETE FROM \(schema).workflow_engine_detectorworkflow WHERE detector_id = :id AND workflow_id = :workflow;
                """
            }
        ),
    ]

    private static func detector(in schema: String) -> String {
        """
        \\set id random(1, \(detectorCount))
        UPDATE \(schema).workflow_engine_detector SET enabled = NOT enabled WHERE id = :id;
        """
    }

    private func singleRows(_ stage: WorkerStage) async throws -> [Bar] {
        var bars: [Bar] = []
        for (name, script) in Self.statements {
            for clients in [1, 8] {
                let rates = try await Self.rates([.without, .with], of: script, clients: clients, on: stage)
                bars.append(Self.bar("\(name), \(Self.text(clients))", .with, rates, .atLeast(0.9)))
            }
        }
        return bars
    }

    /// How many runs a second each side can do, in each of five turns of two seconds, behind one that does not count.
    private static func rates(
        _ sides: [Side],
        of script: @Sendable (String) -> String,
        clients: Int,
        on stage: WorkerStage
    ) async throws -> [Side: [Double]] {
        let pgbench = try await PgBench()
        var rates: [Side: [Double]] = [:]
        for round in 0...5 {
            for side in sides {
                if side.isAlone { try stage.worker.suspend() }
                let rate = try await pgbench.runsPerSecond(
                    of: script(side.schema),
                    at: stage.conninfo(options: side.options),
                    clients: clients,
                    seconds: round == 0 ? 1 : 2
                )
                if round > 0 { rates[side, default: []].append(rate) }
                guard side != .without else { continue }
                if side.isAlone { try stage.worker.resume() }
                // What it has not done meanwhile would fall into the next one's turn.
                try await FreshetProgram.until("the worker to have drained the journal") {
                    try await stage.journalIsEmpty()
                }
            }
        }
        return rates
    }

    private static func bar(_ name: String, _ side: Side, _ rates: [Side: [Double]], _ limit: Bar.Limit) -> Bar {
        let (mine, others) = (rates[side] ?? [], rates[.without] ?? [])
        let (rate, base) = (Stopwatch.median(mine), Stopwatch.median(others))
        return Bar(
            name: "\(name), \(side.text) / without",
            figure: rate / base,
            limit: limit,
            origin: "\(Int(rate)) / \(Int(base)) a second, medians of \(mine.count)",
            measured: Distribution(ofRates: mine),
            baseline: Distribution(ofRates: others)
        )
    }

    private static func text(_ clients: Int) -> String { clients == 1 ? "one client" : "\(clients) clients" }

    // MARK: What it is that one client pays

    private func parts(_ stage: WorkerStage) async throws -> [Bar] {
        let sides: [Side] = [.with, .silent, .alone, .silentAlone, .least]
        var bars: [Bar] = []
        for (name, script) in Self.statements {
            let rates = try await Self.rates([.without] + sides, of: script, clients: 1, on: stage)
            for side in sides { bars.append(Self.bar("part by part: \(name), one client", side, rates, .none)) }
        }
        return bars
    }

    // MARK: The lock of NOTIFY

    private func notifications(_ stage: WorkerStage) async throws -> [Bar] {
        var bars: [Bar] = []
        for clients in [8, 32] {
            let rates = try await Self.rates(
                [.without, .with, .silent],
                of: Self.detector,
                clients: clients,
                on: stage
            )
            for side in [Side.with, .silent] {
                bars.append(Self.bar("NOTIFY, \(Self.text(clients))", side, rates, .none))
            }
        }
        return bars
    }

    // MARK: Bulk

    /// How many rows a statement of these changes: as many as are told one by one.
    private static let manyCount = 10_000

    /// Statements of many rows, each client's of its own.
    private static let manyStatements: [(name: String, script: @Sendable (String) -> String)] = [
        (
            "UPDATE of \(manyCount) workflows",
            { schema in
                """
                \\set first :client_id * \(manyCount) + 1
                UPDATE \(schema).workflow_engine_workflow SET enabled = NOT enabled
                    WHERE id BETWEEN :first AND :first + \(manyCount - 1);
                """
            }
        ),
        (
            "INSERT and DELETE of \(manyCount) links",
            { schema in
                """
                \\set workflow \(workflowCount) - :client_id
                INSERT INTO \(schema).workflow_engine_detectorworkflow (detector_id, workflow_id)
                    SELECT id, :workflow FROM generate_series(1, \(manyCount)) AS id;
                DELETE FROM \(schema).workflow_engine_detectorworkflow WHERE workflow_id = :workflow;
                """
            }
        ),
    ]

    private func many(_ stage: WorkerStage) async throws -> [Bar] {
        var bars: [Bar] = []
        for (name, script) in Self.manyStatements {
            for clients in [1, 8] {
                let rates = try await Self.rates([.without, .with], of: script, clients: clients, on: stage)
                bars.append(Self.bar("\(name), \(Self.text(clients))", .with, rates, .none))
            }
        }
        return bars
    }

    private func bulk(_ stage: WorkerStage) async throws -> [Bar] {
        let rounds = 7
        var times: [Side: [Double]] = [:]
        // The first round warms up, and does not count.
        for round in 0...rounds {
            for side in [Side.without, .with] {
                let time = try await onThread {
                    let postgres = try BarePostgres(stage.conninfo())
                    let table = "\(side.schema).workflow_engine_workflow"
                    let start = ContinuousClock.now
                    try postgres.execute("UPDATE \(table) SET enabled = NOT enabled")
                    let time = Stopwatch.microseconds(start.duration(to: .now))
                    try postgres.execute("VACUUM \(table)")
                    return time
                }
                if round > 0 { times[side, default: []].append(time) }
            }
        }
        let (with, without) = (Stopwatch.median(times[.with] ?? []), Stopwatch.median(times[.without] ?? []))
        return [
            Bar(
                name: "UPDATE of \(Self.workflowCount) workflows, time with triggers / without",
                figure: with / without,
                limit: .atMost(1.1),
                origin: "\(Int(with / 1_000)) / \(Int(without / 1_000)) ms, medians of \(rounds)",
                measured: Distribution(of: times[.with] ?? []),
                baseline: Distribution(of: times[.without] ?? [])
            )
        ]
    }
}
