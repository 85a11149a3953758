// What a cache is for, and what it costs in staleness: the same lookups and the same changes against no cache, against what is usual,
// and against Freshet. Everything is real and durable; statements are counted by Postgres, staleness by what writers were told.

import Freshet
import FreshetPostgres
import Keyspace
import Postgres
import Redis

struct ReadersBenchmark: Benchmark {
    let name = "readers"
    let heldEqual = """
        \(ReadLoad.lookupsPerSecond) lookups a second by a schedule, and the changes, all drawn from one distribution; tables, triggers, \
        worker and loader; each cache begins with what it would hold after a long time under that load, and the first \
        \(Kind.none.warmUp.components.seconds) s do not count, of the TTL cache \(Kind.deleting.warmUp.components.seconds), until its \
        values are as old as they get
        """

    private static let rates = [1, 10, 100]

    private enum Kind: String, CaseIterable {
        case none = "none", deleting = "TTL of 60 s, delete after write", remote = "Freshet", near =
            "Freshet, near cache"

        var title: String { self == .none ? "no cache" : rawValue }

        /// Where values stay for a time, that too: those at the beginning are of then, whatever the age that they are given.
        var warmUp: Duration { .seconds(2) + (self == .deleting ? DeletingCache.timeToLive : .zero) }
    }

    private struct Cell {
        var kind: Kind
        var rate: Int
        var outcome: ReadLoad.Outcome

        /// The statements that keep the cache right: without one there are none, whatever the worker does.
        var keeperStatements: Int {
            switch kind {
            case .none: 0
            case .deleting: outcome.statements.ofWriters
            case .remote, .near: outcome.statements.ofWorker
            }
        }
        var statements: Int { outcome.statements.ofReaders + keeperStatements }
    }

    func run(on server: BenchmarkServer) async throws -> [Bar] {
        guard case .unix(let redisPath) = server.unix else { throw NotWarm(description: "no unix socket") }
        _ = try BareRedis(server.unix).text("FLUSHALL")
        let stage = try await ReadersStage.set(redisPath: redisPath)
        let cells: [Cell]
        do { cells = try await self.cells(on: stage, server) } catch {
            await stage.end()
            throw error
        }
        await stage.end()
        print(Self.table(cells))
        return cells.flatMap(Self.bars)
    }

    // MARK: Measuring

    private func cells(on stage: ReadersStage, _ server: BenchmarkServer) async throws -> [Cell] {
        let pool = PostgresPool(
            configuration: stage.configuration(of: .reader),
            maximumConnections: 8,
            logger: .silent
        )
        let loader = PostgresWorkflowLoader(pool: pool)
        let node = RedisNode(server.unix.configuration, logger: .silent)
        func lookup(isNear: Bool) throws -> WorkflowLookup {
            var options = CacheOptions()
            options.registry = CacheRegistry()
            options.nearCache = isNear ? NearCacheOptions(redis: server.unix.configuration) : nil
            return try WorkflowLookup(redis: node, options: options, loader: loader.load, logger: .silent)
        }
        let popularity = ZipfDistribution(count: Installation.detectorCount, exponent: 1)
        let (ledger, filler) = (VersionLedger(), CacheFill(popularity: popularity, loader: loader, node: node))
        var cells: [Cell] = []
        for rate in Self.rates {
            func measure(_ kind: Kind, _ cache: some TriedCache) async throws {
                let load = ReadLoad(
                    stage: stage,
                    popularity: popularity,
                    ledger: ledger,
                    changesPerSecond: rate,
                    warmUp: kind.warmUp,
                    seed: UInt64(1 + cells.count)
                )
                cells.append(Cell(kind: kind, rate: rate, outcome: try await load.run(against: cache)))
            }
            try await measure(.none, NoCache(loader: loader))

            let deleting = DeletingCache(redis: node, loader: loader, prefix: "usual:\(rate)")
            try await filler.fill(deleting, changesPerSecond: rate)
            try await measure(.deleting, deleting)

            try await stage.invalidateAll()
            let sets = try await filler.fill(changesPerSecond: rate)
            let near = try lookup(isNear: true)
            let running = Task { try await near.run() }
            defer { running.cancel() }
            // First, because what is read into its memory is what is cached: nothing has been invalidated yet.
            try await filler.warm(near, with: sets)
            try await measure(.near, FreshetCache(lookup: near))
            running.cancel()

            try await measure(.remote, FreshetCache(lookup: try lookup(isNear: false)))
        }
        await node.close()
        await pool.close()
        return cells
    }

    // MARK: Figures

    private static func bars(_ cell: Cell) -> [Bar] {
        let outcome = cell.outcome
        let seconds = outcome.seconds
        let statements = Double(cell.statements)
        let worst = milliseconds(outcome.staleness.max() ?? .zero)
        let title = "\(cell.kind.title), \(cell.rate) change\(cell.rate == 1 ? "" : "s") a second"
        let labels = ["cache": cell.kind.rawValue, "changes_per_second": "\(cell.rate)"]
        let keepsPromise = cell.kind == .remote || cell.kind == .near
        return [
            Bar(
                name: "\(title), database queries for one lookup",
                figure: statements / Double(outcome.lookupCount),
                limit: .none,
                origin: """
                    \(outcome.statements.ofReaders) by readers and \(cell.keeperStatements) by who keeps the cache right, for \
                    \(outcome.lookupCount) lookups in \(Bar.text(seconds)) s; within triggers and functions \
                    \(outcome.statements.nested) more; time of a lookup
                    """,
                measured: Distribution(of: outcome.times),
                labels: labels,
                figures: [
                    "lookups_per_second": outcome.lookupsPerSecond,
                    "hit_ratio": Double(outcome.hitCount) / Double(outcome.lookupCount),
                    "database_queries_per_second": statements / seconds,
                    "of_these_by_readers_per_second": Double(outcome.statements.ofReaders) / seconds,
                    "within_triggers_and_functions_per_second": Double(outcome.statements.nested) / seconds,
                    "stale_answers": Double(outcome.staleness.count),
                    "stale_answers_share": Double(outcome.staleness.count) / Double(outcome.lookupCount),
                    "staleness_p99_ms": stalenessP99(outcome),
                    "staleness_worst_ms": worst,
                ]
            ),
            Bar(
                name: "\(title), worst staleness in ms",
                figure: worst,
                // Of Freshet, the lease: the promise that it makes.
                limit: keepsPromise ? .atMost(milliseconds(KeyspaceLimits().lease)) : .none,
                origin: "\(outcome.staleness.count) of \(outcome.lookupCount) answers were stale",
                labels: labels
            ),
        ]
    }

    /// The 99th percentile of all answers, those that were not stale included.
    private static func stalenessP99(_ outcome: ReadLoad.Outcome) -> Double {
        let fresh = [Double](repeating: 0, count: outcome.lookupCount - outcome.staleness.count)
        return Stopwatch.quantile(0.99, of: fresh + outcome.staleness.map(milliseconds))
    }

    private static func milliseconds(_ duration: Duration) -> Double { Stopwatch.microseconds(duration) / 1_000 }

    // MARK: The table

    /// The table that opens the README.
    private static func table(_ cells: [Cell]) -> String {
        let rows = Kind.allCases.flatMap { kind in
            cells.filter { $0.kind == kind }.map { cell in
                let outcome = cell.outcome
                let columns = [
                    kind.title, "\(cell.rate)", share(outcome.hitCount, outcome.lookupCount),
                    number(Double(cell.statements) / outcome.seconds),
                    share(outcome.staleness.count, outcome.lookupCount), time(stalenessP99(outcome)),
                    time(milliseconds(outcome.staleness.max() ?? .zero)),
                ]
                return "| " + columns.joined(separator: " | ") + " |"
            }
        }
        let slow = cells.filter { $0.outcome.lookupsPerSecond < 0.95 * Double(ReadLoad.lookupsPerSecond) }.map { cell in
            """
            \(cell.kind.title), \(cell.rate) a second: only \(Int(cell.outcome.lookupsPerSecond)) lookups a second were answered.
            """
        }
        return """

            | cache | changes a second | hits | database queries a second | stale answers | staleness, p99 | worst staleness |
            |---|---|---|---|---|---|---|
            \(rows.joined(separator: "\n"))

            \(ReadLoad.lookupsPerSecond) lookups a second of \(Installation.detectorCount) detectors in \
            \(Installation.environmentCount) environments, Zipf-distributed with exponent 1, for \
            \(ReadLoad.length.components.seconds) s each. One change in \(ReadLoad.changesPerBulkChange) is SQL that the \
            application's own code does not see. Staleness is the time since a commit that had replaced the answer was \
            acknowledged when the read began.
            \(slow.joined(separator: "\n"))
            """
    }

    private static func share(_ part: Int, _ whole: Int) -> String {
        guard part > 0 else { return "0" }
        let percent = 100 * Double(part) / Double(whole)
        return percent < 0.01 ? "< 0.01 %" : "\(Bar.text(percent)) %"
    }

    private static func number(_ number: Double) -> String {
        number < 10 ? Bar.text(number) : "\(Int(number.rounded()))"
    }

    private static func time(_ milliseconds: Double) -> String {
        milliseconds == 0
            ? "0" : milliseconds < 1_000 ? "\(number(milliseconds)) ms" : "\(Bar.text(milliseconds / 1_000)) s"
    }
}
