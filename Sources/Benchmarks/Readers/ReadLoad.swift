import Freshet
import Postgres
import Surroundings

/// Lookups and changes at fixed rates, whoever answers, and what came of them.
///
/// Lookups are due at fixed moments. A reader that is late begins the next at once, so that none is left out. Detectors that are
/// looked up and those whose workflows change are drawn from the same distribution.
struct ReadLoad: Sendable {
    static let lookupsPerSecond = 1_000
    static let length: Duration = .seconds(20)
    /// One change in so many is one that the application's own code does not see: a script, a migration, somebody's fix.
    ///
    /// It changes all workflows of a group in one statement.
    static let changesPerBulkChange = 5
    private static let readerCount = 32
    private static let writerCount = 4

    let stage: ReadersStage
    let popularity: ZipfDistribution
    let ledger: VersionLedger
    let changesPerSecond: Int
    /// What does not count, before what does.
    let warmUp: Duration
    /// Another one each time: who repeated the lookups of the time before would find what that has cached.
    let seed: UInt64

    /// For how long lookups and changes go on behind the time that counts, so that it ends among them.
    private static let rest: Duration = .seconds(1)

    /// What was found out.
    struct Outcome: Sendable {
        /// How long it was that counts.
        var length: Duration
        var lookupCount = 0
        var hitCount = 0
        /// How far behind each answer was that was behind.
        var staleness: [Duration] = []
        var times: [Double] = []
        var statements = StatementCount()

        var seconds: Double { Stopwatch.microseconds(length) / 1e6 }
        var lookupsPerSecond: Double { Double(lookupCount) / seconds }
    }

    /// A workflow as it was answered.
    struct Answer: Sendable {
        var workflow: Int64
        var version: Int64
    }

    struct Lookup: Sendable {
        var began: ContinuousClock.Instant
        var microseconds: Double
        var isHit: Bool
        var answers: [Answer]
    }

    func run(against cache: some TriedCache) async throws -> Outcome {
        let counter = try await stage.statementCounter()
        let outcome: Outcome
        do { outcome = try await run(against: cache, counter) } catch {
            await counter.close()
            throw error
        }
        await counter.close()
        return outcome
    }

    private func run(against cache: some TriedCache, _ counter: StatementCounter) async throws -> Outcome {
        // The first reading of a session takes longer than others.
        _ = try await counter.read()
        let start = ContinuousClock.now + .milliseconds(100)
        let end = start + warmUp + Self.length + Self.rest
        return try await withThrowingTaskGroup(of: [Lookup].self) { tasks in
            for reader in 0..<Self.readerCount {
                tasks.addTask { try await read(reader, cache, from: start, until: end) }
            }
            for writer in 0..<Self.writerCount {
                tasks.addTask {
                    try await write(writer, cache, from: start, until: end)
                    return []
                }
            }
            try await Task.sleep(until: start + warmUp, clock: .continuous)
            let first = try await counter.read()
            try await Task.sleep(until: first.moment + Self.length, clock: .continuous)
            let last = try await counter.read()
            guard last.moment < end else { throw NotWarm(description: "the statements were counted too late") }
            var lookups: [Lookup] = []
            for try await some in tasks { lookups += some }
            return Self.outcome(of: lookups, from: first, to: last, ledger)
        }
    }

    /// What came of the lookups that began between two readings, in the time of what was counted between these.
    static func outcome(
        of lookups: [Lookup],
        from first: StatementCounter.Reading,
        to last: StatementCounter.Reading,
        _ ledger: VersionLedger
    ) -> Outcome {
        let counted = lookups.filter { (first.moment..<last.moment).contains($0.began) }
        return Outcome(
            length: first.moment.duration(to: last.moment),
            lookupCount: counted.count,
            hitCount: counted.count(where: \.isHit),
            staleness: counted.compactMap { lookup in
                lookup.answers.compactMap {
                    ledger.staleness(of: $0.version, of: $0.workflow, readAt: lookup.began)
                }.max()
            },
            times: counted.map(\.microseconds),
            statements: last.count - first.count
        )
    }

    private func read(
        _ reader: Int,
        _ cache: some TriedCache,
        from start: ContinuousClock.Instant,
        until end: ContinuousClock.Instant
    ) async throws -> [Lookup] {
        var chance = SplitMix64(seed: seed << 32 + UInt64(reader))
        let period = Duration.seconds(1) * Self.readerCount / Self.lookupsPerSecond
        var next = start + period * reader / Self.readerCount
        var lookups: [Lookup] = []
        while next < end, .now < end {
            try await Task.sleep(until: next, clock: .continuous)
            let detector = Int64(popularity.rank(using: &chance))
            let environment = 1 + chance.below(Installation.environmentCount)
            let began = ContinuousClock.now
            let (workflows, isHit) = try await cache.read(detector, in: Int64(environment))
            let took = Stopwatch.microseconds(began.duration(to: .now))
            let group = Installation.group(ofDetector: detector)
            let expected = [0, environment].map { Installation.workflow(ofGroup: group, in: $0) }
            guard workflows.map(\.id).sorted() == expected else {
                throw NotWarm(description: "detector \(detector) has workflows \(workflows.map(\.id)), not \(expected)")
            }
            let answers = workflows.map { Answer(workflow: $0.id, version: $0.whenConditionGroupID ?? 0) }
            lookups.append(Lookup(began: began, microseconds: took, isHit: isHit, answers: answers))
            next += period
        }
        return lookups
    }

    private func write(
        _ writer: Int,
        _ cache: some TriedCache,
        from start: ContinuousClock.Instant,
        until end: ContinuousClock.Instant
    ) async throws {
        let connection = try await PostgresConnection.connect(stage.configuration(of: .writer), logger: .silent)
        var number = writer
        while true {
            let due = start + Duration.seconds(1) * number / changesPerSecond
            guard due < end, .now < end else { break }
            try await Task.sleep(until: due, clock: .continuous)
            // By its number, so that it does not matter who makes it.
            var chance = SplitMix64(seed: seed << 32 + UInt64(1_000_000 + number))
            _ = chance.next()
            let group = Installation.group(ofDetector: Int64(popularity.rank(using: &chance)))
            let isBulk = number % Self.changesPerBulkChange == Self.changesPerBulkChange - 1
            let one = Installation.workflow(ofGroup: group, in: chance.below(Installation.setCount))
            let workflows = isBulk ? Installation.workflows(ofGroup: group) : one...one
            let changed = try await connection.query(
                """
                UPDATE workflow_engine_workflow SET when_condition_group_id = when_condition_group_id + 1, date_updated = now()
                WHERE id BETWEEN $1 AND $2 RETURNING id, when_condition_group_id
                """,
                [PostgresParameter(workflows.lowerBound), PostgresParameter(workflows.upperBound)]
            )
            let acknowledged = ContinuousClock.now
            for row in changed.rows {
                guard let id = try changed.int64(row, 0), let version = try changed.int64(row, 1) else { continue }
                ledger.note(version, of: id, at: acknowledged)
            }
            if !isBulk { try await cache.hasChanged(workflow: one, on: connection) }
            number += Self.writerCount
        }
        await connection.close()
    }
}
