// Carries out what ``Inquiry`` decides. What an audit costs others is bounded: Redis is walked at a tenth of its time at most, entries
// are read in batches of one short transaction each, at a rate that the caller chooses; Postgres gets one query for a batch, on one
// session, and two or three more where something differs.

import Freshet
package import InvalidationWorker
package import Keyspace
package import Logging
package import Postgres
package import Redis

/// Which entries are audited.
package enum AuditSelection: Hashable, Sendable {
    /// Every entry that is there from the beginning of the round to its end.
    case all
    /// So many, each with the same probability.
    case sample(Int)
}

/// Holds cached entries against the database.
///
/// Not to be used by two tasks at once.
package struct Auditor: Sendable {
    /// How an auditor works.
    package struct Configuration: Sendable {
        /// Where the first cache lives; the others lie beside it.
        package var namespace = CacheNamespace.workflows
        /// As readers and workers have them.
        package var limits = KeyspaceLimits()
        /// How many entries a second are audited at the most.
        package var entriesPerSecond = 1_000.0
        /// For how long the worker is waited for, to apply what explains a difference; nil is two leases.
        package var patience: Duration?
        /// What a worker in this process has applied lately.
        package var history: PassHistory?

        package init() {}
    }

    /// What one batch brought: part of a round.
    package struct Batch: Sendable {
        /// Every entry that is not consistent.
        package var findings: [AuditFinding] = []
        /// By the name of the cache.
        package var tallies: [String: AuditTally] = [:]
        /// How many entries the round has found in Redis so far.
        package var foundCount = 0
    }

    private let session: AuditSession
    private let redis: any RedisClient
    private let configuration: Configuration
    private var pace: AuditPace
    /// By cache.
    private var stalled: [String: StalledHeads] = [:]

    /// Entries of one transaction of Redis and one query of Postgres.
    private static let entriesPerBatch = 100

    /// Opens a session with Postgres.
    ///
    /// - Parameter redis: Is not closed by the auditor.
    /// - Throws: `PostgresError`, ``AuditError``, `WorkerError`.
    package static func open(
        _ postgres: PostgresConfiguration,
        redis: any RedisClient,
        configuration: Configuration,
        logger: Logger
    ) async throws -> Auditor {
        Auditor(
            session: try await AuditSession.open(postgres, logger: logger),
            redis: redis,
            configuration: configuration,
            pace: AuditPace(perSecond: configuration.entriesPerSecond)
        )
    }

    /// The names of the caches that are audited.
    package var caches: [String] { session.caches.map(\.name) }

    /// Audits a selection of all caches, once.
    ///
    /// - Parameter onBatch: Is told what each batch brought.
    /// - Throws: `PostgresError`, `RedisError`, `RedisServerError`, ``AuditError``, what `onBatch` throws.
    package mutating func round(
        _ selection: AuditSelection,
        onBatch: (Batch) async throws -> Void
    ) async throws {
        var scan = EntryScan(
            caches.map { ($0, namespace(of: $0)) },
            redis: redis,
            stepsPerSecond: configuration.entriesPerSecond
        )
        var foundCount = 0
        switch selection {
        case .all:
            while let page = try await scan.next() {
                foundCount += page.count
                try await audit(page, foundCount: foundCount, onBatch)
            }
        case .sample(let size):
            var reservoir = Reservoir<CachedEntry>(size: size)
            var randomness = SystemRandomNumberGenerator()
            while let page = try await scan.next() {
                for entry in page { reservoir.offer(entry, using: &randomness) }
                try await onBatch(Batch(foundCount: reservoir.seenCount))
            }
            // Not in the order in which the server has them, so that what is audited first is a sample, too.
            try await audit(reservoir.elements.shuffled(), foundCount: reservoir.seenCount, onBatch)
        }
    }

    /// Ends the session.
    package func close() async {
        await session.close()
    }

    private func namespace(of cache: String) -> CacheNamespace {
        cache == AuditedCaches.all[0].name
            ? configuration.namespace : configuration.namespace.sibling(named: cache)
    }

    private mutating func audit(
        _ entries: [CachedEntry],
        foundCount: Int,
        _ onBatch: (Batch) async throws -> Void
    ) async throws {
        for cache in session.caches {
            let names = entries.names(of: cache.name)
            let size = pace.batchSize(atMost: Self.entriesPerBatch)
            for start in stride(from: 0, to: names.count, by: size) {
                let part = Array(names[start..<min(start + size, names.count)])
                try await pace.wait(for: part.count)
                var batch = try await audit(part, of: cache)
                batch.foundCount = foundCount
                try await onBatch(batch)
            }
        }
    }

    // MARK: One batch

    /// A suspect, with what the database says of it.
    private struct Suspect<Key: Hashable & Sendable> {
        var key: Key
        var inquiry: Inquiry
        var cached: [AuditedRow]
        var database: [AuditedRow]?
        var postgres: String?
        var journal: JournalView?
        var difference: ValueDifference?
        /// Whether the truth must be loaded before the next reading.
        var needsTruth = true
    }

    private mutating func audit<Cache: AuditedCache>(_ names: [EntryName], of cache: Cache) async throws -> Batch {
        let reader = EntryReader(redis: redis, namespace: namespace(of: cache.name))
        var batch = Batch()
        var tally = AuditTally()
        var suspects: [Suspect<Cache.Key>] = []
        for (name, reading) in zip(names, try await reader.read(names)) {
            let inquiry = Inquiry(name, reading, timeToLive: configuration.limits.timeToLive)
            guard let inquiry, let key = cache.key(of: name),
                let rows = try? cache.rows(in: inquiry.entry.payload)
            else {
                tally.notServed += 1
                continue
            }
            suspects.append(Suspect(key: key, inquiry: inquiry, cached: rows))
        }

        func settle(_ suspect: Suspect<Cache.Key>, _ verdict: Verdict) {
            tally.add(verdict)
            if verdict != .consistent { batch.findings.append(finding(suspect, verdict, cache.name)) }
        }
        var patience: ContinuousClock.Instant?
        var pause = Duration.milliseconds(2)
        while !suspects.isEmpty {
            // The truth, for those whose reading is newer than what is known of the database.
            do {
                try await loadTruth(of: &suspects, in: cache)
            } catch let error as PostgresError where error.isAboutBusyTables {
                for suspect in suspects where suspect.needsTruth {
                    settle(suspect, .undecided(.unreadable(error.message)))
                }
                suspects.removeAll(where: \.needsTruth)
            }
            suspects = suspects.filter { suspect in
                guard case .settled(let verdict) = suspect.inquiry.step else { return true }
                settle(suspect, verdict)
                return false
            }
            guard !suspects.isEmpty else { break }

            let end = patience ?? ContinuousClock.now + (configuration.patience ?? configuration.limits.lease * 2)
            patience = end
            let readings = try await reader.read(suspects.map(\.inquiry.name))
            var waiting: [Suspect<Cache.Key>] = []
            for (suspect, reading) in zip(suspects, readings) {
                var suspect = suspect
                switch suspect.inquiry.take(reading) {
                case .settled(let verdict): settle(suspect, verdict)
                case .loadTruth:
                    guard let rows = try? cache.rows(in: suspect.inquiry.entry.payload) else {
                        settle(suspect, .undecided(.vanished))
                        continue
                    }
                    suspect.cached = rows
                    suspect.needsTruth = true
                    waiting.append(suspect)
                case .readAgain: waiting.append(suspect)
                }
            }
            let heads = waiting.map(\.inquiry.latest.head)
            let isStalled =
                !waiting.contains(where: \.needsTruth) && stalled[cache.name]?.contain(all: heads) == true
            if isStalled || ContinuousClock.now >= end {
                stalled[cache.name, default: StalledHeads()].gaveUp(at: heads)
                for suspect in waiting { settle(suspect, suspect.inquiry.giveUp()) }
                break
            }
            suspects = waiting
            if !suspects.isEmpty {
                try await Task.sleep(for: pause)
                pause = min(pause * 2, .milliseconds(100))
            }
        }
        batch.tallies = [cache.name: tally]
        return batch
    }

    /// Loads the truth of all who need it, and behind that, where any differs, the journal.
    private func loadTruth<Cache: AuditedCache>(of suspects: inout [Suspect<Cache.Key>], in cache: Cache) async throws {
        let places = suspects.indices.filter { suspects[$0].needsTruth }
        guard !places.isEmpty else { return }
        let loaded = try await session.load(places.map { suspects[$0].key }, of: cache)
        for place in places {
            let rows = loaded.values[suspects[place].key] ?? []
            suspects[place].database = rows
            suspects[place].postgres = loaded.postgres
            suspects[place].difference = ValueDifference(cached: suspects[place].cached, database: rows)
        }
        let differs = places.contains { suspects[$0].difference?.isEmpty == false }
        let journal = differs ? try await session.journal(of: cache.name) : nil
        for place in places {
            let name = suspects[place].inquiry.name
            let isEqual = suspects[place].difference?.isEmpty == true
            suspects[place].journal = isEqual ? nil : journal
            suspects[place].needsTruth = false
            let truth = Truth(
                isEqual: isEqual,
                postgres: journal == nil || journal?.postgres == loaded.postgres ? loaded.postgres : nil,
                upTo: journal?.snapshot,
                isJournaled: journal?.scopes.covers(name.entity, name.variant) ?? false
            )
            suspects[place].inquiry.take(truth)
        }
    }

    private func finding(_ suspect: Suspect<some Hashable>, _ verdict: Verdict, _ cache: String) -> AuditFinding {
        let namespace = namespace(of: cache)
        let inquiry = suspect.inquiry
        return AuditFinding(
            cache: cache,
            name: inquiry.name,
            key: namespace.key(of: inquiry.name.entity),
            verdict: verdict,
            stamp: inquiry.entry.stamp,
            generations: inquiry.latest.generations,
            head: inquiry.latest.head,
            time: inquiry.latest.time,
            cached: suspect.cached,
            database: suspect.database,
            postgres: suspect.postgres,
            difference: suspect.difference,
            journal: suspect.journal,
            passes: configuration.history?.covering(inquiry.name, in: namespace) ?? []
        )
    }

    // MARK: One key

    /// What the database holds for some entries of the cache of workflows, and what is said of those that a reader may be served.
    package struct Truths: Sendable {
        /// Which Postgres answered.
        package var postgres: String?
        /// The rows, by entry; an entry that no reader asks for has none.
        package var rows: [EntryName: [AuditedRow]] = [:]
        /// Of each served entry that is not consistent.
        package var findings: [EntryName: AuditFinding] = [:]
        /// What the journal holds of the cache.
        package var journal: JournalView
    }

    /// Loads entries from the database, and audits them.
    ///
    /// - Throws: As ``round(_:onBatch:)``.
    package mutating func truths(of names: [EntryName]) async throws -> Truths {
        let cache = WorkflowAudit()
        let keys = names.compactMap { name in cache.key(of: name).map { (name, $0) } }
        let loaded = try await session.load(keys.map(\.1), of: cache)
        var truths = Truths(postgres: loaded.postgres, journal: try await session.journal(of: cache.name))
        for (name, key) in keys { truths.rows[name] = loaded.values[key] ?? [] }
        for finding in try await audit(names, of: cache).findings { truths.findings[finding.name] = finding }
        return truths
    }

    // MARK: Repair

    /// Journals an invalidation of an entry, as `freshet invalidate` does.
    ///
    /// - Parameter connection: Of a role that is granted `freshet_worker`.
    /// - Returns: The id of the journal's row.
    /// - Throws: `PostgresError`.
    package static func repair(_ finding: AuditFinding, on connection: PostgresConnection) async throws -> String? {
        guard let cache = AuditedCaches.all.first(where: { $0.name == finding.cache }) else { return nil }
        return try await invalidate(finding.name, of: cache, on: connection)
    }

    private static func invalidate<Cache: AuditedCache>(
        _ name: EntryName,
        of cache: Cache,
        on connection: PostgresConnection
    ) async throws -> String? {
        guard let key = cache.key(of: name) else { return nil }
        let (sql, parameters) = cache.invalidation(of: key)
        return try await connection.query(sql, parameters).string(0, 0)
    }
}

extension PostgresError {
    /// Whether the statement did not get to the tables, or not to its end, because others were in the way.
    fileprivate var isAboutBusyTables: Bool {
        [.lockNotAvailable, .queryCanceled, .deadlockDetected, .serializationFailure].contains(sqlState)
    }
}
