// Bumps what notifications tell of as soon as they are heard, beside the pump and on a session of its own: what a pass takes to claim,
// to prove and to promise, nobody waits for any longer. It promises nothing and consumes nothing. Where it fails, the pump listens
// instead. Where its session is gone and nobody says so, or waits, or has found another Postgres, the pump's own poll finds what was
// changed.

import Keyspace
import Logging
import Redis
import Surroundings

/// What a leading worker does about hints.
struct HintLane: Sendable {
    let open: HintOpener
    let store: HeadStore
    let caches: [ServedCache]
    let ledger: HintLedger
    let logger: Logger
    let surroundings: Surroundings
    private let telemetry = HintTelemetry()

    init(
        open: @escaping HintOpener,
        store: HeadStore,
        caches: [ServedCache],
        ledger: HintLedger,
        logger: Logger,
        surroundings: Surroundings
    ) {
        self.open = open
        self.store = store
        self.caches = caches
        self.ledger = ledger
        self.logger = logger
        self.surroundings = surroundings
    }

    /// Listens and bumps until the task is cancelled; failures are tried again.
    func run() async {
        var backoff = Backoff()
        var randomness = surroundings
        while !Task.isCancelled {
            do {
                let session = try await open()
                ledger.listens(true)
                let beginning = surroundings.now
                do {
                    try await session.hear(
                        { !ledger.isClaimed($0) },
                        others: { ledger.signal.raise(.now) },
                        { heard in
                            var isBumped = true
                            for changes in heard { isBumped = await bump(changes) && isBumped }
                            ledger.signal.raise(isBumped ? .soon : .now)
                        }
                    )
                } catch {
                    // One that has lasted was none of many failures.
                    if surroundings.now - beginning > backoff.cap { backoff.reset() }
                    await session.close()
                    throw error
                }
            } catch {
                if !Task.isCancelled {
                    telemetry.failed()
                    // Once where it lasts: what passes, or has lost the pump its session as well, is told enough.
                    logger.log(
                        level: backoff.failures == Self.failuresBorne ? .warning : .debug,
                        "No session for hints; changes wait for their pass",
                        metadata: ["error": "\(error)"]
                    )
                }
            }
            ledger.listens(false)
            do { try await surroundings.sleep(for: backoff.next(using: &randomness)) } catch { return }
        }
    }

    /// After so many failures in a row, some 4 s, one is worth a warning.
    private static let failuresBorne = 5

    /// More facts than these, counted for each hint that they were looked up for, are not worth resolving one by one: this runs where
    /// replies of Redis are waited for.
    private static let factsResolved = 8_192

    /// Bumps what is heard of one cache, and returns whether that is all that it invalidates.
    private func bump(_ heard: HeardChanges) async -> Bool {
        guard let cache = caches.first(where: { $0.name == heard.cache }), let rules = cache.rules as? any HintRules,
            let facts = heard.facts,
            let own = rules.facts(of: heard.rows, among: facts, atMost: Self.factsResolved)
        else {
            telemetry.left(heard.hints.count)
            return false
        }
        let tied = rules.tied(heard.rows)
        let together = zip(heard.rows, tied).filter(\.1).map(\.0)
        let shared = together.isEmpty ? ScopeSet() : rules.scopes(of: together, facts: facts)
        // Where one concerns everything, that is for a claim to say.
        let rows = zip(heard.hints, zip(tied, own)).map { hint, found in
            (id: hint.id, scopes: found.0 ? shared : rules.scopes(of: [hint.row], facts: found.1))
        }.filter { !$0.scopes.coversNamespace }
        let left = heard.hints.count - rows.count
        telemetry.left(left)
        guard !rows.isEmpty else { return false }
        return await bump(rows, of: cache) && left == 0
    }

    private func bump(_ rows: [(id: String, scopes: ScopeSet)], of cache: ServedCache) async -> Bool {
        var all = ScopeSet()
        for row in rows { all.formUnion(row.scopes) }
        var runs: [(place: HintLedger.Place, bump: HintedBump)] = []
        let buckets = Dictionary(grouping: all.entities) { cache.namespace.bucket(of: $0.key) }
        for (bucket, entities) in buckets.sorted(by: { $0.key < $1.key }) {
            let place = HintLedger.Place(cache: cache.name, bucket: bucket)
            let sorted = entities.map { (entity: $0.key, variants: $0.value) }.sorted {
                $0.entity.text < $1.entity.text
            }
            var mark = ledger.mark(of: place)
            let size = max(1, store.limits.entitiesPerScript)
            for start in stride(from: 0, to: sorted.count, by: size) {
                let bump = HintedBump(
                    after: mark,
                    fresh: surroundings.next(),
                    entities: Array(sorted[start..<min(start + size, sorted.count)])
                )
                mark = bump.next
                runs.append((place, bump))
            }
        }
        let outcome: HeadStore.HintOutcome
        do {
            outcome = try await store.hint(runs.map { ($0.place.bucket, $0.bump) }, in: cache.namespace)
        } catch {
            // Nobody knows which of them were executed. The pass will tell if Redis is away.
            ledger.forget()
            telemetry.failed()
            logger.debug("Hints fail; changes wait for their pass", metadata: ["error": "\(error)"])
            return false
        }
        telemetry.bumped(rows.count, outcome.outcome)
        if outcome.outcome.damagedKeys > 0 { logger.tellDamagedKeys(outcome.outcome.damagedKeys, of: cache.name) }
        var marks: [HintLedger.Place: HintMark] = [:]
        for (run, mark) in zip(runs, outcome.marks) {
            // Behind a chain that had to begin, what follows in the same flight begins one again: the bumps before are not counted on.
            if let before = marks[run.place], before.chain != mark.chain {
                ledger.forget()
                return true
            }
            marks[run.place] = mark
        }
        let count = outcome.outcome.bumpedEntities + outcome.outcome.bumpedVariants
        ledger.note(rows, of: cache.name, marks, at: surroundings.now, count: count)
        return true
    }
}
