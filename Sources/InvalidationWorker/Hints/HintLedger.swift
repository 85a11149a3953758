// What was bumped ahead of the pass that claims it, and what a pass may leave out for that.
//
// A pass bumps a scope because a load may have missed a change: it read the generations before the change was visible, and could store
// what it read after the last bump. Any bump after the change was visible keeps it from that. A hint is heard when its row is visible,
// so a bump for it is such a bump: of what the row by itself invalidates, if the dataset holds it.
//
// So of each row that a pass has claimed, what was bumped for that very row is left out, under these conditions:
//
// * The rows of the batch invalidate by themselves what they do together. Where one changes a workflow and another a link of it, the
//   scopes that follow from both may stand with one of them only, and that one may have been bumped before the other was visible. Then
//   all that is left out of what such rows invalidate is what was bumped last, if by then all of them had been heard of.
// * The head says that the dataset holds the bumps: by the ``HintMark``, which the script of the pass compares. A dataset that was
//   restored, promoted or resynchronised since has an earlier mark, or one of another chain.
// * No chain was broken since the bump: whatever was bumped before is forgotten then.

import Keyspace
import NIOConcurrencyHelpers
import OrderedCollections

/// What hints have had bumped, between the lane that does it and the pump that claims the rows.
final class HintLedger: Sendable {
    /// A bucket of a cache.
    struct Place: Hashable, Sendable {
        var cache: String
        var bucket: Int
    }

    /// What was bumped for one row.
    fileprivate struct Bumped {
        var cache: String
        var scopes: ScopeSet
        var marks: [Place: HintMark]
        var at: ContinuousClock.Instant
        var count: Int64
        /// Counts up from one bump to the next.
        var number: Int
    }

    private struct State {
        var isListening = false
        /// Not so from when a pass met a head that was not as expected until one is applied that counts on nothing.
        var isTrusted = true
        var scopeCount = 0
        var bumped: OrderedDictionary<String, Bumped> = [:]
        var claimed: OrderedSet<String> = []
        var chains: [Place: HintMark] = [:]
        var lastNumber = 0

        mutating func forget() {
            bumped = [:]
            scopeCount = 0
            chains = [:]
        }

        mutating func forget(_ known: [String: Bumped]) {
            guard !known.isEmpty else { return }
            for bumped in known.values { scopeCount -= bumped.scopes.count }
            bumped.removeAll { known[$0.key] != nil }
        }

        mutating func forgetOldest() {
            while bumped.count > HintLedger.rowsKept || scopeCount > HintLedger.scopesKept {
                let half = (bumped.count + 1) / 2
                for bumped in bumped.values.prefix(half) { scopeCount -= bumped.scopes.count }
                bumped.removeFirst(half)
            }
        }
    }

    /// How many rows are remembered that are not claimed yet, and that are: never more than twice as many.
    ///
    /// What is forgotten is bumped once more.
    private static let rowsKept = 10_000
    /// The same of what was bumped for rows that are not claimed yet.
    private static let scopesKept = 100_000

    private let state = NIOLockedValueBox(State())

    /// Wakes the pump.
    let signal = HintSignal()

    /// Whether rows are bumped as they are heard of, so that the pump need not listen.
    var isListening: Bool { state.withLockedValue { $0.isListening } }

    /// Begins to bump, or ends; what was bumped before counts no longer.
    func listens(_ isListening: Bool) {
        let wasListening = state.withLockedValue { state in
            defer {
                state = State()
                state.isListening = isListening
            }
            return state.isListening
        }
        // Of what was notified just before somebody else listens, only a pass after that can tell.
        if wasListening != isListening { signal.raise(.now) }
    }

    /// Forgets whatever was bumped, so that the next pass bumps it again.
    func forget() {
        state.withLockedValue { $0.forget() }
    }

    /// A pass was refused by a head: the next one counts on nothing, whatever is bumped in the meantime.
    func passWasRefused() {
        state.withLockedValue { state in
            state.forget()
            state.isTrusted = false
        }
    }

    /// A pass was applied.
    func passWasApplied() {
        state.withLockedValue { $0.isTrusted = true }
    }

    /// Whether a row was claimed already.
    func isClaimed(_ id: String) -> Bool {
        state.withLockedValue { $0.claimed.contains(id) }
    }

    /// Where the chain of a bucket stands; nil where it has to be begun.
    func mark(of place: Place) -> HintMark? {
        state.withLockedValue { $0.chains[place] }
    }

    /// Notes what was bumped for some rows, and where that has left the chains.
    ///
    /// - Parameter count: How many generations were raised.
    func note(
        _ rows: [(id: String, scopes: ScopeSet)],
        of cache: String,
        _ marks: [Place: HintMark],
        at moment: ContinuousClock.Instant,
        count: Int64
    ) {
        state.withLockedValue { state in
            // A chain that begins: the head was not as the last bump had left it.
            if marks.contains(where: { place, mark in state.chains[place].map { $0.chain != mark.chain } ?? false }) {
                state.forget()
            }
            for (place, mark) in marks { state.chains[place] = mark }
            state.lastNumber += 1
            // Told with the first of them, so that sums are right.
            var count = count
            for row in rows where !state.claimed.contains(row.id) {
                if let known = state.bumped[row.id] { state.scopeCount -= known.scopes.count }
                state.bumped[row.id] = Bumped(
                    cache: cache,
                    scopes: row.scopes,
                    marks: marks,
                    at: moment,
                    count: count,
                    number: state.lastNumber
                )
                state.scopeCount += row.scopes.count
                count = 0
            }
            if state.bumped.count > 2 * Self.rowsKept || state.scopeCount > 2 * Self.scopesKept { state.forgetOldest() }
        }
    }

    /// What a pass may leave out of what its claim invalidates; nil for nothing.
    func coverage(of claim: CacheClaim) -> HintCoverage? {
        guard case .changes(let changes) = claim.backlog, !changes.isEmpty, changes.count <= Self.rowsKept,
            let facts = claim.facts, !claim.scopes.coversNamespace,
            let rules = Caches.all.first(where: { $0.name == claim.cache }) as? any HintRules
        else { return nil }
        let ids = changes.compactMap(\.hint)
        let known = state.withLockedValue { state -> [String: Bumped] in
            state.claimed.append(contentsOf: ids)
            if state.claimed.count > 2 * Self.rowsKept {
                state.claimed.removeFirst(state.claimed.count - Self.rowsKept)
            }
            guard state.isTrusted else { return [:] }
            var known: [String: Bumped] = [:]
            for id in ids {
                if let bumped = state.bumped[id], bumped.cache == claim.cache { known[id] = bumped }
            }
            state.forget(known)
            return known
        }
        guard !known.isEmpty else { return nil }
        var coverage = HintCoverage()
        for (group, facts) in rules.independent(changes, facts) {
            let bumps = group.compactMap { $0.hint.flatMap { known[$0] } }
            let scopes = rules.scopes(of: group, facts: facts)
            // Of rows that belong together, what was bumped when all of them had been heard of.
            guard bumps.count == group.count, let last = bumps.map(\.number).max() else {
                coverage.rest.formUnion(scopes)
                continue
            }
            coverage.leaveOut(bumps.filter { $0.number == last }, of: scopes, in: claim.cache)
        }
        return coverage
    }
}

/// What a pass leaves out because it was bumped before.
struct HintCoverage: Equatable, Sendable {
    /// What is left to bump.
    var rest = ScopeSet()
    /// By bucket, what the head must have reached.
    var marks: [Int: HintMark] = [:]
    /// When the last of what is left out was bumped.
    var lastBump: ContinuousClock.Instant?
    /// How many generations were raised for it.
    var bumpCount: Int64 = 0
}

extension HintCoverage {
    fileprivate mutating func leaveOut(_ bumps: [HintLedger.Bumped], of scopes: ScopeSet, in cache: String) {
        var left = scopes
        for bumped in bumps {
            left = left.subtracting(bumped.scopes)
            bumpCount += bumped.count
            lastBump = lastBump.map { max($0, bumped.at) } ?? bumped.at
            // All are of the chain that there is now: with another, what was bumped before is forgotten.
            for (place, mark) in bumped.marks where place.cache == cache {
                let other = marks[place.bucket]
                marks[place.bucket] = other.map { $0.number > mark.number ? $0 : mark } ?? mark
            }
        }
        rest.formUnion(left)
    }
}

extension HintRules {
    /// The rows in groups, of which each invalidates by itself what it does together with the others, and the facts to resolve it with.
    ///
    /// Where it would be too much work to resolve each by itself, all are one group.
    fileprivate func independent(_ rows: [JournalRow], _ facts: [FactRow]) -> [([JournalRow], [FactRow])] {
        guard let own = self.facts(of: rows, among: facts, atMost: Self.factsSeparated) else { return [(rows, facts)] }
        let tied = tied(rows)
        let together = zip(rows, tied).filter(\.1).map(\.0)
        return zip(zip(rows, own), tied).filter { !$0.1 }.map { ([$0.0.0], $0.0.1) }
            + (together.isEmpty ? [] : [(together, facts)])
    }

    /// So many facts, counted for each row that they were looked up for, take some 50 ms to resolve.
    private static var factsSeparated: Int { 65_536 }
}
